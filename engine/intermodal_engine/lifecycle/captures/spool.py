"""Files of captured calls that are not in S3 yet; they outlive the engine.

captures/ID.json     where the file goes: bucket and key, and whose it is
captures/ID.jsonl    its lines
"""

import json
import os
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file of captures goes.

    Attributes:
        bucket: of S3.
        key: of S3.
        endpoint: whose calls they are.
        variant: whose calls they are.
    """

    bucket: str
    key: str
    endpoint: str
    variant: str


@dataclass(slots=True, eq=False)
class SpoolFile:
    """One file.

    Attributes:
        path: of its lines.
        place: where it goes.
        began_at: epoch seconds of its first lines.
        size_bytes: of its lines.
    """

    path: Path
    place: Place
    began_at: float
    size_bytes: int = 0

    def append(self, lines: Iterable[bytes]) -> None:
        """Adds lines, all or none.

        Raises:
            OSError: the disk has no room.
        """
        before = self.size_bytes
        try:
            with self.path.open("ab") as file:
                for line in lines:
                    self.size_bytes += file.write(line)
        except OSError:
            os.truncate(self.path, before)
            self.size_bytes = before
            raise

    def remove(self) -> None:
        """Forgets it; call when its lines are in S3, or nobody will have them."""
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".json").unlink(missing_ok=True)


def begin(folder: Path, place: Place, at: float) -> SpoolFile:
    """A new file.

    Raises:
        OSError: the disk has no room.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uuid.uuid4().hex}.jsonl"
    path.with_suffix(".json").write_text(json.dumps(asdict(place)), encoding="utf-8")
    return SpoolFile(path, place, at)


def left_over(folder: Path) -> Iterator[SpoolFile]:
    """The files that an earlier engine left, without a last line that it did not end."""
    for about in sorted(folder.glob("*.json")):
        path = about.with_suffix(".jsonl")
        try:
            place = Place(**json.loads(about.read_text(encoding="utf-8")))
            size_bytes = path.read_bytes().rfind(b"\n") + 1
            os.truncate(path, size_bytes)
        except (OSError, ValueError):  # it ended between two steps: there are no lines
            about.unlink(missing_ok=True)
            continue
        yield SpoolFile(path, place, path.stat().st_mtime, size_bytes)
