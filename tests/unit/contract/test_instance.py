"""Instance types."""

import os
from typing import Any

import botocore.session
import pytest

from intermodal_contract.instance import (
    INSTANCE_TYPES,
    UnknownInstanceTypeError,
    instance_type,
)

# Younger than the table; `instance_type` refuses them with a clear message.
NOT_YET = {
    *("c8g", "c8i", "c8i-flex", "m8g", "m8i", "m8i-flex", "r7gd", "r8g", "r8i", "r8i-flex"),
    *("dl1", "g7", "g7e", "p6-b200", "p6-b300", "p6e-gb200"),
}


@pytest.mark.parametrize("shape", ["TrainingInstanceType", "ProductionVariantInstanceType"])
def test_every_size_of_every_known_family_that_the_wire_takes_is_in_the_table(shape: str) -> None:
    model: Any = botocore.session.Session().get_service_model("sagemaker")
    missing = set(model.shape_for(shape).enum) - set(INSTANCE_TYPES)
    assert {name.split(".")[1] for name in missing} <= NOT_YET


@pytest.mark.parametrize(
    ("name", "vcpus", "memory_gib", "gpus", "gpu_kind", "neurons"),
    [
        ("ml.m5.xlarge", 4, 16, 0, None, 0),
        ("ml.c5.18xlarge", 72, 144, 0, None, 0),
        ("ml.c5n.9xlarge", 36, 96, 0, None, 0),
        ("ml.m4.10xlarge", 40, 160, 0, None, 0),
        ("ml.r7i.48xlarge", 192, 1536, 0, None, 0),
        ("ml.t2.medium", 2, 4, 0, None, 0),
        ("ml.p3.2xlarge", 8, 61, 1, "V100", 0),
        ("ml.p4d.24xlarge", 96, 1152, 8, "A100", 0),
        ("ml.p5.48xlarge", 192, 2048, 8, "H100", 0),
        ("ml.g4dn.16xlarge", 64, 256, 1, "T4", 0),
        ("ml.g5.12xlarge", 48, 192, 4, "A10G", 0),
        ("ml.g6e.48xlarge", 192, 1536, 8, "L40S", 0),
        ("ml.trn1.32xlarge", 128, 512, 0, None, 32),
        ("ml.inf2.48xlarge", 192, 768, 0, None, 24),
    ],
)
def test_a_type_has_what_aws_publishes(
    name: str, vcpus: int, memory_gib: float, gpus: int, gpu_kind: str | None, neurons: int
) -> None:
    known = instance_type(name)
    assert (known.vcpus, known.memory_gib, known.gpus) == (vcpus, memory_gib, gpus)
    assert (known.gpu_kind, known.neurons, known.is_local) == (gpu_kind, neurons, False)


def test_within_a_family_a_bigger_size_never_has_less() -> None:
    by_family: dict[str, list[tuple[int, float]]] = {}
    for known in INSTANCE_TYPES.values():
        family = known.name.split(".")[1]
        by_family.setdefault(family, []).append((known.vcpus, known.memory_gib))
    for sizes in by_family.values():
        memories = [memory_gib for _, memory_gib in sorted(sizes)]
        assert memories == sorted(memories)


@pytest.mark.parametrize("name", ["local", "local_gpu"])
def test_local_is_this_machine(name: str) -> None:
    here = instance_type(name)
    assert here.is_local
    assert here.vcpus == os.cpu_count()
    assert here.memory_gib > 0


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("m5.xlarge", "`ml.m5.xlarge`"),
        ("ml.p3.4xlarge", "ml.p3.2xlarge, ml.p3.8xlarge"),
        ("ml.z9.large", "`ml.m5.xlarge`"),
        ("", "`ml.m5.xlarge`"),
    ],
)
def test_an_unknown_type_is_refused_with_advice(name: str, hint: str) -> None:
    with pytest.raises(UnknownInstanceTypeError) as caught:
        instance_type(name)
    assert f"`{name}`" in caught.value.message
    assert caught.value.hint is not None
    assert hint in caught.value.hint
