"""A notebook of version 2: what was trained is registered, approved, deployed from its package."""

from pathlib import Path

import numpy as np
import sagemaker
from sagemaker import ModelPackage
from sagemaker.model_metrics import MetricsSource, ModelMetrics
from sagemaker.pytorch import PyTorch
from sagemaker.pytorch.model import PyTorchPredictor

SOURCE = str(Path(__file__).parent / "source")

session = sagemaker.Session()
role = sagemaker.get_execution_role()
Path("registry").mkdir()
Path("registry", "numbers.csv").write_text("1,2\n")
estimator = PyTorch(
    "train.py",
    source_dir=SOURCE,
    role=role,
    instance_count=1,
    instance_type="ml.m5.xlarge",
    framework_version="2.3.0",
    py_version="py311",
)
estimator.fit({"train": session.upload_data("registry", key_prefix="data/registry")}, logs=False)
kinds = {"inference_instances": ["ml.m5.large"], "transform_instances": ["ml.m5.large"]}
registered = estimator.register(
    ["application/x-npy"],
    ["application/x-npy"],
    model_package_group_name="doubles",
    model_metrics=ModelMetrics(MetricsSource("application/json", "s3://x/y")),
    entry_point="train.py",
    source_dir=SOURCE,
    **kinds,
)
second = estimator.create_model(entry_point="train.py", source_dir=SOURCE).register(
    ["application/x-npy"],
    ["application/x-npy"],
    model_package_group_name="doubles",
    approval_status="Approved",
    **kinds,
)
client = session.sagemaker_client
before = client.describe_model_package(ModelPackageName=registered.model_package_arn)
versions = client.list_model_packages(ModelPackageGroupName="doubles")["ModelPackageSummaryList"]
package = ModelPackage(
    role=role,
    model_package_arn=registered.model_package_arn,
    sagemaker_session=session,
    predictor_cls=PyTorchPredictor,
)
predictor = package.deploy(1, "ml.m5.large")
prediction = predictor.predict(np.array([1.0, 2.0], dtype=np.float32))
after = client.describe_model_package(ModelPackageName=registered.model_package_arn)
second.update_approval_status("Rejected", "for now")
rejected = client.describe_model_package(ModelPackageName=second.model_package_arn)
predictor.delete_endpoint()

print()
print("versions    ", *sorted(one["ModelPackageVersion"] for one in versions))
print("before      ", before["ModelApprovalStatus"])
print("after       ", after["ModelApprovalStatus"])
print("rejected    ", rejected["ModelApprovalStatus"], rejected["ApprovalDescription"])
print("prediction  ", prediction.tolist())
