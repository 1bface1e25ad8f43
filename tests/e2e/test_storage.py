"""The store on a disk that loses power between any two changes, and on one that is full at any.

`make soak-storage` cuts the power before each change, with each kind of loss. `CUTS` and `SEED` of
the environment say how often, `every` or a number, and by which choices. The seed is printed.
"""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path

import pytest

from tests.helpers.object_store import BUCKET, Shelf, fast_folder
from tests.helpers.script_mode import tar_gz
from tests.storage.images import Disk, Image, Loss
from tests.storage.power import Cutter, Recording, recorded, replayed
from tests.storage.room import FullDisk
from tests.storage.tape import Recorder, compiler, events

UNPACK = """
import sys
from pathlib import Path
from intermodal_engine.lifecycle.model_files import ModelStore
from tests.helpers.object_store import BUCKET, Shelf

shelf = Shelf(Path(sys.argv[1]))
models = ModelStore(shelf.store, Path(sys.argv[1], "models"))
models.fetch({"ModelDataUrl": f"s3://{BUCKET}/model.tar.gz"})
"""

MOVE = """
import sys
from pathlib import Path
from intermodal_engine.lifecycle.transform.plan import ObjectPart, write_objects

folder = Path(sys.argv[1], "moved")
write_objects(folder, [ObjectPart(0, "/in", "s3://in", 1, 2, 3, "out")])
(folder / "0.out").touch()
"""

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(compiler() is None, reason="no C compiler builds what records the store"),
]

CUTS = os.environ.get("CUTS", "30")
SEED = int(os.environ.get("SEED", str(random.SystemRandom().randrange(1 << 32))))
IS_SOAK = CUTS == "every"


def test_after_a_power_cut_all_that_was_acknowledged_is_there_and_nothing_by_halves() -> None:
    with recorded() as recording:
        check_the_recording(recording)
        cutter = Cutter(recording, SEED)
        cuts = [*product(recording.cuts(), Loss)]
        if not IS_SOAK:
            cuts = random.Random(SEED).sample(cuts, int(CUTS))
        for at, loss in cuts:
            try:
                cutter.cut(at, loss)
            except AssertionError as error:
                where = f"SEED={SEED} before event {at}, {loss.value}"
                raise AssertionError(f"{where}: {error}") from error
    print(f"SEED={SEED} CUTS={CUTS} of {len(recording.disk.events)} events: {cutter.counts}")
    assert cutter.counts.total() == len(cuts)


def test_an_unpacked_model_has_its_name_only_once_all_of_it_is_durable() -> None:
    content = {"weights.txt": "w" * 100_000, "code/inference.py": "def model_fn(folder): ..."}
    with fast_folder() as home:
        shelf = Shelf(home)
        shelf.store.create_bucket(BUCKET)
        shelf.store.put_bytes(BUCKET, "model.tar.gz", tar_gz(content))
        shelf.close()
        outcomes = [named(image, home / "models") for image in images(UNPACK, home, "models")]
    assert all(one in ({}, content) for one in outcomes)
    assert content in outcomes


def test_what_a_transform_job_has_moved_is_never_there_without_what_says_whose_it_is() -> None:
    with fast_folder() as home:
        (home / "moved").mkdir()
        outcomes = []
        for image in images(MOVE, home, "moved"):
            files = {Path(path).name: image.nodes[node] for path, node in image.files.items()}
            if "0.out" in files:
                outcomes.append(bytes(files["objects"].data))
        whole = (home / "moved/objects").read_bytes()
    assert whole
    assert set(outcomes) == {whole}


def images(program: str, home: Path, folder: str) -> Iterator[Image]:
    """What a folder may hold after a power cut at any change that a program makes to it."""
    recorder = Recorder(home / folder, home)
    environment = {**os.environ, **recorder.environment}
    subprocess.run([sys.executable, "-c", program, str(home)], env=environment, check=True)
    disk = Disk(list(events(recorder.tape)))
    for at, loss in product(range(len(disk.events) + 1), Loss):
        yield disk.after(at, loss, random.Random(at))


def named(image: Image, models: Path) -> dict[str, str]:
    """The files of the model that has a name, by their paths in it."""
    found = {}
    for path, node in image.files.items():
        folder, *names = Path(path).relative_to(models).parts
        if not folder.startswith("."):
            found["/".join(names)] = image.nodes[node].data.decode()
    return found


def check_the_recording(recording: Recording) -> None:
    """It holds all that was done, and every step did something."""
    assert replayed(recording.disk.events) == recording.last
    pairs = pairwise(recording.worlds)
    assert [number for number, (before, after) in enumerate(pairs) if before == after] == []


@pytest.mark.parametrize(
    "for_good",
    [
        True,
        pytest.param(False, marks=pytest.mark.skipif(not IS_SOAK, reason="`make soak-storage`")),
    ],
    ids=["for good", "once"],
)
def test_a_step_that_meets_a_full_disk_is_refused_or_done_and_leaves_nothing(
    for_good: bool,
) -> None:
    disk = FullDisk(for_good=for_good)
    disk.run()
    print(f"disk full at every change, {'for good' if for_good else 'once'}: {disk.counts}")
    assert disk.counts["refused"] > 100


def test_a_job_that_meets_a_full_disk_ends_once_there_is_room() -> None:
    disk = FullDisk(for_good=True)
    disk.run_jobs(every=1 if IS_SOAK else 8)
    print(f"disk full at a job's changes: {disk.counts}")
    assert disk.counts["job Completed"] > 3
