"""The store on a disk that loses power between any two changes, and on one that is full at any.

`make soak-storage` cuts the power a thousand times; `CUTS` and `SEED` of the environment say how
often, and by which choices. The seed is printed.
"""

import os
import random
from itertools import pairwise

import pytest

from tests.storage.images import Loss
from tests.storage.power import Cutter, Recording, recorded, replayed
from tests.storage.room import FullDisk
from tests.storage.tape import compiler

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(compiler() is None, reason="no C compiler builds what records the store"),
]

CUTS = int(os.environ.get("CUTS", "30"))
SEED = int(os.environ.get("SEED", str(random.SystemRandom().randrange(1 << 32))))
IS_SOAK = "CUTS" in os.environ


def test_after_a_power_cut_all_that_was_acknowledged_is_there_and_nothing_by_halves() -> None:
    choices = random.Random(SEED)
    with recorded() as recording:
        check_the_recording(recording)
        cutter = Cutter(recording, SEED)
        for _ in range(CUTS):
            at, loss = choices.choice(recording.cuts()), choices.choice([*Loss])
            try:
                cutter.cut(at, loss)
            except AssertionError as error:
                where = f"SEED={SEED} before event {at}, {loss.value}"
                raise AssertionError(f"{where}: {error}") from error
    print(f"SEED={SEED} CUTS={CUTS} of {len(recording.disk.events)} events: {cutter.counts}")
    assert cutter.counts.total() == CUTS


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
