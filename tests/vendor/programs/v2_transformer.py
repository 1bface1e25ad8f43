"""A notebook of version 2: a trained model is moved over a folder of CSV files, and joined."""

from pathlib import Path

import sagemaker
from sagemaker.pytorch import PyTorch
from sagemaker.transformer import Transformer

SOURCE = str(Path(__file__).parent / "source")

session = sagemaker.Session()
Path("batch").mkdir()
Path("batch", "a.csv").write_text("1.0,2.0\n")
Path("batch", "b.csv").write_text("3.0,4.0\n")
inputs = session.upload_data("batch", key_prefix="data/batch")

estimator = PyTorch(
    "train.py",
    source_dir=SOURCE,
    role=sagemaker.get_execution_role(),
    instance_count=1,
    instance_type="ml.m5.xlarge",
    framework_version="2.3.0",
    py_version="py311",
)
estimator.fit({"train": inputs}, logs=False)
transformer = estimator.transformer(
    1, "ml.m5.xlarge", strategy="SingleRecord", assemble_with="Line", accept="text/csv"
)
transformer.transform(inputs, content_type="text/csv", split_type="Line", join_source="Input")
attached = Transformer.attach(transformer.latest_transform_job.name, session)

bucket, _, prefix = transformer.output_path.removeprefix("s3://").partition("/")
found = []
for key in session.list_s3_files(bucket, prefix):
    found += [Path(key).name, session.read_s3_file(bucket, key).strip()]
print()
print("results     ", *found)
print("attached    ", attached.output_path == transformer.output_path)
