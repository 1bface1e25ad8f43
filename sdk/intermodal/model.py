"""A model that can be deployed: an image, an archive in S3, and perhaps code of the user's own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intermodal.cards import card, line
from intermodal.console import MODELS, console_url
from intermodal.defaults import (
    MODEL_ENVIRONMENT,
    MODEL_ISOLATION,
    MODEL_ROLE,
    MODEL_VPC,
    defaults_of,
)
from intermodal.deployment import Deployment, further, refuse_further
from intermodal.errors import EndpointFailedError, InvalidArgumentsError
from intermodal.names import base_from_name, base_name_from_image, name_from_base
from intermodal.predictor import Predictor, as_predictor, asynchronous
from intermodal.production_variants import container_def
from intermodal.registering import Registering
from intermodal.renamed import MODEL_NAMES, WrittenArguments, refuse_unknown
from intermodal.source import (
    UserCode,
    as_code,
    is_there,
    local_path,
)
from intermodal.training_options import Findings, Tags, check_job_name
from intermodal.which_session import session_for

if TYPE_CHECKING:
    from intermodal.model_package import ModelPackage as ModelPackage
    from intermodal.session import Session
    from intermodal.transformer import Transformer

ROLE_IS_MISSING = "is missing; give a role's name or ARN, or get_execution_role()"
_TRAINING_CODE_SERVES = (
    "the model brought no `code/inference.py`, so the training script was imported to serve it; "
    'keep what trains below `if __name__ == "__main__":`, or give deploy() an `entry_point`'
)


class Model(Registering):
    """One model container.

    Args:
        image_uri: the serving image.
        model_data: `s3://…/model.tar.gz`, a local one (uploaded), or a `ModelDataSource`.
        role: what the container runs as; a name or an ARN.
        predictor_cls: called with the endpoint's name and the session.
        env: the container's environment.
        name: the model's name; made from the image's where `None`.
        vpc_config: `{"Subnets": […], "SecurityGroupIds": […]}`.
        sagemaker_session: boto3's own resolution where `None`.
        enable_network_isolation: the container reaches nothing outside.
        model_kms_key: encrypts a repacked model.
        image_config: as CreateModel takes it.
        source_dir: a folder with the inference code; it becomes `code/` in the archive.
        code_location: S3 prefix for the repacked model; the default bucket where `None`.
        entry_point: the inference script.
        container_log_level: of the serving program, as Python's `logging` counts.
        dependencies: further files and folders for `code/lib/`.
        git_config: the repository that the code's paths are in, fetched at once; see `git_code`.
    """

    def __init__(
        self,
        image_uri: str | None = None,
        model_data: str | Mapping[str, Any] | None = None,
        role: str | None = None,
        predictor_cls: Any = Predictor,
        env: Mapping[str, str] | None = None,
        name: str | None = None,
        vpc_config: Mapping[str, Any] | None = None,
        sagemaker_session: "Session | None" = None,
        enable_network_isolation: bool | None = None,
        model_kms_key: str | None = None,
        image_config: Mapping[str, Any] | None = None,
        source_dir: str | Path | None = None,
        code_location: str | None = None,
        entry_point: str | Path | None = None,
        container_log_level: int = 20,
        dependencies: Sequence[str | Path] | None = None,
        git_config: Mapping[str, Any] | None = None,
        **old_names: Any,
    ) -> None:
        written = WrittenArguments(old_names, MODEL_NAMES)
        self.image_uri: str | None = written.take("image_uri", image_uri)
        refuse_unknown(type(self).__name__, written, ("image_uri",))
        if self.image_uri and self.image_uri.startswith("s3://"):
            raise TypeError(
                f"`image_uri` is {self.image_uri!r}, which is model data: since SDK v2 "
                "the image comes first; write Model(image_uri=..., model_data=...)"
            )
        self.model_data = model_data
        defaults = defaults_of(sagemaker_session)
        self.role: str | None = defaults.or_given(role, *MODEL_ROLE)
        self.predictor_cls = predictor_cls
        self.env = {**(defaults.get(*MODEL_ENVIRONMENT) or {}), **(env or {})}
        self.name = name
        self.vpc_config: Mapping[str, Any] | None = defaults.or_given(vpc_config, *MODEL_VPC)
        self._session = sagemaker_session
        self._enable_network_isolation = bool(
            defaults.or_given(enable_network_isolation, *MODEL_ISOLATION)
        )
        self.model_kms_key = model_kms_key
        self.image_config = image_config
        self.code_location = code_location
        self.container_log_level = container_log_level
        self.git_config = git_config
        self.code = (
            as_code(entry_point, source_dir, dependencies)
            if git_config is None
            else self._fetched(git_config, entry_point, source_dir, dependencies or ())
        )
        self._is_created = False
        self.endpoint_name: str | None = None

    def _fetched(self, git_config: Mapping[str, Any], entry_point: Any, *rest: Any) -> UserCode:
        from intermodal.git_code import cloned, git_problems

        problems = git_problems(git_config, entry_point)
        if problems:
            raise InvalidArgumentsError(type(self).__name__, problems)
        self._clone = cloned(git_config)
        return self._clone.code(entry_point, *rest)

    def enable_network_isolation(self) -> bool:
        """Whether the container reaches nothing outside."""
        return self._enable_network_isolation

    def serving_image_uri(self, instance_type: str | None) -> str:  # noqa: ARG002 - frameworks do
        """The image for that instance type."""
        return self.image_uri or ""

    def create(self, instance_type: str | None = None, tags: Tags | None = None) -> str:
        """Upload what must be uploaded and create the model; returns its name.

        Raises:
            InvalidArgumentsError: arguments that AWS would refuse.
        """
        problems = self.problems(instance_type)
        if not self.role:
            problems.append(f"`role`: {ROLE_IS_MISSING}")
        if problems:
            raise InvalidArgumentsError(type(self).__name__, problems)
        container = self.prepare_container_def(instance_type)
        name = self.sagemaker_session.create_model(
            str(self.name),
            str(self.role),
            container,
            vpc_config=self.vpc_config,
            enable_network_isolation=self.enable_network_isolation(),
            tags=tags,
        )
        self._is_created = True
        return name

    def prepare_container_def(self, instance_type: str | None = None) -> dict[str, Any]:
        """The container as CreateModel takes it; what must be uploaded for it is uploaded."""
        image_uri = self.serving_image_uri(instance_type)
        self.name = self.name or name_from_base(base_name_from_image(image_uri))
        model_data, program = self._staged_model()
        environment = {**self.env, **self._code_environment(program)}
        return container_def(image_uri, model_data, environment, image_config=self.image_config)

    def deploy(
        self,
        initial_instance_count: int | None = None,
        instance_type: str | None = None,
        serializer: Any = None,
        deserializer: Any = None,
        accelerator_type: str | None = None,
        endpoint_name: str | None = None,
        tags: Tags | None = None,
        kms_key: str | None = None,
        wait: bool = True,
        data_capture_config: Any = None,
        async_inference_config: Any = None,
        serverless_inference_config: Any = None,
        volume_size: int | None = None,
        model_data_download_timeout: int | None = None,
        container_startup_health_check_timeout: int | None = None,
        *,
        dry_run: bool = False,
        **further_options: Any,
    ) -> Any:
        """Create model, endpoint configuration and endpoint.

        Args:
            initial_instance_count: two or more are spread over Availability Zones.
            instance_type: as in `ml.m5.xlarge`; `local` starts the local engine.
            serializer: instead of the predictor's own.
            deserializer: instead of the predictor's own.
            accelerator_type: an Elastic Inference accelerator.
            endpoint_name: made from the model's name where `None`.
            tags: of model, configuration and endpoint.
            kms_key: encrypts the instances' storage.
            wait: until the endpoint is in service.
            data_capture_config: a `DataCaptureConfig`, or as CreateEndpointConfig takes it.
            async_inference_config: an `AsyncInferenceConfig`, or as CreateEndpointConfig takes it.
            serverless_inference_config: a `ServerlessInferenceConfig`, instead of instances.
            volume_size: GiB of storage an instance.
            model_data_download_timeout: seconds.
            container_startup_health_check_timeout: seconds.
            dry_run: only show what would be sent and what it costs an hour.
            further_options: `routing_config`, `explainer_config`, `inference_ami_version`, and
                `update_endpoint=True`, which moves the endpoint of that name to this model.

        Returns:
            What `predictor_cls` makes of the endpoint; an `AsyncPredictor` with
            `async_inference_config`; the requests, for a dry run.

        Raises:
            InvalidArgumentsError: arguments that AWS would refuse.
            EndpointFailedError: it did not come into service, and `wait` was asked for.
        """
        what = f"{type(self).__name__}.deploy"
        refuse_further(what, further_options)
        deployment = Deployment(
            initial_instance_count=initial_instance_count,
            instance_type=instance_type,
            accelerator_type=accelerator_type,
            endpoint_name=endpoint_name,
            tags=tags,
            kms_key=kms_key,
            wait=wait,
            data_capture_config=data_capture_config,
            async_inference_config=async_inference_config,
            serverless_inference_config=serverless_inference_config,
            volume_size=volume_size,
            model_data_download_timeout=model_data_download_timeout,
            container_startup_health_check_timeout=container_startup_health_check_timeout,
            **further(further_options),
        )
        deployment.check(what)
        if self._session is None:
            self._session = session_for(instance_type, None)
        if dry_run:
            from intermodal.dry_run import rehearse

            return rehearse(self, lambda model: model._deploy(replace(deployment, wait=False)))
        self._deploy(deployment)
        predictor = as_predictor(
            self.predictor_cls, self.endpoint_name, self.sagemaker_session, serializer, deserializer
        )
        return asynchronous(predictor, self.name) if deployment.is_async else predictor

    def default_endpoint_name(self) -> str:
        """What an endpoint is called that was given no name."""
        return name_from_base(base_from_name(str(self.name)))

    def _deploy(self, deployment: Deployment) -> None:
        model_name = self.create(deployment.instance_type, deployment.tags)
        self.endpoint_name = deployment.endpoint_name or self.default_endpoint_name()
        try:
            deployment.create(self.sagemaker_session, model_name, self.endpoint_name)
        except EndpointFailedError as error:
            if self._serves_training_code:
                error.hint = f"{_TRAINING_CODE_SERVES}\nhint: {error.hint}"
            raise

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
        return Transformer(
            self.create(instance_type, tags),
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
            None if self.enable_network_isolation() else env,
            self._job_base(instance_type),
            self.sagemaker_session,
            volume_kms_key,
        )

    def _job_base(self, instance_type: str | None) -> str:
        """What the names of transform jobs begin with."""
        return base_name_from_image(self.serving_image_uri(instance_type))

    def delete_model(self) -> None:
        """Delete the model; the endpoint that serves it stays."""
        if self.name is None:
            raise ValueError("this model was not created yet, so there is none to delete")
        self.sagemaker_session.delete_model(self.name)

    def __repr__(self) -> str:
        return line(type(self).__name__, self._facts())

    def _repr_html_(self) -> str:
        place = (MODELS, str(self.name))
        url = console_url(self.sagemaker_session, *place) if self._is_created else None
        return card(type(self).__name__, self._facts(), url)

    def _facts(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "image_uri": self.image_uri,
            "model_data": self.model_data,
            "entry_point": self.code.entry_point if self.code else None,
            "endpoint_name": self.endpoint_name,
        }

    # What AWS would refuse

    def problems(self, instance_type: str | None = None) -> list[str]:
        """What AWS would refuse of the container, a sentence each."""
        findings = Findings({})
        try:
            if not self.serving_image_uri(instance_type):
                findings.add("image_uri", "is missing: which serving image?")
        except ValueError as error:
            findings.problems.append(str(error))
        if self.name is not None:
            check_job_name(findings, "name", self.name)
        if self.code is not None:
            if not isinstance(self.model_data, str):
                findings.add(
                    "model_data", "must be a model.tar.gz, so that the code can be put into it"
                )
            findings.problems += self.code.problems()
        if not is_there(self.model_data):
            path = local_path(str(self.model_data))
            findings.add("model_data", f"there is no file `{path}`; give a model.tar.gz")
        return findings.problems


class FrameworkModel(Model):
    """A model in a framework's own serving image, which runs the user's script."""

    def _code_environment(self, program: str | None) -> dict[str, str]:
        return super()._code_environment(program or "")


def __getattr__(name: str) -> Any:
    if name == "ModelPackage":  # it is a model itself, so it cannot be here from the start
        from intermodal.model_package import ModelPackage

        return ModelPackage
    raise AttributeError(f"module 'intermodal.model' has no attribute {name!r}")
