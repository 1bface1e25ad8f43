"""Which image a framework's version has: the vendor's deep-learning containers, and ours."""

from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    from intermodal_contract.image import Device


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
    from intermodal_contract.catalogue import vendor_pythons
    from intermodal_contract.image import vendor_image_uri

    if framework not in vendor_pythons():
        known = ", ".join(vendor_pythons())
        raise ValueError(f"no images are known for framework {framework!r}; known are {known}")
    if version is None:
        raise ValueError(f"`framework_version` is missing: which {framework}?{_example(framework)}")
    if image_scope not in ("training", "inference"):
        raise ValueError(f"`image_scope` is {image_scope!r}; give 'training' or 'inference'")
    device = device_of(instance_type)
    return vendor_image_uri(
        framework,
        cast("Literal['training', 'inference']", image_scope),
        version,
        device,
        py_version or python_of(framework, version, device),
        region,
    )


def python_of(framework: str, version: str, device: "Device" = "cpu") -> str:
    """The `py_version` of a framework's version.

    Raises:
        ValueError: the version is no number, or older than any image.
    """
    from intermodal_contract.catalogue import releases, vendor_pythons

    numbers = numbers_of(version)[:2]
    ours = [one for one in releases() if (one.framework, one.version) == (framework, version)]
    if ours and device in ours[0].builds:
        return ours[0].builds[device].python_tag
    fitting = [tag for first, tag in vendor_pythons()[framework].items() if first <= numbers]
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


def _example(framework: str) -> str:
    from intermodal_contract.catalogue import releases

    ours = [one.version for one in releases() if one.framework == framework]
    return f" As in {ours[-1]!r}" if ours else ""
