"""Which image a framework's version has: the vendor's deep-learning containers, and ours.

Which Python the vendor's images have is written here; the catalogue knows it of ours.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    from intermodal_contract.image import Device

FRAMEWORKS = ("pytorch", "mxnet", "tensorflow")

# First version -> the one Python that its images have (the newer one of two).
_PYTHONS: Mapping[str, Mapping[tuple[int, int], str]] = {
    "pytorch": {
        (1, 2): "py3",
        (1, 8): "py36",
        (1, 9): "py38",
        (1, 13): "py39",
        (2, 0): "py310",
        (2, 3): "py311",
        (2, 6): "py312",
    },
    "mxnet": {(1, 4): "py3", (1, 8): "py37", (1, 9): "py38"},
    "tensorflow": {
        (1, 14): "py3",
        (2, 2): "py37",
        (2, 6): "py38",
        (2, 8): "py39",
        (2, 12): "py310",
    },
}


def retrieve(
    framework: str,
    region: str,
    version: str | None = None,
    py_version: str | None = None,
    instance_type: str | None = None,
    image_scope: str | None = None,
) -> str:
    """The URI of a framework's image.

    Args:
        framework: `pytorch`, `mxnet` or `tensorflow`.
        region: as in `us-west-2`.
        version: the framework's, as in `2.2.0`.
        py_version: as in `py310`; the one that fits the version where `None`.
        instance_type: decides between CPU and GPU.
        image_scope: `training` or `inference`.

    Raises:
        ValueError: there is no such image.
    """
    if framework not in FRAMEWORKS:
        raise ValueError(
            f"no images are known for framework {framework!r}; known are {', '.join(FRAMEWORKS)}"
        )
    if version is None:
        raise ValueError(f"`version` is missing: which {framework}? As in '2.2.0'")
    if image_scope not in ("training", "inference"):
        raise ValueError(f"`image_scope` is {image_scope!r}; give 'training' or 'inference'")
    from intermodal_contract.image import vendor_image_uri

    return vendor_image_uri(
        framework,
        cast("Literal['training', 'inference']", image_scope),
        version,
        device_of(instance_type),
        py_version or python_of(framework, version),
        region,
    )


def python_of(framework: str, version: str) -> str:
    """The `py_version` of a framework's version.

    Raises:
        ValueError: the version is no number, or older than any image.
    """
    from intermodal_contract.catalogue import releases

    numbers = numbers_of(version)[:2]
    ours = [one for one in releases() if (one.framework, one.version) == (framework, version)]
    if ours:
        return ours[0].python_tag
    fitting = [python for first, python in _PYTHONS[framework].items() if first <= numbers]
    if not fitting:
        raise ValueError(
            f"`framework_version`: there are no images of {framework} {version}; give `image_uri`"
        )
    return fitting[-1]


def numbers_of(version: str) -> tuple[int, ...]:
    """`(2, 2, 0)` of `2.2.0`.

    Raises:
        ValueError: the version is no number.
    """
    try:
        return tuple(int(part) for part in version.split("."))
    except ValueError:
        raise ValueError(
            f"`framework_version`: {version!r} is no version; give for example '2.2.0'"
        ) from None


def device_of(instance_type: str | None) -> "Device":
    """`gpu` where the instance type has one.

    Raises:
        ValueError: the type has Trainium or Inferentia chips, whose images have names of their own.
        UnknownInstanceTypeError: there is no such type.
    """
    if instance_type in (None, "local"):
        return "cpu"
    if instance_type == "local_gpu":
        return "gpu"
    from intermodal_contract.instance import instance_type as known_instance_type

    kind = known_instance_type(str(instance_type))
    if kind.neurons:
        raise ValueError(
            f"`{kind.name}` has Neuron chips, whose images have other names; give `image_uri`"
        )
    return "gpu" if kind.gpus else "cpu"
