"""A notebook of version 2: models in a row, deployed as one and run over a folder."""

import os
import tarfile
from pathlib import Path

import sagemaker
from sagemaker.deserializers import JSONDeserializer
from sagemaker.pipeline import PipelineModel
from sagemaker.predictor import Predictor
from sagemaker.pytorch import PyTorchModel
from sagemaker.serializers import JSONSerializer

CODE = """
from pathlib import Path

def model_fn(model_dir):
    return float(Path(model_dir, "factor").read_text())

def predict_fn(data, model):
    return [model * one for one in data]
"""

session = sagemaker.Session()
role = sagemaker.get_execution_role()
Path("inference.py").write_text(CODE)


def model_of(factor: int) -> PyTorchModel:
    """A model that multiplies."""
    Path("factor").write_text(str(factor))
    name = f"times-{factor}.tar.gz"
    with tarfile.open(name, "w:gz") as archive:
        archive.add("factor")
    return PyTorchModel(
        session.upload_data(os.path.abspath(name), key_prefix="row"),  # noqa: PTH100 - as they do
        role,
        "inference.py",
        framework_version="2.3.0",
        py_version="py311",
        sagemaker_session=session,
    )


row = PipelineModel(
    models=[model_of(2), model_of(5)],
    role=role,
    predictor_cls=Predictor,
    name="row",
    sagemaker_session=session,
)
predictor = row.deploy(
    1, "ml.m5.large", serializer=JSONSerializer(), deserializer=JSONDeserializer()
)
answer = predictor.predict([1.0, 2.0])
predictor.delete_endpoint()
row.delete_model()

Path("questions").mkdir()
Path("questions", "a.json").write_text("[1.0, 2.0]")
transformer = row.transformer(1, "ml.m5.large", accept="application/json")
transformer.transform(
    session.upload_data("questions", key_prefix="questions"),
    content_type="application/json",
    logs=False,
)
bucket, _, prefix = transformer.output_path.removeprefix("s3://").partition("/")
(key,) = (one for one in session.list_s3_files(bucket, prefix) if one.endswith(".out"))

print()
print("transformed ", Path(key).name, session.read_s3_file(bucket, key).strip())
print("answer      ", answer)
