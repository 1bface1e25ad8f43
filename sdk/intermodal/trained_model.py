"""What becomes of a trained model: it is deployed, or moved over data in S3."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from intermodal.deployment import FURTHER, LEFT_OUT
from intermodal.model import Model
from intermodal.names import base_name_from_image, name_from_base
from intermodal.registration import FURTHER as FURTHER_OF_PACKAGES
from intermodal.training_arguments import TrainingArguments
from intermodal.training_request import vpc_config

if TYPE_CHECKING:
    from intermodal.model_package import ModelPackage
    from intermodal.training_jobs import TrainingJob
    from intermodal.transformer import Transformer

_DEPLOY_ONLY = (
    "dry_run",
    "accelerator_type",
    "volume_size",
    "model_data_download_timeout",
    "container_startup_health_check_timeout",
    *FURTHER,
    *LEFT_OUT,
)


class TrainedModel(TrainingArguments):
    """The model that a job left, as what trained it knows it.

    Attributes:
        latest_training_job: the one that was started or attached to last.
    """

    latest_training_job: "TrainingJob | None" = None

    def create_model(self, **arguments: Any) -> Model:
        """The trained model, ready to be deployed."""
        raise NotImplementedError

    @property
    def model_data(self) -> str | dict[str, Any]:
        """S3 URI of the trained model; a `ModelDataSource` where it was left uncompressed.

        Raises:
            ValueError: the job has not ended, or has left no model.
        """
        from intermodal.training_jobs import trained_model

        return trained_model(self._latest().describe_ended())

    def deploy(
        self,
        initial_instance_count: int | None = None,
        instance_type: str | None = None,
        serializer: Any = None,
        deserializer: Any = None,
        endpoint_name: str | None = None,
        wait: bool = True,
        model_name: str | None = None,
        kms_key: str | None = None,
        tags: Any = None,
        serverless_inference_config: Any = None,
        data_capture_config: Any = None,
        async_inference_config: Any = None,
        **arguments: Any,
    ) -> Any:
        """Deploy the trained model to an endpoint; see `Model.deploy`.

        Args:
            initial_instance_count: two or more are spread over Availability Zones.
            instance_type: as in `ml.m5.xlarge`.
            serializer: instead of the predictor's own.
            deserializer: instead of the predictor's own.
            endpoint_name: made from `base_job_name` or the image's name where `None`.
            wait: until the endpoint is in service.
            model_name: the endpoint's name where `None`.
            kms_key: encrypts the instances' storage.
            tags: the estimator's own where `None`.
            serverless_inference_config: instead of instances.
            data_capture_config: a `DataCaptureConfig`, or as CreateEndpointConfig takes it.
            async_inference_config: an `AsyncInferenceConfig`, or as CreateEndpointConfig takes it.
            arguments: of `create_model`, and of `Model.deploy` where it has such a name.

        Returns:
            A predictor; the requests, for a dry run.
        """
        default_name = name_from_base(self.base_name())
        deploying = {name: arguments.pop(name) for name in _DEPLOY_ONLY if name in arguments}
        model = self.create_model(name=model_name or default_name, **arguments)
        return model.deploy(
            initial_instance_count,
            instance_type,
            serializer,
            deserializer,
            endpoint_name=endpoint_name or default_name,
            tags=self.tags if tags is None else tags,
            kms_key=kms_key,
            wait=wait,
            serverless_inference_config=serverless_inference_config,
            data_capture_config=data_capture_config,
            async_inference_config=async_inference_config,
            **deploying,
        )

    def register(
        self,
        content_types: Sequence[str] | None = None,
        response_types: Sequence[str] | None = None,
        inference_instances: Sequence[str] | None = None,
        transform_instances: Sequence[str] | None = None,
        image_uri: str | None = None,
        model_package_name: str | None = None,
        model_package_group_name: str | None = None,
        model_metrics: Any = None,
        metadata_properties: Any = None,
        marketplace_cert: bool = False,
        approval_status: str | None = None,
        description: str | None = None,
        compile_model_family: str | None = None,
        model_name: str | None = None,
        **arguments: Any,
    ) -> "ModelPackage":
        """Put the trained model into the registry; see `Model.register`.

        Args:
            content_types: what it takes.
            response_types: what it answers.
            inference_instances: types that it may be deployed on.
            transform_instances: types that it may transform on.
            image_uri: instead of the one that serves what was trained.
            model_package_name: for a package without versions, instead of a group.
            model_package_group_name: the group; made where there is none of that name.
            model_metrics: a `ModelMetrics`, or as CreateModelPackage takes it.
            metadata_properties: a `MetadataProperties`, or as CreateModelPackage takes it.
            marketplace_cert: the package is for AWS Marketplace.
            approval_status: `PendingManualApproval` where `None`.
            description: in words.
            compile_model_family: not supported.
            model_name: made from `base_job_name` or the image's name where `None`.
            arguments: of `create_model`, and of `Model.register` where it has such a name.
        """
        if compile_model_family is not None:
            raise ValueError("`compile_model_family`: compiled models are not supported")
        telling = {name: arguments.pop(name) for name in FURTHER_OF_PACKAGES if name in arguments}
        own_image = {"image_uri": image_uri} if image_uri else {}
        name = model_name or name_from_base(self.base_name())
        return self.create_model(name=name, **own_image, **arguments).register(
            content_types,
            response_types,
            inference_instances,
            transform_instances,
            model_package_name,
            model_package_group_name,
            image_uri,
            model_metrics,
            metadata_properties,
            marketplace_cert,
            approval_status,
            description,
            **telling,
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
        tags: Any = None,
        role: str | None = None,
        volume_kms_key: str | None = None,
        model_name: str | None = None,
        **arguments: Any,
    ) -> "Transformer":
        """Create the trained model and return what runs it over data in S3; see `Transformer`.

        `tags` and `role` are the estimator's own where `None`, `model_name` is made from
        `base_job_name` or the image's name, and `arguments` are those of `create_model`.
        """
        name = model_name or name_from_base(self.base_name())
        own_role = {"role": role} if role else {}
        model = self.create_model(name=name, **own_role, **arguments)
        transformer = model.transformer(
            instance_count,
            instance_type,
            strategy,
            assemble_with,
            output_path,
            output_kms_key,
            accept,
            {**model.env, **(env or {})},
            max_concurrent_transforms,
            max_payload,
            self.tags if tags is None else tags,
            volume_kms_key,
        )
        transformer.base_transform_job_name = self.base_job_name
        return transformer

    def model_arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What every model made from this estimator starts from; what was given wins.

        Args:
            given: of the model's class; `vpc_config_override` stands for its `vpc_config`.
        """
        given = dict(given)
        own_vpc = vpc_config(self.subnets, self.security_group_ids)
        return {
            "model_data": self.model_data,
            "role": self.role,
            "vpc_config": given.pop("vpc_config_override", own_vpc),
            "sagemaker_session": self.sagemaker_session,
            "enable_network_isolation": self.enable_network_isolation,
            "model_kms_key": self.output_kms_key,
            "code_location": self.code_location,
            "container_log_level": self.container_log_level,
            **given,
        }

    def base_name(self) -> str:
        """What names begin with that are made for its jobs and models."""
        return self.base_job_name or base_name_from_image(self.training_image_uri())

    def _latest(self) -> "TrainingJob":
        if self.latest_training_job is None:
            raise ValueError("no training job was started yet; call fit() first")
        return self.latest_training_job
