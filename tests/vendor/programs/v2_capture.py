"""A notebook of version 2: what an endpoint is asked and answers is captured, changed, stopped."""

import json
import time
from pathlib import Path
from typing import Any

import sagemaker
from sagemaker.deserializers import JSONDeserializer
from sagemaker.model_monitor import DataCaptureConfig
from sagemaker.pytorch import PyTorch
from sagemaker.s3 import S3Downloader
from sagemaker.serializers import JSONSerializer

SOURCE = str(Path(__file__).parent / "source")

session = sagemaker.Session()
Path("capture").mkdir()
Path("capture", "numbers.csv").write_text("1,2\n")
estimator = PyTorch(
    "train.py",
    source_dir=SOURCE,
    role=sagemaker.get_execution_role(),
    instance_count=1,
    instance_type="ml.m5.xlarge",
    framework_version="2.3.0",
    py_version="py311",
)
estimator.fit({"train": session.upload_data("capture", key_prefix="data/capture")}, logs=False)
place = f"s3://{session.default_bucket()}/captures"
predictor = estimator.deploy(
    1,
    "ml.m5.large",
    serializer=JSONSerializer(),
    deserializer=JSONDeserializer(),
    data_capture_config=DataCaptureConfig(
        enable_capture=True, sampling_percentage=100, destination_s3_uri=place
    ),
)


def summary() -> dict[str, Any]:
    """What DescribeEndpoint says of it."""
    shown = session.sagemaker_client.describe_endpoint(EndpointName=predictor.endpoint_name)
    return dict(shown["DataCaptureConfig"])


predictor.predict([1.0, 2.0], inference_id="mine")
files: list[str] = []
while not files:
    time.sleep(0.2)
    files = S3Downloader.list(f"{place}/{predictor.endpoint_name}")
line = json.loads(S3Downloader.read_file(files[0]).splitlines()[0])
parts = line["captureData"]
first = summary()
predictor.disable_data_capture()
disabled = summary()
predictor.enable_data_capture()
enabled = summary()
predictor.update_data_capture_config(DataCaptureConfig(True, 7, place))
updated = summary()
predictor.delete_model()
predictor.delete_endpoint()

print()
print("captured    ", parts["endpointInput"]["data"], parts["endpointOutput"]["data"])
print("encodings   ", parts["endpointInput"]["encoding"], parts["endpointOutput"]["encoding"])
print("inference   ", line["eventMetadata"]["inferenceId"])
print("at first    ", first["CaptureStatus"], first["CurrentSamplingPercentage"])
print("disabled    ", disabled["CaptureStatus"])
print("enabled     ", enabled["CaptureStatus"], enabled["CurrentSamplingPercentage"])
print("updated     ", updated["CaptureStatus"], updated["CurrentSamplingPercentage"])
