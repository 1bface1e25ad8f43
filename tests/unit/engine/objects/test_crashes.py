"""A process that dies at any step of a write leaves the old object or the new one, whole."""

import subprocess
import sys
from pathlib import Path

import pytest

from intermodal_engine.store.objects import Details
from tests.helpers.object_store import BUCKET, Shelf, fast_folder

# Dies, as by SIGKILL, right before the step of that number.
PROGRAM = """
import os, sys
from pathlib import Path
from intermodal_engine.store.objects.disk import Disk
from tests.helpers.object_store import BUCKET, Shelf

class MortalDisk(Disk):
    steps = 0

def mortal(name):
    whole = getattr(Disk, name)
    def step(self, *arguments):
        if MortalDisk.steps == int(sys.argv[2]):
            os._exit(9)
        MortalDisk.steps += 1
        return whole(self, *arguments)
    return step

for name in ("create", "write", "sync", "sync_folder", "replace", "remove", "copy"):
    setattr(MortalDisk, name, mortal(name))

shelf = Shelf(Path(sys.argv[1]), MortalDisk())
store = shelf.store
exec(sys.argv[3])
shelf.close()
"""

PUT = """
store.put_bytes(BUCKET, "old", b"new bytes", content_type="x/new")
"""
PUT_BELOW = """
store.put_bytes(BUCKET, "old/below", b"new bytes", content_type="x/new")
"""
DELETE = """
store.delete(BUCKET, "old")
"""


def run(home: Path, step: int, script: str) -> int:
    """Runs the script until it dies before the given step; its exit code."""
    root = Path(__file__).parents[4]
    arguments = [sys.executable, "-c", PROGRAM, str(home), str(step), script]
    return subprocess.run(arguments, cwd=root, timeout=60, check=False).returncode


def prepared(home: Path) -> None:
    shelf = Shelf(home)
    shelf.store.create_bucket(BUCKET)
    shelf.store.put_bytes(BUCKET, "old", b"old", content_type="x/old")
    shelf.close()


def seen(home: Path) -> dict[str, tuple[str, str]]:
    """Every object's bytes and type after a restart, and that nothing else is there."""
    shelf = Shelf(home)
    found = {
        info.key: (info.path.read_text(), info.content_type) for info in shelf.store.iterate(BUCKET)
    }
    assert shelf.leftovers() == []
    shelf.close()
    return found


OLD = {"old": ("old", "x/old")}
NEW = {"old": ("new bytes", "x/new")}
BOTH = {**OLD, "old/below": ("new bytes", "x/new")}


@pytest.mark.parametrize(
    ("script", "after"),
    [(PUT, NEW), (PUT_BELOW, BOTH), (DELETE, {})],
    ids=["put", "below", "delete"],
)
def test_a_crash_at_any_step_leaves_what_was_or_what_shall_be(
    script: str, after: dict[str, tuple[str, str]]
) -> None:
    outcomes = []
    for step in range(20):
        with fast_folder() as home:
            prepared(home)
            code = run(home, step, script)
            found = seen(home)
        assert found in (OLD, after), f"died before step {step}"
        outcomes.append(found == after)
        if code == 0:
            break
    assert code == 0
    assert step > 0
    # Once it is in force it stays in force: no later step may undo it.
    assert outcomes == sorted(outcomes)
    assert outcomes[-1]


def test_a_crash_at_any_step_of_completing_an_upload_loses_no_part() -> None:
    script = """
from intermodal_engine.store.objects.completion import ClaimedPart
upload = store.uploads.list(BUCKET)[0]
parts = [ClaimedPart(part.number, part.etag) for part in store.uploads.parts(upload)]
store.uploads.complete(upload, parts, {})
"""
    whole = b"a" * (5 << 20) + b"b"
    for step in range(20):
        with fast_folder() as home:
            with_two_parts(home)
            code = run(home, step, script)
            shelf = Shelf(home)
            info = shelf.store.find(BUCKET, "big")
            uploads = shelf.store.uploads.list(BUCKET)
            if info is None:
                assert [part.number for part in shelf.store.uploads.parts(uploads[0])] == [1, 2]
            else:
                assert info.path.read_bytes() == whole
                assert info.content_type == "x/big"
                assert uploads == []
                assert shelf.leftovers() == []
            shelf.close()
        if code == 0:
            break
    assert code == 0
    assert info is not None


def with_two_parts(home: Path) -> None:
    prepared(home)
    shelf = Shelf(home)
    source = home / "source"
    source.write_bytes(b"a" * (5 << 20) + b"b")
    upload = shelf.store.uploads.create(BUCKET, "big", Details("x/big"))
    with source.open("rb") as file:
        shelf.store.uploads.copy_part(upload, 1, file.fileno(), 0, 5 << 20)
        shelf.store.uploads.copy_part(
            shelf.store.uploads.get(BUCKET, "big", upload.upload_id), 2, file.fileno(), 5 << 20, 1
        )
    source.unlink()
    shelf.close()
