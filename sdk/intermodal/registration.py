"""How a model goes into the registry: what CreateModelPackage is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from intermodal.deployment import as_request
from intermodal.errors import InvalidArgumentsError
from intermodal.model_metrics import given
from intermodal.names import base_name_from_image
from intermodal.renamed import refuse_unknown

if TYPE_CHECKING:
    from intermodal.session import Session

PENDING = "PendingManualApproval"

_LEFT_OUT: Mapping[str, str] = {
    "accept_eula": "say it in `model_data`, a ModelDataSource with `ModelAccessConfig`",
    "model_type": "models of JumpStart are not supported",
}
"""Arguments of the vendor's `register` that have no meaning here, and what to do instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a package says of its model, besides its containers; see `Model.register`."""

    content_types: Sequence[str] | None = None
    response_types: Sequence[str] | None = None
    inference_instances: Sequence[str] | None = None
    transform_instances: Sequence[str] | None = None
    model_package_name: str | None = None
    model_package_group_name: str | None = None
    model_metrics: Any = None
    metadata_properties: Any = None
    marketplace_cert: bool = False
    approval_status: str | None = None
    description: str | None = None
    drift_check_baselines: Any = None
    customer_metadata_properties: Mapping[str, str] | None = None
    validation_specification: Mapping[str, Any] | None = None
    domain: str | None = None
    task: str | None = None
    sample_payload_url: str | None = None
    framework: str | None = None
    framework_version: str | None = None
    nearest_model_name: str | None = None
    data_input_configuration: str | None = None
    skip_model_validation: str | None = None
    source_uri: str | None = None
    model_card: Any = None
    model_life_cycle: Any = None
    model_package_registration_type: str | None = None
    base_model: Any = None

    @property
    def instance_type(self) -> str | None:
        """What tells a framework's image: the first type that it may be asked on."""
        return self.inference_instances[0] if self.inference_instances else None

    def check(self, what: str) -> None:
        """Find what AWS would refuse.

        Args:
            what: the call, as in `Model.register`.

        Raises:
            InvalidArgumentsError: there is something.
        """
        problems = []
        if self.model_package_name and self.model_package_group_name:
            problems.append(
                "`model_package_name` and `model_package_group_name` exclude each other: the first "
                "is for a package without versions"
            )
        if self.model_package_name:
            problems += [
                f"`{name}`: is missing; a package without versions needs it"
                for name in ("inference_instances", "transform_instances")
                if not getattr(self, name)
            ]
            if self.source_uri:
                problems.append("`source_uri`: a package without versions has none")
        if problems:
            raise InvalidArgumentsError(what, problems)

    def in_a_group_named_after(self, image_uri: str) -> "Registration":
        """The same, with a group where neither group nor package was named."""
        if self.model_package_name or self.model_package_group_name:
            return self
        return replace(self, model_package_group_name=base_name_from_image(image_uri))

    def described(self, container: Mapping[str, Any]) -> dict[str, Any]:
        """A container with what is said of its framework; without what a package cannot say."""
        inputs = self.data_input_configuration
        more = given(
            Framework=self.framework,
            FrameworkVersion=self.framework_version,
            NearestModelName=self.nearest_model_name,
            ModelInput=None if inputs is None else {"DataInputConfig": inputs},
            BaseModel=as_request(self.base_model),
        )
        if self.model_package_name:
            more = {}
        return {name: value for name, value in container.items() if name != "ImageConfig"} | more

    def create(self, session: "Session", containers: Sequence[Mapping[str, Any]]) -> str:
        """Register the containers, in a group that is made where there is none; returns the ARN."""
        group = self.model_package_group_name
        if group is not None and not group.startswith("arn:"):
            _ensure_group(session, group)
        client = session.sagemaker_client
        package_arn = str(
            client.create_model_package(**self._request(containers))["ModelPackageArn"]
        )
        if self.source_uri:
            # A source and an inference specification cannot be given at once.
            client.update_model_package(ModelPackageArn=package_arn, SourceUri=self.source_uri)
        return package_arn

    def _request(self, containers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        specification = given(
            Containers=[dict(container) for container in containers],
            SupportedContentTypes=_listed(self.content_types),
            SupportedResponseMIMETypes=_listed(self.response_types),
            SupportedRealtimeInferenceInstanceTypes=_listed(self.inference_instances),
            SupportedTransformInstanceTypes=_listed(self.transform_instances),
        )
        return given(
            ModelPackageName=self.model_package_name,
            ModelPackageGroupName=self.model_package_group_name,
            ModelPackageDescription=self.description,
            ModelMetrics=as_request(self.model_metrics),
            DriftCheckBaselines=as_request(self.drift_check_baselines),
            MetadataProperties=as_request(self.metadata_properties),
            CustomerMetadataProperties=self.customer_metadata_properties,
            ValidationSpecification=self.validation_specification,
            Domain=self.domain,
            Task=self.task,
            SamplePayloadUrl=self.sample_payload_url,
            InferenceSpecification=specification,
            CertifyForMarketplace=self.marketplace_cert,
            ModelApprovalStatus=self.approval_status or PENDING,
            SkipModelValidation=self.skip_model_validation or "None",
            ModelCard=as_request(self.model_card),
            ModelLifeCycle=as_request(self.model_life_cycle),
            ModelPackageRegistrationType=self.model_package_registration_type,
        )


FURTHER = tuple(field.name for field in fields(Registration))[11:]
"""Arguments of `register` that few need; they are given by name."""


def registration(what: str, further: Mapping[str, Any], **arguments: Any) -> Registration:
    """A registration of these arguments, checked.

    Args:
        what: the call, as in `Model.register`.
        further: arguments that few need.
        arguments: the others.

    Raises:
        InvalidArgumentsError: AWS would refuse something, or it has no meaning here.
        TypeError: other arguments.
    """
    refuse_unknown(what, further, [*FURTHER, *_LEFT_OUT])
    problems = [
        f"`{name}`: {_LEFT_OUT[name]}" for name in further if name in _LEFT_OUT and further[name]
    ]
    if problems:
        raise InvalidArgumentsError(what, problems)
    kept = {name: value for name, value in further.items() if name in FURTHER}
    made = Registration(**arguments, **kept)
    made.check(what)
    return made


def _listed(values: Sequence[str] | None) -> list[str] | None:
    return None if values is None else list(values)


def _ensure_group(session: "Session", name: str) -> None:
    client = session.sagemaker_client
    pages = client.get_paginator("list_model_package_groups").paginate(NameContains=name)
    for page in pages:
        for group in page["ModelPackageGroupSummaryList"]:
            if group["ModelPackageGroupName"] == name:
                return
    client.create_model_package_group(ModelPackageGroupName=name)
