"""What puts a model into the registry."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from intermodal.errors import InvalidArgumentsError
from intermodal.registration import Registration, registration
from intermodal.served_code import ServedCode
from intermodal.which_session import session_for

if TYPE_CHECKING:
    from intermodal.model_package import ModelPackage


class Registering(ServedCode):
    """A model that can be registered.

    Attributes:
        image_uri: the serving image.
        role: what the container runs as.
        predictor_cls: called with the endpoint's name and the session.
    """

    image_uri: str | None
    role: str | None
    predictor_cls: Any

    def register(
        self,
        content_types: Sequence[str] | None = None,
        response_types: Sequence[str] | None = None,
        inference_instances: Sequence[str] | None = None,
        transform_instances: Sequence[str] | None = None,
        model_package_name: str | None = None,
        model_package_group_name: str | None = None,
        image_uri: str | None = None,
        model_metrics: Any = None,
        metadata_properties: Any = None,
        marketplace_cert: bool = False,
        approval_status: str | None = None,
        description: str | None = None,
        **further: Any,
    ) -> "ModelPackage":
        """Put the model into the registry, as the next version of a group.

        Args:
            content_types: what it takes.
            response_types: what it answers.
            inference_instances: types that it may be deployed on.
            transform_instances: types that it may transform on.
            model_package_name: for a package without versions, instead of a group.
            model_package_group_name: made where there is none of that name; named after the image
                where `None`.
            image_uri: instead of the model's own.
            model_metrics: a `ModelMetrics`, or as CreateModelPackage takes it.
            metadata_properties: a `MetadataProperties`, or as CreateModelPackage takes it.
            marketplace_cert: the package is for AWS Marketplace.
            approval_status: `PendingManualApproval` where `None`.
            description: in words.
            further: `drift_check_baselines`, `customer_metadata_properties`, `domain`, `task`,
                `framework`, `model_card`, `model_life_cycle`, `source_uri`, and whatever else
                `Registration` has.

        Raises:
            InvalidArgumentsError: arguments that AWS would refuse.
        """
        from intermodal.model_package import ModelPackage

        self.image_uri = image_uri or self.image_uri
        what = f"{type(self).__name__}.register"
        framework, version = self._framework_facts()
        told = registration(
            what,
            {"framework": framework, "framework_version": version, **_of(further)},
            content_types=content_types,
            response_types=response_types,
            inference_instances=inference_instances,
            transform_instances=transform_instances,
            model_package_name=model_package_name,
            model_package_group_name=model_package_group_name,
            model_metrics=model_metrics,
            metadata_properties=metadata_properties,
            marketplace_cert=marketplace_cert,
            approval_status=approval_status,
            description=description,
        )
        if self._session is None:
            self._session = session_for(told.instance_type, None)
        problems = self.problems(told.instance_type)
        if problems:
            raise InvalidArgumentsError(what, problems)
        told = told.in_a_group_named_after(self.serving_image_uri(told.instance_type))
        package_arn = told.create(self.sagemaker_session, [self._registered_container(told)])
        return ModelPackage(
            role=self.role,
            model_data=self.model_data,
            model_package_arn=package_arn,
            sagemaker_session=self.sagemaker_session,
            predictor_cls=self.predictor_cls,
        )

    # What a model says of itself

    def prepare_container_def(self, instance_type: str | None = None) -> dict[str, Any]:
        """The container as CreateModel takes it."""
        raise NotImplementedError

    def serving_image_uri(self, instance_type: str | None) -> str:
        """The image for that instance type."""
        raise NotImplementedError

    def problems(self, instance_type: str | None = None) -> list[str]:
        """What AWS would refuse of the container, a sentence each."""
        raise NotImplementedError

    def _framework_facts(self) -> tuple[str | None, str | None]:
        """The framework and its version, as packages name them; nothing of any image."""
        return None, None

    def _registered_container(self, told: Registration) -> dict[str, Any]:
        """The container as the package has it; what must be uploaded for it is uploaded."""
        if told.model_package_name is None:
            return told.described(self.prepare_container_def(told.instance_type))
        image_uri = self.serving_image_uri(told.instance_type)
        return told.described(unversioned_container(image_uri, self.model_data))


def _of(further: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in further.items() if value is not None}


def unversioned_container(
    image_uri: str, model_data: str | Mapping[str, Any] | None
) -> dict[str, Any]:
    """A container of a package without versions, which has an image and data alone.

    Raises:
        InvalidArgumentsError: the data is said as such a package cannot say it.
    """
    if model_data is None:
        return {"Image": image_uri}
    if isinstance(model_data, Mapping) or not model_data.startswith("s3://"):
        raise InvalidArgumentsError(
            "register",
            ["`model_data`: a package without versions needs an archive that lies in S3"],
        )
    return {"Image": image_uri, "ModelDataUrl": model_data}
