"""One container that serves every model archive below an S3 prefix."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intermodal.model import Model
from intermodal.production_variants import container_def

if TYPE_CHECKING:
    from intermodal.session import Session

_MODE = "MultiModel"


class MultiDataModel(Model):
    """Many models of the same kind behind one endpoint; `predict(target_model=…)` names one.

    Args:
        name: the model's name.
        model_data_prefix: the S3 prefix of the archives.
        model: whose image, code and role are taken.
        image_uri: the serving image, where no `model` is given.
        role: what the container runs as, where no `model` is given.
        sagemaker_session: boto3's own resolution where `None`.
        options: everything else of `Model`, where no `model` is given.
    """

    def __init__(
        self,
        name: str,
        model_data_prefix: str,
        model: Model | None = None,
        image_uri: str | None = None,
        role: str | None = None,
        sagemaker_session: "Session | None" = None,
        **options: Any,
    ) -> None:
        if not model_data_prefix.startswith("s3://"):
            raise ValueError(f"`model_data_prefix`: {model_data_prefix!r} is no S3 prefix")
        if model and (image_uri or role or options):
            given = ["image_uri"] * bool(image_uri) + ["role"] * bool(role) + list(options)
            raise ValueError(f"`{given[0]}` is the `model`'s own; give one of the two")
        if model:
            image_uri, role = model.image_uri, model.role
            options = {
                "predictor_cls": model.predictor_cls,
                "vpc_config": model.vpc_config,
                "enable_network_isolation": model.enable_network_isolation(),
            }
        super().__init__(
            image_uri,
            model_data_prefix,
            role,
            name=name,
            sagemaker_session=sagemaker_session,
            **options,
        )
        self.model_data_prefix = model_data_prefix
        self.model = model

    def serving_image_uri(self, instance_type: str | None) -> str:
        """The `model`'s image, or the one that was given."""
        if self.model:
            return self.model.serving_image_uri(instance_type)
        return super().serving_image_uri(instance_type)

    def prepare_container_def(self, instance_type: str | None = None) -> dict[str, Any]:
        """The container as CreateModel takes it; what must be uploaded for it is uploaded."""
        image_uri, environment = self.serving_image_uri(instance_type), self.env
        if self.model:
            environment = self.model.prepare_container_def(instance_type)["Environment"]
        return container_def(image_uri, self.model_data_prefix, environment, _MODE)

    def default_endpoint_name(self) -> str:
        """The model's name."""
        return str(self.name)

    def problems(self, instance_type: str | None = None) -> list[str]:
        """What AWS would refuse of the container, a sentence each."""
        own = super().problems(instance_type)
        theirs = self.model.problems(instance_type) if self.model else []
        return list(dict.fromkeys([*own, *theirs]))

    def add_model(self, model_data_source: str, model_data_path: str | None = None) -> str:
        """Put an archive below the prefix; the endpoint serves it from then on.

        Args:
            model_data_source: an archive here, or the S3 URI of one.
            model_data_path: its name below the prefix; the file's name, or the source's key, where
                `None`.

        Returns:
            The S3 URI where it lies.

        Raises:
            ValueError: there is no such file.
        """
        from intermodal_contract.channel import S3Uri, parse_s3_uri

        session = self.sagemaker_session
        prefix = parse_s3_uri(self.model_data_prefix)
        folder = f"{prefix.key.rstrip('/')}/" if prefix.key else ""
        if model_data_source.startswith("s3://"):
            source = parse_s3_uri(model_data_source)
            target = S3Uri(prefix.bucket, f"{folder}{model_data_path or source.key}")
            session.storage.copy(source, target)
            return str(target)
        path = Path(model_data_source)
        if not path.is_file():
            raise ValueError(
                f"`model_data_source`: there is no file `{path}`; give an archive or an S3 URI"
            )
        target = S3Uri(prefix.bucket, f"{folder}{model_data_path or path.name}")
        with path.open("rb") as file:
            session.storage.put(file, target, session.owner_of(prefix.bucket))
        return str(target)

    def list_models(self) -> Iterator[str]:
        """What `target_model` may name: every key below the prefix, without it."""
        from intermodal_contract.channel import parse_s3_uri

        prefix = parse_s3_uri(self.model_data_prefix)
        for key in self.sagemaker_session.list_s3_files(prefix.bucket, prefix.key):
            yield key.removeprefix(prefix.key)
