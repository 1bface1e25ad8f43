"""An instance's folder under the docker driver."""

import os
from pathlib import Path

from intermodal_engine.drivers.base import Mount, MountMode
from intermodal_engine.drivers.containers.records import (
    ContainerFolder,
    is_in_container,
    lay_out,
    unlock_layers,
)
from tests.helpers.driver_stages import make_spec, with_mounts


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_any_user_of_an_image_may_read_what_was_laid_out_and_write_beside_it(
    tmp_path: Path,
) -> None:
    spec = make_spec(tmp_path, 1, ("train",))
    (spec.ml / "model").mkdir(parents=True, mode=0o700)
    given = spec.ml / "config.json"
    given.touch(0o600)
    (spec.ml / "link").symlink_to("/etc/hostname")
    (checkpoints := spec.folder / "checkpoints").mkdir(mode=0o700)
    (others := tmp_path / "others").mkdir(mode=0o700)
    spec = with_mounts(
        spec,
        Mount(checkpoints, "/checkpoints", MountMode.READ_WRITE),
        Mount(others, "/opt/ml/input/data/train", MountMode.READ_WRITE),
    )
    lay_out(spec)
    assert mode(spec.ml / "model") == mode(checkpoints) == 0o777
    assert mode(given) == 0o644
    assert mode(others) == 0o700
    assert mode(spec.ml / "input" / "data" / "train") == 0o777


def test_records_are_for_the_engine_alone(tmp_path: Path) -> None:
    folder = ContainerFolder(tmp_path)
    assert folder.read_container() is None
    folder.write_container({"container_id": "0a1b", "addresses": None})
    assert mode(tmp_path / "container.json") == 0o600
    folder.forget_start()
    assert folder.read_container() is None


def test_a_process_of_this_machine_is_not_taken_for_a_containers(tmp_path: Path) -> None:
    folder = ContainerFolder(tmp_path)
    assert not is_in_container(os.getpid(), "f" * 64)
    folder.write_process(os.getpid(), "f" * 64)
    assert not (tmp_path / "supervisor.json").exists()


def test_what_the_kernel_leaves_of_an_overlay_goes(tmp_path: Path) -> None:
    (closed := tmp_path / "0" / "work" / "work").mkdir(parents=True)
    closed.chmod(0)
    unlock_layers(tmp_path)
    assert not closed.exists()
