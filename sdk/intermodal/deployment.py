"""How a model goes to an endpoint: on which instances, with which settings; checked, then sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from intermodal.async_inference import AsyncInferenceConfig
from intermodal.defaults import ENDPOINT_KEY
from intermodal.errors import InvalidArgumentsError
from intermodal.production_variants import production_variant
from intermodal.renamed import refuse_unknown
from intermodal.training_options import (
    LOCAL_INSTANCE_TYPES,
    Findings,
    Tags,
    check_instance_type,
    check_job_name,
)
from intermodal.training_request import tag_list

if TYPE_CHECKING:
    from intermodal.session import Session

FURTHER = ("explainer_config", "routing_config", "inference_ami_version", "update_endpoint")
"""Arguments of `deploy` that few need; they are given by name."""

# Beside those whose family has a `d`, as in `ml.m5d.xlarge`.
_WITH_DISKS = ("g5", "g6", "p5", "trn1", "local")

LEFT_OUT: Mapping[str, str] = {
    "inference_recommendation_id": "Inference Recommender is not supported; give "
    "`initial_instance_count` and `instance_type`",
    "resources": "inference components are not supported; make them with boto3",
    "endpoint_type": "inference components are not supported; make them with boto3",
    "managed_instance_scaling": "inference components are not supported; see Predictor.autoscale()",
    "inference_component_name": "inference components are not supported; make them with boto3",
    "accept_eula": "say it in `model_data`, a ModelDataSource with `ModelAccessConfig`",
    "model_reference_arn": "say it in `model_data`, a ModelDataSource with `HubAccessConfig`",
    "endpoint_logging": "the log's last lines are shown where the endpoint fails; `intermodal logs`"
    " shows all of it",
}
"""Arguments of the vendor's `deploy` that have no meaning here, and what to do instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What CreateEndpointConfig and CreateEndpoint are told; see `Model.deploy`."""

    initial_instance_count: int | None = None
    instance_type: str | None = None
    accelerator_type: str | None = None
    endpoint_name: str | None = None
    tags: Tags | None = None
    kms_key: str | None = None
    wait: bool = True
    data_capture_config: Any = None
    async_inference_config: Any = None
    serverless_inference_config: Any = None
    volume_size: int | None = None
    model_data_download_timeout: int | None = None
    container_startup_health_check_timeout: int | None = None
    explainer_config: Any = None
    routing_config: Mapping[str, Any] | None = None
    inference_ami_version: str | None = None
    update_endpoint: bool = False

    @property
    def is_async(self) -> bool:
        """Whether answers go to S3."""
        return self.async_inference_config is not None

    def check(self, what: str) -> None:
        """Find what AWS would refuse.

        Args:
            what: the call, as in `Model.deploy`.

        Raises:
            InvalidArgumentsError: there is something.
        """
        findings = Findings({})
        if self.serverless_inference_config is None:
            self._check_instances(findings)
        elif self.is_async:
            findings.add("async_inference_config", "needs instances; a serverless one has none")
        if self.endpoint_name is not None:
            check_job_name(findings, "endpoint_name", self.endpoint_name)
        elif self.update_endpoint:
            findings.add("endpoint_name", "is missing: which endpoint is to be updated?")
        for name in ("volume_size", "model_data_download_timeout"):
            if getattr(self, name) is not None:
                findings.at_least(name, getattr(self, name), 1)
        if findings.problems:
            raise InvalidArgumentsError(what, findings.problems)

    def create(self, session: "Session", model_name: str, endpoint_name: str) -> None:
        """Create the endpoint, or move the one that there is to this model.

        Raises:
            EndpointFailedError: it did not come into service, and `wait` was asked for.
        """
        tags = tag_list(self.tags)
        variants = [self._variant(model_name)]
        settings: dict[str, Any] = {
            "kms_key": self._key(session),
            "data_capture_config_dict": as_request(self.data_capture_config),
            "async_inference_config_dict": self._async_request(session, model_name),
            "explainer_config_dict": as_request(self.explainer_config),
        }
        if self.update_endpoint:
            session.create_endpoint_config(
                model_name, tags=tags, production_variants=variants, **settings
            )
            session.update_endpoint(endpoint_name, model_name, wait=self.wait)
        else:
            session.endpoint_from_production_variants(
                endpoint_name, variants, tags=tags, wait=self.wait, **settings
            )

    def _variant(self, model_name: str) -> dict[str, Any]:
        return production_variant(
            model_name,
            LOCAL_INSTANCE_TYPES.get(self.instance_type or "", self.instance_type),
            self.initial_instance_count,
            accelerator_type=self.accelerator_type,
            serverless_inference_config=as_request(self.serverless_inference_config),
            volume_size=self.volume_size,
            model_data_download_timeout=self.model_data_download_timeout,
            container_startup_health_check_timeout=self.container_startup_health_check_timeout,
            routing_config=self.routing_config,
            inference_ami_version=self.inference_ami_version,
        )

    def _key(self, session: "Session") -> str | None:
        """The defaults' key is for storage that is attached; disks of an instance take none."""
        family = (self.instance_type or "").removeprefix("ml.").partition(".")[0]
        if self.kms_key or not family or "d" in family or family.startswith(_WITH_DISKS):
            return self.kms_key
        key = session.defaults.get(*ENDPOINT_KEY)
        return None if key is None else str(key)

    def _async_request(self, session: "Session", model_name: str) -> dict[str, Any] | None:
        config = self.async_inference_config
        if isinstance(config, AsyncInferenceConfig):
            config = config.completed(session, model_name)
        return as_request(config)

    def _check_instances(self, findings: Findings) -> None:
        if self.initial_instance_count is None:
            findings.add("initial_instance_count", "is missing")
        else:
            findings.at_least("initial_instance_count", self.initial_instance_count, 1)
        if self.instance_type is None:
            findings.add("instance_type", "is missing; give for example 'ml.m5.xlarge', or 'local'")
        else:
            check_instance_type(findings, "instance_type", self.instance_type)


def refuse_further(what: str, given: Mapping[str, Any]) -> None:
    """Refuse what `deploy` does not take, with what to do instead.

    Raises:
        InvalidArgumentsError: arguments of the vendor's SDK that have no meaning here.
        TypeError: other arguments.
    """
    refuse_unknown(what, given, [*FURTHER, *LEFT_OUT])
    problems = [
        f"`{name}`: {LEFT_OUT[name]}" for name, value in given.items() if name in LEFT_OUT and value
    ]
    if problems:
        raise InvalidArgumentsError(what, problems)


def further(given: Mapping[str, Any]) -> dict[str, Any]:
    """Of further arguments, those that a `Deployment` takes."""
    return {name: value for name, value in given.items() if name in FURTHER}


def as_request(config: Any) -> dict[str, Any] | None:
    """A configuration object as AWS takes it; a dictionary is taken as it is."""
    if config is None:
        return None
    return dict(config) if isinstance(config, Mapping) else dict(config.request())
