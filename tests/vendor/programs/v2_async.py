"""A notebook of version 2: a trained model answers by way of S3."""

from pathlib import Path

import sagemaker
from sagemaker.async_inference import AsyncInferenceConfig, WaiterConfig
from sagemaker.deserializers import JSONDeserializer
from sagemaker.exceptions import AsyncInferenceModelError
from sagemaker.pytorch import PyTorch
from sagemaker.serializers import JSONSerializer

SOURCE = str(Path(__file__).parent / "source")

session = sagemaker.Session()
Path("later").mkdir()
Path("later", "numbers.csv").write_text("1.0\n")
inputs = session.upload_data("later", key_prefix="data/later")
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
predictor = estimator.deploy(
    initial_instance_count=1,
    instance_type="ml.m5.xlarge",
    async_inference_config=AsyncInferenceConfig(max_concurrent_invocations_per_instance=2),
    serializer=JSONSerializer(),
    deserializer=JSONDeserializer(),
)
print()
print("waited      ", predictor.predict([1.0, 2.0], waiter_config=WaiterConfig(20, 1)))
later = predictor.predict_async([3.0])
print("fetched     ", later.get_result(WaiterConfig(20, 1)))
try:
    predictor.predict("no numbers", waiter_config=WaiterConfig(20, 1))
except AsyncInferenceModelError as error:
    print("failed      ", type(error).__name__)
predictor.delete_endpoint()
