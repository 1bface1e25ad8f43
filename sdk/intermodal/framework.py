"""What all frameworks share: an image told by the framework's version."""

from collections.abc import Mapping
from typing import Any, ClassVar

from intermodal import image_uris
from intermodal.estimator_base import EstimatorBase
from intermodal.model import FrameworkModel
from intermodal.names import name_from_base
from intermodal.renamed import ESTIMATOR_NAMES, WrittenArguments
from intermodal.training_options import Findings


class Framework(EstimatorBase):
    """An estimator whose image is told by the framework's version; subclasses name the framework.

    Args:
        entry_point: the training script.
        framework_version: as in `2.2.0`.
        py_version: as in `py310`; the one that fits the version where `None`.
        source_dir: the folder that the script lies in, or an `s3://…/sourcedir.tar.gz`.
        hyperparameters: the script's arguments; each goes through JSON.
        image_uri: an image of your own instead.
        distribution: how the script is launched on several hosts or devices.
        options: `role`, `instance_count`, `instance_type` and everything else of `EstimatorBase`.
    """

    framework: ClassVar[str]
    metrics_since: ClassVar[tuple[int, ...] | None]
    serves_training_code: ClassVar[bool] = True
    launchers: ClassVar[tuple[str, ...]] = ("mpi", "parameter_server")
    model_class: ClassVar[type["VersionedModel"]]

    def __init__(
        self,
        entry_point: Any,
        framework_version: str | None = None,
        py_version: str | None = None,
        source_dir: Any = None,
        hyperparameters: Mapping[str, Any] | None = None,
        image_uri: str | None = None,
        distribution: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        old = {name: options.pop(name) for name in ("distributions",) if name in options}
        written = WrittenArguments(old, ESTIMATOR_NAMES)
        self.distribution: Mapping[str, Any] = written.take("distribution", distribution) or {}
        unknown = sorted(set(self.distribution) - set(self.launchers))
        if unknown:
            raise ValueError(
                f"`distribution`: `{unknown[0]}` is no way to launch {type(self).__name__}; "
                f"there are {', '.join(f'`{name}`' for name in self.launchers) or 'none'}"
            )
        super().__init__(
            entry_point=entry_point,
            source_dir=source_dir,
            hyperparameters=hyperparameters,
            image_uri=image_uri,
            **options,
        )
        self.framework_version = framework_version
        self.py_version = py_version

    def training_image_uri(self) -> str:
        """The user's own image, or the vendor's for the version and the instance type."""
        if self.image_uri:
            return self.image_uri
        return image_uris.retrieve(
            self.framework,
            self.sagemaker_session.boto_region_name,
            version=self.framework_version,
            py_version=self.py_version,
            instance_type=self._image_instance_type(),
            image_scope="training",
            base_framework_version=self.base_framework_version,
        )

    @property
    def base_framework_version(self) -> str | None:
        """The framework below this one, as in `pytorch2.1.0`; `None` where there is none."""
        return None

    def wants_metrics(self) -> bool | None:
        """As the user said, else for the versions whose images send them."""
        if self.enable_sagemaker_metrics is not None or not self.framework_version:
            return self.enable_sagemaker_metrics
        if self.metrics_since is None:
            return None
        return True if image_uris.numbers_of(self.framework_version) >= self.metrics_since else None

    def launch_hyperparameters(self) -> dict[str, Any]:
        """MPI and the parameter server, as the vendor's training programs read them."""
        launch: dict[str, Any] = {}
        server, mpi = self.distribution.get("parameter_server"), self.distribution.get("mpi")
        if server:
            launch["sagemaker_parameter_server_enabled"] = bool(server.get("enabled", False))
        if mpi:
            launch["sagemaker_mpi_enabled"] = bool(mpi.get("enabled", False))
            if mpi.get("processes_per_host"):
                launch["sagemaker_mpi_num_of_processes_per_host"] = mpi["processes_per_host"]
            launch["sagemaker_mpi_custom_mpi_options"] = mpi.get("custom_mpi_options", "")
        return launch

    def create_model(self, **arguments: Any) -> FrameworkModel:
        """The trained model in the framework's serving image.

        Args:
            arguments: of the framework's model class. With `entry_point` that code serves, else
                what the training script put into the model's `code/`, else the training code.
                Without `name` the model gets one of its own, as it has in the vendor's SDK.
        """
        given = {
            "name": name_from_base(self.base_name()),
            **self.version_arguments(),
            **self.model_arguments(arguments),
        }
        has_own = bool(given.get("entry_point"))
        if has_own:
            given.setdefault("dependencies", self.dependencies)
        model = self.model_class(**given)
        if self.serves_training_code and not has_own:
            model.inherited_code = self.uploaded_code
        return model

    def version_arguments(self) -> dict[str, Any]:
        """What tells the model class the image."""
        return {
            "framework_version": self.framework_version,
            "py_version": self.py_version,
            "image_uri": self.image_uri,
        }

    @classmethod
    def attached_arguments(cls, description: Mapping[str, Any]) -> dict[str, Any]:
        """The same, with versions where the job's image tells them."""
        arguments = super().attached_arguments(description)
        from intermodal_contract.image import framework_image

        image = framework_image(arguments["image_uri"])
        if image and image.framework == cls.framework:
            del arguments["image_uri"]
            arguments |= {"framework_version": image.version, "py_version": image.python}
        return arguments

    def _check_code_and_image(self, findings: Findings) -> None:
        if self.entry_point is None and self.source_dir is None:
            findings.add("entry_point", "is missing: which script?")
        super()._check_code_and_image(findings)

    def _image_instance_type(self) -> str | None:
        kinds = [group.instance_type for group in self.instance_groups or []]
        return next((kind for kind in kinds if image_uris.device_of(kind) == "gpu"), None) or (
            kinds[0] if kinds else self.instance_type
        )


class TorchFramework(Framework):
    """A framework whose scripts may be launched with torchrun."""

    launchers: ClassVar[tuple[str, ...]] = (
        "torch_distributed",
        "pytorchddp",
        "mpi",
        "parameter_server",
    )

    def launch_hyperparameters(self) -> dict[str, Any]:
        """torchrun, DistributedDataParallel over MPI, or what all frameworks have."""
        for key, switch in (
            ("pytorchddp", "sagemaker_pytorch_ddp_enabled"),
            ("torch_distributed", "sagemaker_torch_distributed_enabled"),
        ):
            if self.distribution.get(key, {}).get("enabled"):
                return {switch: True, "sagemaker_instance_type": self.wire_instance_type}
        return super().launch_hyperparameters()


class VersionedModel(FrameworkModel):
    """A model whose image is told by the framework's version; subclasses name the framework.

    Args:
        model_data: `s3://…/model.tar.gz`, or a local one, which is uploaded.
        role: what the container runs as.
        entry_point: the inference script.
        framework_version: as in `2.2.0`.
        py_version: as in `py310`; the one that fits the version where `None`.
        image_uri: an image of your own instead.
        model_server_workers: worker processes an instance; the image's own choice where `None`.
        options: everything else of `Model`.
    """

    framework: ClassVar[str]
    default_predictor: ClassVar[Any]

    def __init__(
        self,
        model_data: Any = None,
        role: str | None = None,
        entry_point: Any = None,
        framework_version: str | None = None,
        py_version: str | None = None,
        image_uri: str | None = None,
        predictor_cls: Any = None,
        model_server_workers: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            image_uri=image_uri,
            model_data=model_data,
            role=role,
            entry_point=entry_point,
            predictor_cls=predictor_cls or self.default_predictor,
            **options,
        )
        self.framework_version = framework_version
        self.py_version = py_version
        self.model_server_workers = model_server_workers

    def serving_image_uri(self, instance_type: str | None) -> str:
        """The user's own image, or the vendor's for the version and the instance type."""
        if self.image_uri:
            return self.image_uri
        return image_uris.retrieve(
            self.framework,
            self.sagemaker_session.boto_region_name,
            version=self.framework_version,
            py_version=self.py_version,
            instance_type=instance_type,
            image_scope="inference",
            base_framework_version=self.base_framework_version,
        )

    @property
    def base_framework_version(self) -> str | None:
        """The framework below this one, as in `pytorch2.1.0`; `None` where there is none."""
        return None

    def _framework_facts(self) -> tuple[str | None, str | None]:
        return self.framework.upper(), self.framework_version

    def _code_environment(self, program: str | None) -> dict[str, str]:
        environment = super()._code_environment(program)
        if self.model_server_workers is not None:
            environment["SAGEMAKER_MODEL_SERVER_WORKERS"] = str(self.model_server_workers)
        return environment
