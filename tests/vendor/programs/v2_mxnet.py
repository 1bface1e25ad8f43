"""Version 2 with MXNet."""

from pathlib import Path

import sagemaker
from sagemaker.mxnet import MXNet

estimator = MXNet(
    "mxnet_train.py",
    source_dir=str(Path(__file__).parent / "source"),
    role=sagemaker.get_execution_role(),
    instance_count=1,
    instance_type="ml.m5.xlarge",
    framework_version="1.9.0",
    py_version="py38",
)
estimator.fit()

print()
print("model_data  ", estimator.model_data)
