"""The reference program, by either SDK: `python sdk_program.py intermodal|sagemaker FOLDER`.

It runs in the SDK's own environment, where nothing of ours need be, and tells as JSON what it asked
of AWS and how late it noticed what had happened there.
"""

import contextlib
import importlib
import json
import sys
import time
import warnings

import boto3

_POLLS = (
    *("DescribeTrainingJob", "DescribeEndpoint"),
    *("DescribeLogStreams", "GetLogEvents", "FilterLogEvents"),
)


def main(sdk: str, folder: str) -> dict[str, object]:
    """Trains and deploys; returns what is told.

    Args:
        sdk: `intermodal` or `sagemaker`.
        folder: holds train.py.
    """
    calls: list[str] = []
    boto_session = boto3.Session()
    boto_session.events.register(
        "before-call.*.*", lambda model, **_: calls.append(f"{model.service_model}.{model.name}")
    )
    session = importlib.import_module(f"{sdk}.session").Session(boto_session=boto_session)
    estimator = importlib.import_module(f"{sdk}.mxnet").MXNet(
        "train.py",
        source_dir=folder,
        role="arn:aws:iam::123456789012:role/bench",
        instance_count=1,
        instance_type="ml.p3.2xlarge",
        framework_version="1.4.1",
        py_version="py3",
        sagemaker_session=session,
    )
    estimator.fit("s3://mybucket/data/train")
    returned_at = time.time()
    predictor = estimator.deploy(initial_instance_count=2, instance_type="ml.m5.xlarge")
    deployed_at = time.time()
    asked = [call for call in calls if call.rpartition(".")[2] not in _POLLS]

    client = boto_session.client("sagemaker")
    job = client.describe_training_job(TrainingJobName=estimator.latest_training_job.name)
    endpoint = client.describe_endpoint(EndpointName=predictor.endpoint_name)
    predictor.delete_model()
    predictor.delete_endpoint()
    ended_at = job["SecondaryStatusTransitions"][-1]["StartTime"].timestamp()
    in_service_at = endpoint["LastModifiedTime"].timestamp()
    return {
        "calls": asked,
        "fit_late_s": returned_at - ended_at,
        "deploy_late_s": deployed_at - in_service_at,
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(sys.stderr):
        told = main(*sys.argv[1:])
    print(json.dumps(told))
