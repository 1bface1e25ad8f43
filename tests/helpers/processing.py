"""What the tests of processing jobs ask for."""

from typing import Any

from tests.helpers.lifecycle import ROLE, World

CODE = "/opt/ml/processing/input/code/run.py"


def processing_request(name: str = "job-1", **changes: Any) -> dict[str, Any]:
    """A CreateProcessingJob request that the service accepts."""
    return {
        "ProcessingJobName": name,
        "AppSpecification": {"ImageUri": "img:1", "ContainerEntrypoint": ["python3", CODE]},
        "ProcessingResources": cluster(1),
        "RoleArn": ROLE,
        **changes,
    }


def cluster(count: int, instance_type: str = "ml.m5.xlarge") -> dict[str, Any]:
    """ProcessingResources of so many instances."""
    return {
        "ClusterConfig": {
            "InstanceType": instance_type,
            "InstanceCount": count,
            "VolumeSizeInGB": 1,
        }
    }


def s3_input(name: str, uri: str, folder: str = "", **changes: Any) -> dict[str, Any]:
    """One entry of ProcessingInputs, at `/opt/ml/processing/FOLDER`."""
    source = {
        "S3Uri": uri,
        "LocalPath": f"/opt/ml/processing/{folder or name}",
        "S3DataType": "S3Prefix",
        **changes,
    }
    return {"InputName": name, "S3Input": source}


def s3_outputs(*outputs: dict[str, Any]) -> dict[str, Any]:
    """ProcessingOutputConfig of entries made by `s3_output`."""
    return {"Outputs": list(outputs)}


def s3_output(name: str, uri: str, mode: str = "EndOfJob", **changes: Any) -> dict[str, Any]:
    """One entry of ProcessingOutputConfig, from `/opt/ml/processing/NAME`."""
    target = {"S3Uri": uri, "LocalPath": f"/opt/ml/processing/{name}", "S3UploadMode": mode}
    return {"OutputName": name, "S3Output": {**target, **changes}}


def create(world: World, name: str = "job-1", **changes: Any) -> None:
    """Creates a processing job."""
    world.call("CreateProcessingJob", **processing_request(name, **changes))


def describe(world: World, name: str = "job-1") -> dict[str, Any]:
    """Describes a processing job."""
    return world.call("DescribeProcessingJob", ProcessingJobName=name)


def stop(world: World, name: str = "job-1") -> None:
    """Stops a processing job."""
    world.call("StopProcessingJob", ProcessingJobName=name)


def results(world: World, bucket: str = "results") -> dict[str, str]:
    """The text of every object in a bucket."""
    objects = world.backends.objects
    return {one.key: one.path.read_text() for one in objects.iterate(bucket)}
