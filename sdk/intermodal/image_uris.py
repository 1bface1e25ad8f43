"""Which image a framework's version has: the vendor's deep-learning containers, and ours."""

import re
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from intermodal_contract.image import Device, Purpose

HUGGING_FACE = "huggingface"
_SERVING_RELEASES = {"2.12.0": "2.12.1", "2.16.2": "2.16.1"}


def retrieve(
    framework: str,
    region: str,
    version: str | None = None,
    py_version: str | None = None,
    instance_type: str | None = None,
    accelerator_type: str | None = None,
    image_scope: str | None = None,
    *,
    base_framework_version: str | None = None,
) -> str:
    """The URI of a framework's image.

    Args:
        framework: `pytorch`, `mxnet`, `tensorflow`, `huggingface`, `sklearn` or `xgboost`.
        region: as in `us-west-2`.
        version: the framework's, as in `2.2.0`; of `huggingface` that of transformers.
        py_version: as in `py310`; the one that fits the version where `None`.
        instance_type: decides between CPU and GPU.
        accelerator_type: must be `None`; Elastic Inference is gone.
        image_scope: `training` or `inference`; of `sklearn` and `xgboost`, one image is both.
        base_framework_version: what transformers run on, as in `pytorch2.1.0`.

    Raises:
        ValueError: there is no such image.
    """
    from intermodal_contract.catalogue import vendor_pythons
    from intermodal_contract.vendor_images import own_account_frameworks, own_account_image_uri

    own_accounts = own_account_frameworks()
    if framework not in (*vendor_pythons(), *own_accounts, HUGGING_FACE):
        known = ", ".join((*vendor_pythons(), HUGGING_FACE, *own_accounts))
        raise ValueError(f"no images are known for framework {framework!r}; known are {known}")
    if accelerator_type is not None:
        raise ValueError("`accelerator_type`: Elastic Inference has no images any more")
    if version is None:
        raise ValueError(f"`framework_version` is missing: which {framework}?{_example(framework)}")
    purpose = _purpose(image_scope or ("training" if framework in own_accounts else None))
    device = device_of(instance_type)
    if framework in own_accounts:
        _check_only_python(framework, py_version)
        return own_account_image_uri(framework, purpose, version, device, region)
    if framework == HUGGING_FACE:
        return _hugging_face(purpose, version, base_framework_version, device, region, py_version)
    return _deep_learning_image(framework, purpose, version, device, region, py_version)


def _purpose(image_scope: str | None) -> "Purpose":
    if image_scope not in ("training", "inference"):
        raise ValueError(f"`image_scope` is {image_scope!r}; give 'training' or 'inference'")
    return cast("Purpose", image_scope)


def _check_only_python(framework: str, py_version: str | None) -> None:
    from intermodal_contract.vendor_images import OWN_PYTHON

    if py_version not in (None, OWN_PYTHON):
        raise ValueError(f"`py_version`: the images of {framework} have {OWN_PYTHON!r} only")


def _hugging_face(
    purpose: "Purpose",
    version: str,
    base: str | None,
    device: "Device",
    region: str,
    py_version: str | None,
) -> str:
    from intermodal_contract.vendor_images import hugging_face_image_uri

    match = re.fullmatch(r"(pytorch|tensorflow)([\d.]+)", base or "")
    if not match:
        raise ValueError(
            f"`base_framework_version` is {base!r}; give what transformers {version} run on, "
            "as in 'pytorch2.1.0'; the classes take it as `pytorch_version` or `tensorflow_version`"
        )
    return hugging_face_image_uri(purpose, version, match[1], match[2], device, region, py_version)


def _deep_learning_image(
    framework: str,
    purpose: "Purpose",
    version: str,
    device: "Device",
    region: str,
    py_version: str | None,
) -> str:
    from intermodal_contract.image import vendor_image_uri

    python = py_version or python_of(framework, version, device)
    if (framework, purpose) == ("tensorflow", "inference"):
        # TensorFlow Serving has no Python, and a release of its own for some of TensorFlow's.
        python, version = "", _SERVING_RELEASES.get(version, version)
    return vendor_image_uri(framework, purpose, version, device, python, region)


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
        first = ".".join(map(str, min(vendor_pythons()[framework])))
        raise ValueError(
            f"`framework_version`: there are no images of {framework} {version}; known are "
            f"{first} and newer, or give `image_uri`"
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
