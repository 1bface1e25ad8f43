"""Image names."""

import pytest

from intermodal_contract.image import (
    EcrRegistry,
    FrameworkImage,
    ImageUri,
    InvalidImageUriError,
    Purpose,
    ecr_registry,
    framework_image,
    parse_image_uri,
    vendor_image_uri,
)

ECR = "763104351884.dkr.ecr.us-east-1.amazonaws.com"
DIGEST = "sha256:" + "0f" * 32


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("ubuntu", ImageUri(None, "ubuntu")),
        ("ubuntu:24.04", ImageUri(None, "ubuntu", "24.04")),
        ("intermodal/pytorch-training:x", ImageUri(None, "intermodal/pytorch-training", "x")),
        ("localhost/a/b:1", ImageUri("localhost", "a/b", "1")),
        ("host:5000/a", ImageUri("host:5000", "a")),
        ("a.b/c:v@" + DIGEST, ImageUri("a.b", "c", "v", DIGEST)),
        ("c@" + DIGEST, ImageUri(None, "c", None, DIGEST)),
        (f"{ECR}/x_y/z__w:1", ImageUri(ECR, "x_y/z__w", "1")),
    ],
)
def test_a_name_splits_as_docker_splits_it_and_goes_back(text: str, parts: ImageUri) -> None:
    assert parse_image_uri(text) == parts
    assert str(parts) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Ubuntu",
        "a/",
        "/a",
        "a:",
        "a b",
        "a:b c",
        "host:5000/",
        "a@sha256:1",
        "a@",
        "a:" + "x" * 129,
    ],
)
def test_an_impossible_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidImageUriError) as caught:
        parse_image_uri(text)
    assert f"`{text}`" in caught.value.message


@pytest.mark.parametrize(
    ("uri", "image"),
    [
        (
            f"{ECR}/pytorch-training:2.2.0-gpu-py310",
            FrameworkImage("pytorch", "training", "2.2.0", "gpu", "py310"),
        ),
        (
            f"{ECR}/pytorch-inference:2.3.0-cpu-py311-ubuntu20.04-sagemaker",
            FrameworkImage("pytorch", "inference", "2.3.0", "cpu", "py311"),
        ),
        (
            f"{ECR}/mxnet-inference:1.4.1-cpu-py3",
            FrameworkImage("mxnet", "inference", "1.4.1", "cpu", "py3"),
        ),
        (
            "727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn/mxnet-training:1.9.0-gpu-py38",
            FrameworkImage("mxnet", "training", "1.9.0", "gpu", "py38"),
        ),
        (
            "public.ecr.aws/deep-learning-containers/pytorch-training:2.6.0-gpu-py312-cu126",
            FrameworkImage("pytorch", "training", "2.6.0", "gpu", "py312"),
        ),
        (
            "intermodal/pytorch-training:2.13.0-cpu-py311",
            FrameworkImage("pytorch", "training", "2.13.0", "cpu", "py311"),
        ),
        (
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/intermodal/mxnet-training:1.9.1-cpu-py311",
            FrameworkImage("mxnet", "training", "1.9.1", "cpu", "py311"),
        ),
    ],
)
def test_framework_images_of_the_vendor_and_of_ours_are_recognised(
    uri: str, image: FrameworkImage
) -> None:
    assert framework_image(uri) == image


@pytest.mark.parametrize(
    "uri",
    [
        "pytorch-training:2.2.0-cpu-py310",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.2.0-cpu-py310",
        f"{ECR}/team/pytorch-training:2.2.0-cpu-py310",
        f"{ECR}/huggingface-pytorch-training:2.2.0-cpu-py310",
        f"{ECR}/pytorch-training:latest",
        f"{ECR}/pytorch-training",
        "public.ecr.aws/somebody/pytorch-training:2.6.0-gpu-py312",
        "notintermodal/pytorch-training:2.13.0-cpu-py311",
    ],
)
def test_somebody_elses_image_of_the_same_name_is_not_taken_for_one(uri: str) -> None:
    assert framework_image(uri) is None


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-east-1", "763104351884.dkr.ecr.us-east-1.amazonaws.com"),
        ("eu-south-1", "692866216735.dkr.ecr.eu-south-1.amazonaws.com"),
        ("cn-northwest-1", "727897471807.dkr.ecr.cn-northwest-1.amazonaws.com.cn"),
        ("us-gov-west-1", "442386744353.dkr.ecr.us-gov-west-1.amazonaws.com"),
        ("us-iso-east-1", "886529160074.dkr.ecr.us-iso-east-1.c2s.ic.gov"),
        ("us-isob-east-1", "094389454867.dkr.ecr.us-isob-east-1.sc2s.sgov.gov"),
    ],
)
@pytest.mark.parametrize("purpose", ["training", "inference"])
def test_a_vendor_name_is_made_for_every_region_and_recognised_again(
    region: str, host: str, purpose: Purpose
) -> None:
    uri = vendor_image_uri("pytorch", purpose, "2.2.0", "gpu", "py310", region)
    assert uri == f"{host}/pytorch-{purpose}:2.2.0-gpu-py310"
    assert framework_image(uri) == FrameworkImage("pytorch", purpose, "2.2.0", "gpu", "py310")


@pytest.mark.parametrize(
    ("uri", "registry"),
    [
        (f"{ECR}/a/b:1", EcrRegistry("763104351884", "us-east-1")),
        (
            "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com/a",
            EcrRegistry("123456789012", "us-gov-west-1"),
        ),
        (
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/a",
            EcrRegistry("123456789012", "cn-north-1"),
        ),
        ("127.0.0.1:5000/a", None),
        ("public.ecr.aws/a/b", None),
        ("a/b:1", None),
    ],
)
def test_a_registry_of_ecr_is_told_by_its_host(uri: str, registry: EcrRegistry | None) -> None:
    assert ecr_registry(parse_image_uri(uri)) == registry
