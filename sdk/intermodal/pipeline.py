"""Several containers behind one endpoint; each is handed what the one before it has answered."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from intermodal.defaults import MODEL_ISOLATION, MODEL_ROLE, MODEL_VPC, defaults_of
from intermodal.deployment import Deployment
from intermodal.errors import InvalidArgumentsError
from intermodal.model import ROLE_IS_MISSING, Model
from intermodal.names import base_name_from_image, name_from_base
from intermodal.predictor import as_predictor
from intermodal.production_variants import pipeline_container_def
from intermodal.registering import unversioned_container
from intermodal.registration import Registration, registration
from intermodal.training_options import Tags
from intermodal.which_session import session_for

if TYPE_CHECKING:
    from intermodal.model_package import ModelPackage
    from intermodal.session import Session
    from intermodal.transformer import Transformer

_MOST_CONTAINERS = 15


class PipelineModel:
    """A chain of models on the same instances.

    Args:
        models: in the order in which they are asked.
        role: what the containers run as; a name or an ARN.
        predictor_cls: called with the endpoint's name and the session.
        name: the model's name; made from the first image's where `None`.
        vpc_config: `{"Subnets": […], "SecurityGroupIds": […]}`.
        sagemaker_session: boto3's own resolution where `None`.
        enable_network_isolation: the containers reach nothing outside.
    """

    def __init__(
        self,
        models: Sequence[Model],
        role: str | None = None,
        predictor_cls: Any = None,
        name: str | None = None,
        vpc_config: Mapping[str, Any] | None = None,
        sagemaker_session: "Session | None" = None,
        enable_network_isolation: bool | None = None,
    ) -> None:
        self.models = list(models)
        defaults = defaults_of(sagemaker_session)
        self.role: str | None = defaults.or_given(role, *MODEL_ROLE)
        self.predictor_cls = predictor_cls
        self.name = name
        self.vpc_config: Mapping[str, Any] | None = defaults.or_given(vpc_config, *MODEL_VPC)
        self.enable_network_isolation = bool(
            defaults.or_given(enable_network_isolation, *MODEL_ISOLATION)
        )
        self.endpoint_name: str | None = None
        self._session = sagemaker_session

    @property
    def sagemaker_session(self) -> "Session":
        """The session, made when it is first needed."""
        if self._session is None:
            self._session = session_for(None, None)
        return self._session

    def pipeline_container_def(self, instance_type: str | None = None) -> list[dict[str, Any]]:
        """The containers as CreateModel takes them; what must be uploaded for them is uploaded."""
        return pipeline_container_def(self.models, instance_type)

    def create(self, instance_type: str | None = None, tags: Tags | None = None) -> str:
        """Upload what must be uploaded and create the model; returns its name.

        Raises:
            InvalidArgumentsError: arguments that AWS would refuse.
        """
        self._check(instance_type)
        containers = self.pipeline_container_def(instance_type)
        self.name = self.name or name_from_base(base_name_from_image(containers[0]["Image"]))
        return self.sagemaker_session.create_model(
            self.name,
            str(self.role),
            containers,
            vpc_config=self.vpc_config,
            enable_network_isolation=self.enable_network_isolation,
            tags=tags,
        )

    def deploy(
        self,
        initial_instance_count: int | None = None,
        instance_type: str | None = None,
        serializer: Any = None,
        deserializer: Any = None,
        endpoint_name: str | None = None,
        tags: Tags | None = None,
        wait: bool = True,
        update_endpoint: bool = False,
        data_capture_config: Any = None,
        kms_key: str | None = None,
        volume_size: int | None = None,
        model_data_download_timeout: int | None = None,
        container_startup_health_check_timeout: int | None = None,
    ) -> Any:
        """Create model, endpoint configuration and endpoint.

        Args:
            initial_instance_count: two or more are spread over Availability Zones.
            instance_type: as in `ml.m5.xlarge`.
            serializer: instead of the predictor's own.
            deserializer: instead of the predictor's own.
            endpoint_name: the model's name where `None`.
            tags: of configuration and endpoint.
            wait: until the endpoint is in service.
            update_endpoint: move the endpoint of that name to this model.
            data_capture_config: a `DataCaptureConfig`, or as CreateEndpointConfig takes it.
            kms_key: encrypts the instances' storage.
            volume_size: GiB of storage an instance.
            model_data_download_timeout: seconds.
            container_startup_health_check_timeout: seconds.

        Returns:
            What `predictor_cls` makes of the endpoint; `None` without one.

        Raises:
            InvalidArgumentsError: arguments that AWS would refuse.
            EndpointFailedError: it did not come into service, and `wait` was asked for.
        """
        deployment = Deployment(
            initial_instance_count=initial_instance_count,
            instance_type=instance_type,
            endpoint_name=endpoint_name,
            tags=tags,
            wait=wait,
            update_endpoint=update_endpoint,
            data_capture_config=data_capture_config,
            kms_key=kms_key,
            volume_size=volume_size,
            model_data_download_timeout=model_data_download_timeout,
            container_startup_health_check_timeout=container_startup_health_check_timeout,
        )
        deployment.check("PipelineModel.deploy")
        if self._session is None:
            self._session = session_for(instance_type, None)
        model_name = self.create(instance_type)
        self.endpoint_name = endpoint_name or model_name
        deployment.create(self.sagemaker_session, model_name, self.endpoint_name)
        return as_predictor(
            self.predictor_cls, self.endpoint_name, self.sagemaker_session, serializer, deserializer
        )

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
        """Put the chain into the registry; see `Model.register`.

        `image_uri` stands for every model's image in a package without versions.
        """
        from intermodal.model_package import ModelPackage

        what = "PipelineModel.register"
        told = registration(
            what,
            further,
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
        self._check_registered(what, told)
        if told.model_package_name is None:
            containers = self.pipeline_container_def(told.instance_type)
            told = told.in_a_group_named_after(containers[0]["Image"])
        else:
            containers = [
                unversioned_container(
                    image_uri or model.serving_image_uri(told.instance_type), model.model_data
                )
                for model in self.models
            ]
        described = [told.described(container) for container in containers]
        return ModelPackage(
            role=self.role,
            model_package_arn=told.create(self.sagemaker_session, described),
            sagemaker_session=self.sagemaker_session,
            predictor_cls=self.predictor_cls,
        )

    def transformer(
        self,
        instance_count: int,
        instance_type: str,
        strategy: str | None = None,
        assemble_with: str | None = None,
        output_path: str | None = None,
        output_kms_key: str | None = None,
        accept: str | None = None,
        env: Mapping[str, str] | None = None,
        max_concurrent_transforms: int | None = None,
        max_payload: int | None = None,
        tags: Tags | None = None,
        volume_kms_key: str | None = None,
    ) -> "Transformer":
        """Create the model and return what runs it over data in S3; see `Transformer`."""
        from intermodal.transformer import Transformer

        if self._session is None:
            self._session = session_for(instance_type, None)
        name = self.create(instance_type)
        return Transformer(
            name,
            instance_count,
            instance_type,
            strategy,
            assemble_with,
            output_path,
            output_kms_key,
            accept,
            max_concurrent_transforms,
            max_payload,
            tags,
            env,
            name,
            self.sagemaker_session,
            volume_kms_key,
        )

    def delete_model(self) -> None:
        """Delete the model; the endpoint that serves it stays."""
        if self.name is None:
            raise ValueError("this model was not created yet, so there is none to delete")
        self.sagemaker_session.delete_model(self.name)

    def _check_registered(self, what: str, told: Registration) -> None:
        problems = []
        for index, model in enumerate(self.models):
            if model.model_data is None:
                problems.append(f"`models[{index}]`: has no `model_data`, which a package needs")
            problems += [f"`models[{index}]`: {one}" for one in model.problems(told.instance_type)]
        if problems:
            raise InvalidArgumentsError(what, problems)

    def _check(self, instance_type: str | None) -> None:
        problems = []
        if not self.role:
            problems.append(f"`role`: {ROLE_IS_MISSING}")
        if not 0 < len(self.models) <= _MOST_CONTAINERS:
            problems.append(
                f"`models`: {len(self.models)} of them; AWS takes 1 to {_MOST_CONTAINERS}"
            )
        for index, model in enumerate(self.models):
            problems += [f"`models[{index}]`: {one}" for one in model.problems(instance_type)]
        if problems:
            raise InvalidArgumentsError("PipelineModel", problems)
