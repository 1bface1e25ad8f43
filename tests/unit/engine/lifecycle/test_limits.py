"""How much of the machine an instance may use."""

import pytest

from intermodal_contract.instance import InstanceType
from intermodal_engine.lifecycle.limits import Limits, limits_of

MACHINE = InstanceType("local", vcpus=8, memory_gib=32.0)


def test_a_smaller_type_is_held_to_what_it_has() -> None:
    assert limits_of("ml.m5.large", MACHINE) == Limits(8 << 30, 2.0)


def test_a_type_has_never_more_than_the_machine() -> None:
    assert limits_of("ml.c5.4xlarge", MACHINE) == Limits()
    assert limits_of("ml.r5.2xlarge", MACHINE) == Limits()
    assert limits_of("ml.c5.2xlarge", MACHINE) == Limits(16 << 30)


@pytest.mark.parametrize("name", ["local", "local_gpu", "ml.new9.xlarge"])
def test_the_machine_itself_and_an_unknown_type_have_no_limit(name: str) -> None:
    assert limits_of(name, MACHINE) == Limits()


def test_this_machine_is_measured() -> None:
    assert limits_of("ml.p5.48xlarge") == Limits()
