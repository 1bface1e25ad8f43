"""What a CreateTransformJob request means for the instances that run it. Without effects."""

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from intermodal_contract.channel import Channel, S3Uri, parse_s3_uri
from intermodal_contract.instance import UnknownInstanceTypeError, instance_type
from intermodal_engine.lifecycle.transform.program.client import Patience
from intermodal_engine.store.records import Record

PAYLOAD_TOGETHER_MB = 100
"""What `MaxConcurrentTransforms` times `MaxPayloadInMB` may come to, by the service's reference."""

_STRATEGIES = {"MultiRecord": "MULTI_RECORD", "SingleRecord": "SINGLE_RECORD"}


def with_defaults(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A request with AWS's defaults written out, as DescribeTransformJob shows it, without tags."""
    request = copy.deepcopy({name: one for name, one in parameters.items() if name != "Tags"})
    request["TransformInput"] = {
        "CompressionType": "None",
        "SplitType": "None",
        **request["TransformInput"],
    }
    request["TransformOutput"] = {
        "AssembleWith": "None",
        "KmsKeyId": "",
        **request["TransformOutput"],
    }
    request["DataProcessing"] = {
        "InputFilter": "$",
        "OutputFilter": "$",
        "JoinSource": "None",
        **request.get("DataProcessing", {}),
    }
    return request


@dataclass(frozen=True, slots=True)
class TransformRequest:
    """A view of a transform job's request, defaults written out.

    Attributes:
        record: the job; its state has the model as it was when the job was made.
    """

    record: Record

    @property
    def hosts(self) -> tuple[str, ...]:
        """All instances, named as EC2 does, in the order of the alphabet."""
        count = self._resources["InstanceCount"]
        seed = f"{self.record.arn}/{self.record.created_at}"
        names = (hashlib.sha256(f"{seed}/{n}".encode()).hexdigest()[:17] for n in range(count))
        return tuple(sorted(f"i-{name}" for name in names))

    @property
    def gpus_wanted(self) -> int:
        """GPUs that AWS would give to all instances together."""
        try:
            return instance_type(self._resources["InstanceType"]).gpus * len(self.hosts)
        except UnknownInstanceTypeError:
            return 0

    def instance_type(self, host: str) -> str:  # noqa: ARG002 (all are of one type)
        """The type of one instance."""
        kind: str = self._resources["InstanceType"]
        return kind

    @property
    def container(self) -> dict[str, Any]:
        """The model's container."""
        container: dict[str, Any] = self.record.state["container"]
        return container

    @property
    def image(self) -> str:
        """The container image."""
        image: str = self.container["Image"]
        return image

    @property
    def entry_point(self) -> tuple[str, ...]:
        """A serving image has its own."""
        return ()

    @property
    def command(self) -> tuple[str, ...]:
        """What every serving image understands."""
        return ("serve",)

    @property
    def environment(self) -> Mapping[str, str]:
        """The model's variables, the request's over them, and those of batch transform.

        AWS page: your-algorithms-batch-code.
        """
        request = self.record.request
        batch = {"SAGEMAKER_BATCH": "true"}
        if "MaxPayloadInMB" in request:
            batch["SAGEMAKER_MAX_PAYLOAD_IN_MB"] = str(request["MaxPayloadInMB"])
        if "BatchStrategy" in request:
            batch["SAGEMAKER_BATCH_STRATEGY"] = _STRATEGIES[request["BatchStrategy"]]
        if request.get("MaxConcurrentTransforms"):
            batch["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] = str(request["MaxConcurrentTransforms"])
        return {
            **batch,
            **self.container.get("Environment", {}),
            **request.get("Environment", {}),
        }

    @property
    def role_arn(self) -> str:
        """The model's role."""
        role: str = self.record.state["role_arn"]
        return role

    @property
    def is_isolated(self) -> bool:
        """Whether the model may reach nothing beyond its own instances."""
        return bool(self.record.state["network_isolation"])

    @property
    def channel(self) -> Channel:
        """The input."""
        source = self.input["DataSource"]["S3DataSource"]
        return Channel(
            "input",
            parse_s3_uri(source["S3Uri"]),
            s3_data_type=source["S3DataType"],
        )

    @property
    def input(self) -> dict[str, Any]:
        """`TransformInput`."""
        found: dict[str, Any] = self.record.request["TransformInput"]
        return found

    @property
    def output(self) -> dict[str, Any]:
        """`TransformOutput`."""
        found: dict[str, Any] = self.record.request["TransformOutput"]
        return found

    @property
    def output_uri(self) -> S3Uri:
        """Where outputs go; its key ends with `/`, or is empty."""
        base = parse_s3_uri(self.output["S3OutputPath"])
        prefix = f"{base.key.rstrip('/')}/" if base.key.strip("/") else ""
        return S3Uri(base.bucket, prefix)

    @property
    def capture_uri(self) -> S3Uri | None:
        """`DestinationS3Uri` of `DataCaptureConfig`; None where nothing is captured."""
        config = self.record.request.get("DataCaptureConfig")
        return parse_s3_uri(config["DestinationS3Uri"]) if config else None

    @property
    def has_inference_ids(self) -> bool:
        """`GenerateInferenceId` of `DataCaptureConfig`."""
        return bool(self.record.request.get("DataCaptureConfig", {}).get("GenerateInferenceId"))

    @property
    def patience(self) -> Patience:
        """`ModelClientConfig`."""
        given = self.record.request.get("ModelClientConfig", {})
        usual = Patience()
        return Patience(
            float(given.get("InvocationsTimeoutInSeconds", usual.timeout_s)),
            given.get("InvocationsMaxRetries", usual.retries),
        )

    @property
    def _resources(self) -> dict[str, Any]:
        resources: dict[str, Any] = self.record.request["TransformResources"]
        return resources
