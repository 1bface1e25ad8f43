"""Which mounts make an instance's `/opt/ml`, and what stands for them without mounts."""

from dataclasses import replace
from pathlib import Path

from intermodal_engine.drivers.base import Mount, MountMode
from intermodal_engine.drivers.isolation import copies_and_links, mount_steps
from tests.helpers.driver_stages import make_spec


def test_opt_ml_comes_before_what_is_mounted_in_it(tmp_path: Path) -> None:
    spec = replace(
        make_spec(tmp_path, 1, ("train",)),
        mounts=(
            Mount(tmp_path / "a", "/opt/ml/input/data/a", MountMode.VIEW),
            Mount(tmp_path / "b", "/opt/ml/checkpoints", MountMode.READ_WRITE),
            Mount(tmp_path / "c", "/opt/ml/model", MountMode.READ_ONLY),
        ),
    )
    steps = mount_steps(spec, tmp_path / "hosts", tmp_path / "layers")
    targets = [step["target"] for step in steps]
    assert [target for target in targets if target.startswith("/opt/ml")] == [
        "/opt/ml",
        "/opt/ml/input/data/a",
        "/opt/ml/checkpoints",
        "/opt/ml/model",
    ]
    by_target = {step["target"]: step for step in steps}
    assert by_target["/opt/ml/input/data/a"]["kind"] == "view"
    assert by_target["/opt/ml/checkpoints"]["read_only"] is False
    assert by_target["/opt/ml/model"]["read_only"] is True
    assert by_target["/opt/ml"]["source"] == str(spec.ml)
    assert targets[-1] == "/proc"


def test_two_views_never_share_a_layer(tmp_path: Path) -> None:
    mounts = tuple(
        Mount(tmp_path, f"/opt/ml/input/data/{number}", MountMode.VIEW) for number in range(3)
    )
    spec = replace(make_spec(tmp_path, 1, ("train",)), mounts=mounts)
    steps = mount_steps(spec, tmp_path / "hosts", tmp_path / "layers")
    layers = [step[key] for step in steps for key in ("upper", "work") if key in step]
    assert len(layers) == len(set(layers))


def test_without_mounts_only_what_may_be_written_is_a_link(tmp_path: Path) -> None:
    spec = replace(
        make_spec(tmp_path, 1, ("train",)),
        mounts=(
            Mount(tmp_path / "a", "/opt/ml/input/data/a", MountMode.VIEW),
            Mount(tmp_path / "b", "/opt/ml/checkpoints", MountMode.READ_WRITE),
            Mount(tmp_path / "c", "/opt/ml/model", MountMode.READ_ONLY),
        ),
    )
    copies, links = copies_and_links(spec)
    assert copies == [
        [str(tmp_path / "a"), str(spec.ml / "input/data/a")],
        [str(tmp_path / "c"), str(spec.ml / "model")],
    ]
    assert links == [(spec.ml / "checkpoints", tmp_path / "b")]
