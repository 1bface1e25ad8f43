"""The vendor's images of scikit-learn, XGBoost and transformers, as the vendor's SDK names them."""

import pytest

from intermodal_contract.image import Device, Purpose
from intermodal_contract.vendor_images import (
    UnknownVendorImageError,
    hugging_face_image,
    hugging_face_image_uri,
    own_account_image_uri,
)


@pytest.mark.parametrize(
    ("framework", "version", "region", "uri"),
    [
        (
            "sklearn",
            "1.2-1",
            "us-west-2",
            "246618743249.dkr.ecr.us-west-2.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
        ),
        (
            "xgboost",
            "1.0-1",
            "cn-north-1",
            "450853457545.dkr.ecr.cn-north-1.amazonaws.com.cn/sagemaker-xgboost:1.0-1-cpu-py3",
        ),
        (
            "xgboost",
            "3.0-5",
            "eu-west-1",
            "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:3.0-5",
        ),
    ],
)
def test_images_of_their_own_accounts_are_found_by_region(
    framework: str, version: str, region: str, uri: str
) -> None:
    assert own_account_image_uri(framework, "training", version, "cpu", region) == uri


@pytest.mark.parametrize(
    ("version", "device", "region", "purpose", "said"),
    [
        ("9.9", "cpu", "us-west-2", "training", "sklearn 9.9; known are 0.20.0, 0.23-1, 1.0-1"),
        ("1.2-1", "gpu", "us-west-2", "training", "not for gpu; known are cpu"),
        ("1.2-1", "cpu", "mars-1", "training", "region mars-1; known are af-south-1"),
        ("1.4-2", "cpu", "us-west-2", "inference", "inference image of sklearn 1.4-2"),
    ],
)
def test_what_there_is_no_image_for_is_refused_with_what_there_is(
    version: str, device: Device, region: str, purpose: Purpose, said: str
) -> None:
    with pytest.raises(UnknownVendorImageError, match=said):
        own_account_image_uri("sklearn", purpose, version, device, region)


def test_an_image_of_transformers_names_both_versions_as_they_were_given() -> None:
    host = "763104351884.dkr.ecr.us-west-2.amazonaws.com"

    full = hugging_face_image_uri("training", "4.36.0", "pytorch", "2.1.0", "gpu", "us-west-2")
    short = hugging_face_image_uri("inference", "4.26", "tensorflow", "2.11", "cpu", "us-west-2")

    assert full == (
        f"{host}/huggingface-pytorch-training:2.1.0-transformers4.36.0-gpu-py310-cu121-ubuntu20.04"
    )
    assert short == (
        f"{host}/huggingface-tensorflow-inference:2.11-transformers4.26-cpu-py39-ubuntu20.04"
    )


@pytest.mark.parametrize(
    ("transformers", "version", "device", "python", "said"),
    [
        ("3.0", "2.1.0", "gpu", None, "transformers 3.0; known are 4.4.2, 4.5.0"),
        ("4.36.0", "1.1", "gpu", None, "on pytorch 1.1; known are pytorch 2.1.0"),
        ("4.36.0", "2.1.0", "cpu", None, "for cpu; known are gpu"),
        ("4.36.0", "2.1.0", "gpu", "py38", "for py38; known are py310"),
    ],
)
def test_versions_of_transformers_that_have_no_image_are_refused_with_those_that_have(
    transformers: str, version: str, device: Device, python: str | None, said: str
) -> None:
    with pytest.raises(UnknownVendorImageError, match=said):
        hugging_face_image_uri(
            "training", transformers, "pytorch", version, device, "us-west-2", python
        )


def test_an_image_of_transformers_is_read_back_from_its_name() -> None:
    uri = hugging_face_image_uri("training", "4.28.1", "pytorch", "2.0.0", "gpu", "eu-west-1")

    image = hugging_face_image(uri)

    assert image is not None
    assert (image.transformers, image.framework, image.version) == ("4.28.1", "pytorch", "2.0.0")
    assert image.python == "py310"
    assert hugging_face_image("me/pytorch-training:2.0") is None
