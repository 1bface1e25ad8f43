"""A notebook of version 2: a trained model is deployed without instances."""

from pathlib import Path

import sagemaker
from sagemaker.deserializers import JSONDeserializer
from sagemaker.pytorch import PyTorch
from sagemaker.serializers import JSONSerializer
from sagemaker.serverless import ServerlessInferenceConfig

SOURCE = str(Path(__file__).parent / "source")

session = sagemaker.Session()
Path("serverless").mkdir()
Path("serverless", "numbers.csv").write_text("1.0\n")
inputs = session.upload_data("serverless", key_prefix="data/serverless")
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
    serverless_inference_config=ServerlessInferenceConfig(2048, 5),
    serializer=JSONSerializer(),
    deserializer=JSONDeserializer(),
)
config = session.sagemaker_client.describe_endpoint(EndpointName=predictor.endpoint_name)
print()
print("prediction  ", predictor.predict([1.0, 2.0]))
print("config      ", config["ProductionVariants"][0]["CurrentServerlessConfig"]["MaxConcurrency"])
predictor.delete_endpoint()
