"""What each isolation level can give, and how a refusal reads."""

from dataclasses import replace
from pathlib import Path

import pytest

from intermodal_engine.drivers.base import InstanceSpec, Mount, MountMode, PlanRefusedError
from intermodal_engine.drivers.isolation import Isolation
from intermodal_engine.drivers.requirements import check
from tests.helpers.driver_stages import make_spec


@pytest.fixture
def train(tmp_path: Path) -> InstanceSpec:
    return make_spec(tmp_path, 1, ("train",))


@pytest.fixture
def foreign(tmp_path: Path) -> InstanceSpec:
    return make_spec(tmp_path, 2, ("gunicorn", "app"))


@pytest.mark.parametrize("isolation", [Isolation.NAMESPACES, Isolation.USER_NAMESPACES])
def test_a_training_job_of_several_hosts_runs_with_namespaces(
    train: InstanceSpec, isolation: Isolation
) -> None:
    spec = replace(train, hosts=("algo-1", "algo-2"))
    assert check(spec, isolation, has_network=False) == ()


@pytest.mark.parametrize("isolation", list(Isolation))
def test_a_foreign_server_needs_a_network_of_its_own(
    foreign: InstanceSpec, isolation: Isolation
) -> None:
    spec = replace(foreign, ports=(8080,))
    with pytest.raises(PlanRefusedError, match=r"`gunicorn` listens on port 8080(.|\n)*hint: "):
        check(spec, isolation, has_network=False)


def test_a_foreign_server_runs_with_a_network_of_its_own(foreign: InstanceSpec) -> None:
    spec = replace(foreign, ports=(8080,), outbound=False)
    assert check(spec, Isolation.NAMESPACES, has_network=True) == ()


@pytest.mark.parametrize("command", [(), ("--ratio", "1")])
def test_the_entry_point_of_an_image_is_not_known_here(
    train: InstanceSpec, command: tuple[str, ...]
) -> None:
    spec = replace(train, command=command)
    with pytest.raises(PlanRefusedError, match=r"`ContainerEntrypoint` is missing(.|\n)*docker"):
        check(spec, Isolation.NAMESPACES, has_network=True)


def test_a_single_host_without_ports_can_be_cut_off_by_namespaces_alone(
    train: InstanceSpec,
) -> None:
    spec = replace(train, outbound=False)
    assert check(spec, Isolation.USER_NAMESPACES, has_network=False) == ()


@pytest.mark.parametrize(
    ("isolation", "changes"),
    [
        (Isolation.NONE, {}),
        (Isolation.NAMESPACES, {"hosts": ("algo-1", "algo-2")}),
        (Isolation.USER_NAMESPACES, {"ports": (8080,)}),
    ],
)
def test_network_isolation_is_never_pretended(
    train: InstanceSpec, isolation: Isolation, changes: dict[str, object]
) -> None:
    spec = replace(train, outbound=False, **changes)  # type: ignore[arg-type] # fields of it
    with pytest.raises(PlanRefusedError, match="network isolation"):
        check(spec, isolation, has_network=False)


def test_without_namespaces_only_opt_ml_can_be_placed_elsewhere(
    train: InstanceSpec, tmp_path: Path
) -> None:
    inside = Mount(tmp_path, "/opt/ml/input/data/train", MountMode.VIEW)
    outside = Mount(tmp_path, "/data", MountMode.VIEW)
    (note,) = check(replace(train, mounts=(inside,)), Isolation.NONE, has_network=False)
    assert str(train.ml) in note
    with pytest.raises(PlanRefusedError, match="`/data` cannot be mounted"):
        check(replace(train, mounts=(outside,)), Isolation.NONE, has_network=False)


def test_a_mount_may_not_hide_what_the_instance_needs(train: InstanceSpec, tmp_path: Path) -> None:
    spec = replace(train, mounts=(Mount(tmp_path, "/data/checkpoints", MountMode.READ_WRITE),))
    for has_network in (False, True):
        check(spec, Isolation.NAMESPACES, has_network=has_network, needed=(Path("/data/other"),))
        for needed in ("/data/checkpoints", "/data/checkpoints/home/instances"):
            with pytest.raises(PlanRefusedError, match=f"would hide `{needed}`"):
                check(spec, Isolation.NAMESPACES, has_network=has_network, needed=(Path(needed),))


def test_a_mount_below_a_file_is_refused(train: InstanceSpec, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    target = f"{tmp_path}/file/below"
    spec = replace(train, mounts=(Mount(tmp_path, target, MountMode.READ_WRITE),))
    with pytest.raises(PlanRefusedError, match=f"`{target}` cannot be made in .*: that is a file"):
        check(spec, Isolation.USER_NAMESPACES, has_network=False)
