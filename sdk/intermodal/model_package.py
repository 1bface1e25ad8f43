"""A model out of the registry, which is deployed like any other."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from intermodal.deployment import as_request
from intermodal.errors import InvalidArgumentsError
from intermodal.model import ROLE_IS_MISSING, Model
from intermodal.model_metrics import given
from intermodal.names import name_from_base
from intermodal.training_options import Findings, Tags, check_job_name

_ARN = re.compile(r"arn:aws[a-z-]*:sagemaker:[^:]*:\d*:model-package/([^/]+)(?:/(\d+))?")
APPROVED = "Approved"


class ModelPackage(Model):
    """A package of the registry.

    Args:
        role: what the containers run as; a name or an ARN.
        model_data: where it lies; the package knows by itself.
        algorithm_arn: not supported.
        model_package_arn: of a version, or of a package without versions; or that one's name.
        options: everything else of `Model`; of `image_uri` the package knows by itself.
    """

    def __init__(
        self,
        role: str | None = None,
        model_data: Any = None,
        algorithm_arn: str | None = None,
        model_package_arn: str | None = None,
        **options: Any,
    ) -> None:
        problems = []
        if algorithm_arn is not None:
            problems.append(
                "`algorithm_arn`: algorithms are not supported; make the package with boto3 and "
                "give its `model_package_arn`"
            )
        elif model_package_arn is None:
            problems.append("`model_package_arn`: is missing: which package?")
        if problems:
            raise InvalidArgumentsError("ModelPackage", problems)
        super().__init__(role=role, model_data=model_data, **options)
        self.model_package_arn = str(model_package_arn)

    def enable_network_isolation(self) -> bool:
        """Whether the containers reach nothing outside: those of AWS Marketplace do not."""
        containers = self._describe().get("InferenceSpecification", {}).get("Containers", [])
        return any("ProductId" in container for container in containers)

    def create(self, instance_type: str | None = None, tags: Tags | None = None) -> str:
        """Create the model, and approve the version where nobody has; returns the model's name.

        Raises:
            InvalidArgumentsError: arguments that AWS would refuse.
        """
        problems = self.problems(instance_type)
        if not self.role:
            problems.append(f"`role`: {ROLE_IS_MISSING}")
        if problems:
            raise InvalidArgumentsError(type(self).__name__, problems)
        self.name = self.name or name_from_base(self._base())
        self._approve()
        name = self.sagemaker_session.create_model(
            self.name,
            str(self.role),
            [given(ModelPackageName=self.model_package_arn, Environment=dict(self.env) or None)],
            vpc_config=self.vpc_config,
            enable_network_isolation=self.enable_network_isolation(),
            tags=tags,
        )
        self._is_created = True
        return name

    def problems(self, instance_type: str | None = None) -> list[str]:  # noqa: ARG002 (as Model)
        """What AWS would refuse, a sentence each."""
        findings = Findings({})
        if self.name is not None:
            check_job_name(findings, "name", self.name)
        return findings.problems

    # What is told of the package

    def update_approval_status(
        self, approval_status: str, approval_description: str | None = None
    ) -> None:
        """Approve or reject the version.

        Args:
            approval_status: `Approved`, `Rejected` or `PendingManualApproval`.
            approval_description: why.
        """
        self._update(ModelApprovalStatus=approval_status, ApprovalDescription=approval_description)

    def update_customer_metadata(self, customer_metadata_properties: Mapping[str, str]) -> None:
        """Set some of the metadata; the others stay."""
        self._update(CustomerMetadataProperties=dict(customer_metadata_properties))

    def remove_customer_metadata_properties(
        self, customer_metadata_properties_to_remove: Sequence[str]
    ) -> None:
        """Remove metadata by their keys."""
        self._update(
            CustomerMetadataPropertiesToRemove=list(customer_metadata_properties_to_remove)
        )

    def update_source_uri(self, source_uri: str) -> None:
        """Say where the model comes from."""
        self._update(SourceUri=source_uri)

    def update_model_life_cycle(self, model_life_cycle: Any) -> None:
        """Say how far it has come, by a `ModelLifeCycle`."""
        self._update(ModelLifeCycle=as_request(model_life_cycle))

    def update_model_card(self, model_card: Any) -> None:
        """Replace the card, as UpdateModelPackage takes it."""
        self._update(ModelCard=as_request(model_card))

    def update_inference_specification(
        self,
        containers: Sequence[Mapping[str, Any]] | None = None,
        image_uris: Sequence[str] | None = None,
        content_types: Sequence[str] | None = None,
        response_types: Sequence[str] | None = None,
        inference_instances: Sequence[str] | None = None,
        transform_instances: Sequence[str] | None = None,
    ) -> None:
        """Replace the containers, given whole or by their images.

        Args:
            containers: as UpdateModelPackage takes them.
            image_uris: of containers that have nothing else.
            content_types: what they take.
            response_types: what they answer.
            inference_instances: types that they may be deployed on.
            transform_instances: types that they may transform on.
        """
        kinds = (content_types, response_types, inference_instances, transform_instances)
        self._update(InferenceSpecification=_specification(containers, image_uris, *kinds))

    def add_inference_specification(
        self,
        name: str,
        containers: Sequence[Mapping[str, Any]] | None = None,
        image_uris: Sequence[str] | None = None,
        description: str | None = None,
        content_types: Sequence[str] | None = None,
        response_types: Sequence[str] | None = None,
        inference_instances: Sequence[str] | None = None,
        transform_instances: Sequence[str] | None = None,
    ) -> None:
        """Add further containers under a name; see `update_inference_specification`."""
        kinds = (content_types, response_types, inference_instances, transform_instances)
        named = given(Name=name, Description=description)
        made = {**named, **_specification(containers, image_uris, *kinds)}
        self._update(AdditionalInferenceSpecificationsToAdd=[made])

    def _update(self, **members: Any) -> None:
        self.sagemaker_session.sagemaker_client.update_model_package(
            ModelPackageArn=self.model_package_arn, **given(**members)
        )

    def _describe(self) -> dict[str, Any]:
        client = self.sagemaker_session.sagemaker_client
        return dict(client.describe_model_package(ModelPackageName=self.model_package_arn))

    def _approve(self) -> None:
        match = _ARN.fullmatch(self.model_package_arn)
        if match is None or match[2] is None:
            return
        if self._describe().get("ModelApprovalStatus") != APPROVED:
            self.update_approval_status(APPROVED)

    def _base(self) -> str:
        """The group's name, or the package's own."""
        match = _ARN.fullmatch(self.model_package_arn)
        return match[1] if match else self.model_package_arn

    def _job_base(self, instance_type: str | None) -> str:  # noqa: ARG002 (as Model)
        return self._base()

    def _facts(self) -> dict[str, Any]:
        return {"model_package_arn": self.model_package_arn, **super()._facts()}


def _specification(
    containers: Sequence[Mapping[str, Any]] | None,
    image_uris: Sequence[str] | None,
    content_types: Sequence[str] | None,
    response_types: Sequence[str] | None,
    inference_instances: Sequence[str] | None,
    transform_instances: Sequence[str] | None,
) -> dict[str, Any]:
    if (containers is None) == (image_uris is None):
        raise ValueError("give either `containers` or `image_uris`")
    listed = containers if containers is not None else [{"Image": one} for one in image_uris or ()]
    return given(
        Containers=[dict(container) for container in listed],
        SupportedContentTypes=content_types,
        SupportedResponseMIMETypes=response_types,
        SupportedRealtimeInferenceInstanceTypes=inference_instances,
        SupportedTransformInstanceTypes=transform_instances,
    )
