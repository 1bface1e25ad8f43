"""A notebook of version 2: data goes to S3, PyTorch trains on it, an endpoint answers."""

import os
from pathlib import Path

import numpy as np
import sagemaker
from sagemaker.pytorch import PyTorch

SOURCE = str(Path(__file__).parent / "source")

session = sagemaker.Session()
role = sagemaker.get_execution_role()
Path("data").mkdir()
Path("data", "numbers.csv").write_text("1,2\n")
inputs = session.upload_data("data", key_prefix="data/demo")

estimator = PyTorch(
    "train.py",
    source_dir=SOURCE,
    role=role,
    instance_count=1,
    instance_type="ml.m5.xlarge",
    framework_version="2.3.0",
    py_version="py311",
    hyperparameters={"epochs": 3},
)
estimator.fit({"train": inputs})
attached = PyTorch.attach(estimator.latest_training_job.name)
predictor = estimator.deploy(initial_instance_count=1, instance_type="ml.m5.large")
prediction = predictor.predict(np.array([1.0, 2.0], dtype=np.float32))
predictor.delete_model()
predictor.delete_endpoint()

print()
print("bucket      ", session.default_bucket())
print("role        ", role)
print("inputs      ", inputs)
print("attached    ", attached.model_data == estimator.model_data, attached.hyperparameters())
print("prediction  ", prediction.tolist())
print("hook        ", "INTERMODAL_ENDPOINT_URL" in os.environ)
