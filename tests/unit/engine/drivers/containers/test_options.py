"""A spec in the words of docker's API."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.drivers.base import InstanceSpec, Mount, MountMode, PlanRefusedError
from intermodal_engine.drivers.containers import options
from intermodal_engine.drivers.containers.machine import Machine
from tests.helpers.driver_stages import make_spec, with_mounts

LINUX = Machine(architecture="amd64", memory_bytes=16 << 30)
DESKTOP = replace(LINUX, is_desktop=True)
ROOTLESS = replace(LINUX, is_rootless=True)
PODMAN = replace(LINUX, is_podman=True)


@pytest.fixture
def spec(tmp_path: Path) -> InstanceSpec:
    return make_spec(tmp_path, 1, ("train",))


def config(spec: InstanceSpec, machine: Machine = LINUX, user: str | None = None) -> dict[str, Any]:
    names = options.names_of(spec, "engine", "0a1b2c3d4e5f")
    views = options.views_of(spec, names, spec.folder / "layers")
    return options.config_of(
        spec,
        names,
        "image:1",
        machine,
        laid_out=("input", "model"),
        views=views,
        user=user,
        ulimits={"nofile": 9},
    )


def test_a_job_runs_as_an_argument_to_the_images_own_entry_point(spec: InstanceSpec) -> None:
    made = config(spec)
    assert made["Cmd"] == ["train"]
    assert "Entrypoint" not in made
    assert made["HostConfig"]["Init"] is True


def test_an_entry_point_of_the_request_replaces_the_images(spec: InstanceSpec) -> None:
    made = config(replace(spec, entrypoint=("bash", "-c"), command=("run me",)))
    assert (made["Entrypoint"], made["Cmd"]) == (["bash", "-c"], ["run me"])


def test_a_container_is_known_by_its_labels(spec: InstanceSpec) -> None:
    assert config(spec)["Labels"] == {
        "io.intermodal.engine": "engine",
        "io.intermodal.instance": "training-job/demo/algo-1/0",
        "io.intermodal.folder": str(spec.folder),
        "io.intermodal.start": "0a1b2c3d4e5f",
    }


def test_names_are_such_as_docker_takes_and_differ_from_start_to_start(spec: InstanceSpec) -> None:
    odd = replace(spec, instance_id="training-job/dé mo/algo-1/0", network="x" * 300)
    one, other = (options.names_of(odd, "engine", start) for start in ("aaaaaa1", "bbbbbb2"))
    assert one.container == "intermodal-training-job-d-mo-algo-1-0-aaaaaa"
    assert one.container != other.container
    assert one.network == other.network
    assert len(one.network) < 100


def test_hosts_of_a_job_are_found_by_name_on_one_network(spec: InstanceSpec) -> None:
    made = config(spec)
    network = made["HostConfig"]["NetworkMode"]
    assert made["Hostname"] == "algo-1"
    assert made["NetworkingConfig"] == {"EndpointsConfig": {network: {"Aliases": ["algo-1"]}}}


def test_a_network_without_a_way_out_has_no_gateway_unless_a_port_must_be_reached(
    spec: InstanceSpec,
) -> None:
    def options_of(spec: InstanceSpec, machine: Machine = LINUX) -> tuple[bool, bool]:
        made = options.network_config(spec, "engine", machine)
        return made["internal"], bool(made["options"])

    isolated = replace(spec, outbound=False)
    assert options_of(spec) == (False, False)
    assert options_of(isolated) == (True, True)
    assert options_of(replace(isolated, ports=(8080,))) == (True, False)
    assert options_of(isolated, PODMAN) == (True, False)


def test_a_machine_has_no_limit_but_half_its_memory_for_sharing(spec: InstanceSpec) -> None:
    host = config(spec)["HostConfig"]
    assert host["ShmSize"] == 8 << 30
    assert not {"Memory", "NanoCpus", "DeviceRequests"} & set(host)


def test_limits_are_docker_s_and_leave_no_swap(spec: InstanceSpec) -> None:
    host = config(replace(spec, memory_bytes=4 << 30, cpus=2.0))["HostConfig"]
    assert (host["Memory"], host["MemorySwap"], host["ShmSize"]) == (4 << 30, 4 << 30, 2 << 30)
    assert host["NanoCpus"] == 2_000_000_000


def test_gpus_are_asked_for_by_number(spec: InstanceSpec) -> None:
    host = config(replace(spec, gpus=(1, 3)))["HostConfig"]
    assert host["DeviceRequests"] == [{"DeviceIDs": ["1", "3"], "Capabilities": [["gpu"]]}]


def test_all_output_is_kept_whatever_the_daemon_is_set_to(spec: InstanceSpec) -> None:
    assert config(spec)["HostConfig"]["LogConfig"]["Config"]["mode"] == "blocking"
    assert config(spec, PODMAN)["HostConfig"]["LogConfig"]["Config"] == {}


def test_limits_of_processes_are_raised_where_the_daemon_can(spec: InstanceSpec) -> None:
    own = {"nofile": 4096, "nproc": 100_000}
    raised = options.ulimits_for(LINUX, own, can_raise=True)
    assert raised == {"nofile": 65536, "memlock": -1}
    assert options.ulimits_for(LINUX, own, can_raise=False) == {}
    assert options.ulimits_for(PODMAN, own, can_raise=False) == {"nofile": 4096, "nproc": 32768}
    limits = config(spec)["HostConfig"]["Ulimits"]
    assert limits == [{"Name": "nofile", "Soft": 9, "Hard": 9}]


@pytest.mark.parametrize(
    ("machine", "is_published"), [(LINUX, False), (DESKTOP, True), (ROOTLESS, True)]
)
def test_ports_are_published_on_loopback_where_containers_cannot_be_reached(
    spec: InstanceSpec, machine: Machine, is_published: bool
) -> None:
    bindings = config(replace(spec, ports=(8080,)), machine)["HostConfig"].get("PortBindings")
    published = {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}
    assert bindings == (published if is_published else None)


def test_a_server_without_a_way_out_needs_a_container_that_can_be_reached(
    spec: InstanceSpec,
) -> None:
    isolated = replace(spec, ports=(8080,), outbound=False)
    options.check(isolated, LINUX)
    for machine in (ROOTLESS, DESKTOP, PODMAN):
        with pytest.raises(PlanRefusedError, match=r"network isolation(.|\n)*hint: "):
            options.check(isolated, machine)


def test_mounts_take_any_path_and_views_become_overlays(spec: InstanceSpec) -> None:
    spec = with_mounts(
        spec,
        Mount(Path("/data/a:b"), "/opt/ml/input/data/odd", MountMode.READ_ONLY),
        Mount(Path("/cache"), "/var/cache", MountMode.READ_WRITE),
        Mount(Path("/bucket"), "/opt/ml/input/data/train", MountMode.VIEW),
        Mount(Path("/bucket,2"), "/opt/ml/input/data/test", MountMode.VIEW),
    )
    mounts = config(spec)["HostConfig"]["Mounts"]
    assert [(one["Source"], one["Target"], one.get("ReadOnly")) for one in mounts] == [
        (f"{spec.ml}/input", "/opt/ml/input", False),
        (f"{spec.ml}/model", "/opt/ml/model", False),
        ("/data/a:b", "/opt/ml/input/data/odd", True),
        ("/cache", "/var/cache", False),
        ("intermodal-0a1b2c3d4e5f-2", "/opt/ml/input/data/train", None),
        ("/bucket,2", "/opt/ml/input/data/test", True),
    ]
    names = options.names_of(spec, "engine", "0a1b2c3d4e5f")
    (view,) = options.views_of(spec, names, spec.folder / "layers").values()
    layer = spec.folder / "layers" / "2"
    assert view.options == {
        "type": "overlay",
        "device": "overlay",
        "o": f"lowerdir=/bucket,upperdir={layer}/upper,workdir={layer}/work",
    }


def test_a_view_whose_paths_fill_more_than_the_kernel_takes_is_none(spec: InstanceSpec) -> None:
    spec = with_mounts(spec, Mount(Path("/" + "x" * 4000), "/opt/ml/model", MountMode.VIEW))
    names = options.names_of(spec, "engine", "0a1b2c")
    assert options.views_of(spec, names, spec.folder / "layers") == {}


@pytest.mark.parametrize(
    ("machine", "uid", "user"),
    [(LINUX, 0, None), (LINUX, 1001, "1001:7"), (ROOTLESS, 1001, "0:0"), (DESKTOP, 501, None)],
)
def test_what_a_container_writes_can_be_removed_by_the_engine(
    machine: Machine, uid: int, user: str | None
) -> None:
    assert options.user_for(machine, uid, 7) == user


def test_a_user_whom_no_image_knows_gets_a_home(spec: InstanceSpec) -> None:
    assert "HOME=/tmp" in config(spec, user="1001:7")["Env"]
    assert config(replace(spec, environment={"HOME": "/x"}), user="1001:7")["Env"] == ["HOME=/x"]
    assert config(spec, user="0:0")["Env"] == []


def test_an_engine_is_known_by_its_folder(tmp_path: Path) -> None:
    assert options.engine_id(tmp_path) == options.engine_id(tmp_path / "x" / "..")
    assert options.engine_id(tmp_path) != options.engine_id(tmp_path / "other")
