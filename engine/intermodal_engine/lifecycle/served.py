"""The containers of a variant: one as a rule, several of a model with `Containers`.

A variant of a deployment has `container`, and where there are several, all of them as `containers`
(each with its `ContainerHostname`) and `execution_mode`; `model_folder` and `model_folders` once
their models are fetched.

https://docs.aws.amazon.com/sagemaker/latest/dg/multi-container-endpoints.html
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intermodal_contract import env
from intermodal_contract.serving_http import MODELS_FOLDER
from intermodal_engine.drivers.base import Mount, MountMode
from intermodal_engine.lifecycle.model_files import ModelStore, is_multi_model
from intermodal_engine.router.model import ModelSource

DIRECT = "Direct"
_MODEL = "/opt/ml/model"
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Served:
    """One container of a variant.

    Attributes:
        number: its place.
        name: among several; empty for an only one.
        definition: ContainerDefinition.
        model_folder: with its model's files; None where the image brings them.
        volume_gib: what the models of one that serves many may take on disk.
    """

    number: int
    name: str
    definition: Mapping[str, Any]
    model_folder: str | None
    volume_gib: int | None

    @property
    def image(self) -> str:
        """The container image, as the request names it."""
        return str(self.definition["Image"])

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """Its model, where it has one."""
        folder = self.model_folder
        return (Mount(Path(folder), _MODEL, MountMode.VIEW),) if folder else ()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the model sets, and what tells it that it serves many."""
        modes = {env.MULTI_MODEL: "true"} if is_multi_model(self.definition) else {}
        return {**self.definition.get("Environment", {}), **modes}

    def within(self, folder: Path) -> Path:
        """Its own folder in a folder of all of them, or beside it."""
        return folder.with_name(f"{folder.name}.{self.name}") if self.name else folder

    def lay_out(self, ml: Path) -> None:
        """Makes what is in its `/opt/ml`; where nothing is, the image's own shows."""
        (ml / ("model" if self.model_folder else "")).mkdir(parents=True, exist_ok=True)
        if is_multi_model(self.definition):
            (ml / MODELS_FOLDER).mkdir(exist_ok=True)

    def models(self, ml: Path) -> ModelSource | None:
        """Where its models come from, if it serves many."""
        if not is_multi_model(self.definition):
            return None
        caching = self.definition.get("MultiModelConfig", {}).get("ModelCacheSetting", "Enabled")
        return ModelSource(
            prefix=self.definition["ModelDataUrl"],
            folder=str(ml / MODELS_FOLDER),
            is_cached=caching == "Enabled",
            limit_bytes=self.volume_gib * _GIB if self.volume_gib else None,
        )


def containers_of(variant: Mapping[str, Any]) -> tuple[Served, ...]:
    """The containers of a variant, or of a transform job, in their order."""
    return tuple(_containers(variant))


def is_direct(variant: Mapping[str, Any]) -> bool:
    """Whether each request names the container that it is for."""
    return variant.get("execution_mode") == DIRECT


def fetched(models: ModelStore, variant: Mapping[str, Any]) -> dict[str, Any]:
    """Where the files of a variant's models are, to be added to it.

    Raises:
        ModelDataError: a model cannot be had.
    """
    found = [models.fetch(one.definition) for one in containers_of(variant)]
    folders = [str(folder) if folder else None for folder in found]
    if "containers" not in variant:
        return {"model_folder": folders[0]}
    return {"model_folder": folders[0], "model_folders": folders}


def model_folders(variant: Mapping[str, Any]) -> list[str | None]:
    """The folders of a variant's models, as far as they are fetched."""
    folders: list[str | None] = variant.get("model_folders") or [variant.get("model_folder")]
    return folders


def _containers(variant: Mapping[str, Any]) -> Iterator[Served]:
    volume_gib = variant.get("volume_gib")
    several = variant.get("containers")
    if not several:
        yield Served(0, "", variant["container"], variant.get("model_folder"), volume_gib)
        return
    folders = variant.get("model_folders") or [None] * len(several)
    for number, (definition, folder) in enumerate(zip(several, folders, strict=True)):
        name = definition["ContainerHostname"]
        yield Served(number, name, definition, folder, volume_gib)
