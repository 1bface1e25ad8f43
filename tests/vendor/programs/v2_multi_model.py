"""A notebook of version 2: many models behind one endpoint, added while it serves."""

import os
import tarfile
from pathlib import Path

import sagemaker
from sagemaker.deserializers import JSONDeserializer
from sagemaker.multidatamodel import MultiDataModel
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


def packed(factor: int) -> str:
    """An archive with code of its own."""
    folder = Path(f"model-{factor}")
    (folder / "code").mkdir(parents=True)
    (folder / "factor").write_text(str(factor))
    (folder / "code" / "inference.py").write_text(CODE)
    name = f"times-{factor}.tar.gz"
    with tarfile.open(name, "w:gz") as archive:
        for child in folder.iterdir():
            archive.add(child, child.name)
    return os.path.abspath(name)  # noqa: PTH100 - as notebooks have it


Path("inference.py").write_text(CODE)
model = PyTorchModel(
    session.upload_data(packed(1), key_prefix="first"),
    role,
    "inference.py",
    framework_version="2.3.0",
    py_version="py311",
    sagemaker_session=session,
)
many = MultiDataModel(
    name="many",
    model_data_prefix=f"s3://{session.default_bucket()}/many/",
    model=model,
    sagemaker_session=session,
)
predictor = many.deploy(
    1, "ml.m5.large", serializer=JSONSerializer(), deserializer=JSONDeserializer()
)
many.add_model(packed(2))
many.add_model(packed(3), "deep/three.tar.gz")
listed = sorted(many.list_models())
answers = [predictor.predict([1.0, 2.0], target_model=name) for name in listed]
many.add_model(packed(4))
late = predictor.predict([1.0], target_model="times-4.tar.gz")
predictor.delete_model()
predictor.delete_endpoint()

print()
print("listed      ", *listed)
print("answers     ", *answers)
print("late        ", late)
