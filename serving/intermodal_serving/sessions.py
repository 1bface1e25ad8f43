"""Stateful sessions: which are open, until when, and where their files lie.

A client asks for a session with `X-Amzn-SageMaker-Session-Id: NEW_SESSION`; the answer names it.
From then on the service sends all requests of the session to the same instance, but the kernel to
any worker of it. So what a session keeps lies in a folder that all workers see. AWS page:
stateful-sessions.
"""

import contextlib
import os
import re
import shutil
import time
import uuid
from pathlib import Path

from intermodal_serving.errors import BadRequestError

MAX_ID_CHARACTERS = 225
"""The header that names a new session holds 256 characters, 31 of them for its end."""

# What the API takes, as the service's model has it.
_ID = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")
_EXPIRY_FILE = ".expires"


class Sessions:
    """The sessions of one container.

    Args:
        folder: has a folder for each; need not be there.
        lifetime_s: how long one lasts if nobody says otherwise.
    """

    def __init__(self, folder: Path, lifetime_s: float) -> None:
        self._folder = folder
        self._lifetime_s = lifetime_s

    def open(
        self, session_id: str | None = None, expires_at_s: float | None = None
    ) -> tuple[str, int]:
        """Open a session; gives its id and when it ends, in whole seconds since 1970.

        Raises:
            ValueError: the id cannot be one, or is taken.
        """
        self._sweep()
        chosen = session_id or str(uuid.uuid4())
        if not is_session_id(chosen) or len(chosen) > MAX_ID_CHARACTERS:
            raise ValueError(
                f"{chosen!r} is no session id: letters, digits and inner dashes, "
                f"at most {MAX_ID_CHARACTERS}"
            )
        ends_at_s = int(time.time() + self._lifetime_s if expires_at_s is None else expires_at_s)
        # Made aside and then put in its place, so that no worker sees half of it.
        made = self._folder / f".{uuid.uuid4().hex}"
        made.mkdir(parents=True)
        (made / _EXPIRY_FILE).write_text(str(ends_at_s))
        place = self._folder / chosen
        try:
            if place.exists():  # an empty folder would be replaced
                raise FileExistsError
            made.rename(place)
        except OSError:
            shutil.rmtree(made, ignore_errors=True)
            raise ValueError(f"the session `{chosen}` is open already") from None
        return chosen, ends_at_s

    def find(self, session_id: str) -> Path:
        """The folder of an open session.

        Raises:
            BadRequestError: there is none of that id, or its time is over.
        """
        place = self._folder / session_id
        ends_at_s = _expiry(place) if is_session_id(session_id) else None
        if ends_at_s is None or ends_at_s < time.time():
            raise BadRequestError(
                f"there is no session `{session_id[:80]}`, or its time is over",
                hint="ask for another one with NEW_SESSION",
            )
        return place

    def close(self, session_id: str) -> None:
        """End a session and remove its files; nothing happens if there is none."""
        if is_session_id(session_id):
            self._remove(self._folder / session_id)

    def _sweep(self) -> None:
        """Remove the sessions whose time is over."""
        now = time.time()
        with contextlib.suppress(FileNotFoundError):
            for entry in list(os.scandir(self._folder)):
                ends_at_s = _expiry(Path(entry.path))
                if ends_at_s is not None and ends_at_s < now and is_session_id(entry.name):
                    self._remove(Path(entry.path))

    def _remove(self, place: Path) -> None:
        aside = self._folder / f".{uuid.uuid4().hex}"
        with contextlib.suppress(OSError):  # another worker was faster
            place.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)


def is_session_id(text: str) -> bool:
    """Whether a session can have that id, which then is a safe file name too."""
    return len(text) <= 256 and _ID.fullmatch(text) is not None


def expiry_text(ends_at_s: int) -> str:
    """A time as the header `X-Amzn-SageMaker-New-Session-Id` has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ends_at_s))


def _expiry(place: Path) -> int | None:
    try:
        return int((place / _EXPIRY_FILE).read_text())
    except (OSError, ValueError):
        return None
