"""The home folder of an engine: who runs on it, and how others find that engine.

One engine at a time holds a lock on `engine.lock`. The kernel lets go of it when the process ends,
however it ends, so an `engine.json` that a killed engine left behind is known to be stale.
"""

import contextlib
import fcntl
import http.client
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from intermodal_contract.errors import IntermodalError
from intermodal_contract.local_engine import HEALTH_PATH
from intermodal_engine import folders
from intermodal_engine.settings import Settings

# A reader holds the lock for microseconds while it looks whether an engine does.
_LOCK_PATIENCE_S = 0.25

_HEALTH_TIMEOUT_S = 3.0


class AlreadyRunningError(IntermodalError):
    """Another engine runs on this home."""


class HomeLostError(IntermodalError):
    """The home of a running engine was removed, moved or replaced."""


class HomeLock:
    """The lock that an engine holds.

    Args:
        home: the folder.
        descriptor: of the file that is locked.
    """

    def __init__(self, home: Path, descriptor: int) -> None:
        self._home = home
        self._descriptor = descriptor

    def check(self) -> None:
        """Makes sure that others find the lock where they look for it.

        Raises:
            HomeLostError: whoever comes next takes another, and the home, for free.
        """
        try:
            found = _lock_file(self._home).stat()
        except (FileNotFoundError, NotADirectoryError):
            found = None
        except OSError:  # a file system that is slow or ill takes no home away
            return
        own = os.fstat(self._descriptor)
        if found is None or not os.path.samestat(found, own):
            fate = "removed" if own.st_nlink == 0 else "moved"
            raise HomeLostError(
                f"the home folder `{self._home}` of the running engine was {fate}",
                hint="`intermodal down` stops an engine; its home can go then",
            )


@dataclass(frozen=True, slots=True)
class EngineState:
    """What `engine.json` tells about a running engine.

    Attributes:
        pid: its process.
        port: TCP port on loopback.
        endpoint_url: for `AWS_ENDPOINT_URL`.
        home: its home folder.
        version: version of intermodal.
        region: of its ARNs, and where its clients shall think they are.
        started_at: epoch seconds.
    """

    pid: int
    port: int
    endpoint_url: str
    home: str
    version: str
    region: str
    started_at: float


def prepare(settings: Settings) -> None:
    """Makes the home folder, readable by its owner only.

    Raises:
        IntermodalError: it cannot be made or written to.
    """
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings.home.chmod(0o700)
        settings.logs_folder.mkdir(exist_ok=True)
    except OSError as error:
        raise IntermodalError(
            f"the home folder `{settings.home}` cannot be used: {error.strerror}",
            hint="choose another one with `--home DIR` or `INTERMODAL_HOME`",
        ) from error


@contextlib.contextmanager
def locked(home: Path) -> Iterator[HomeLock]:
    """Holds the engine's lock on a home.

    Raises:
        AlreadyRunningError: another engine holds it.
    """
    descriptor = os.open(_lock_file(home), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _lock_within(descriptor, _LOCK_PATIENCE_S):
            raise AlreadyRunningError(
                f"an engine runs already on `{home}`", hint="stop it with `intermodal down`"
            )
        yield HomeLock(home, descriptor)
    finally:
        os.close(descriptor)


def is_locked(home: Path) -> bool:
    """Whether an engine runs, or starts, on this home."""
    try:
        descriptor = os.open(_lock_file(home), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def wait_until_free(home: Path, timeout_s: float) -> bool:
    """Waits until no engine runs on this home.

    Returns:
        Whether that came true within `timeout_s`.
    """
    try:
        descriptor = os.open(_lock_file(home), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        return _lock_within(descriptor, timeout_s)
    finally:
        os.close(descriptor)


def read_state(settings: Settings) -> EngineState | None:
    """The running engine's state; None if none runs (a stale file counts for nothing)."""
    return _read(settings) if is_locked(settings.home) else None


def home_served_at(port: int) -> str | None:
    """The home of the engine that answers on a port of this machine; None if none does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_HEALTH_TIMEOUT_S)
    try:
        connection.request("GET", HEALTH_PATH)
        home = json.loads(connection.getresponse().read())["home"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    else:
        return str(home)
    finally:
        connection.close()


def last_port(settings: Settings) -> int | None:
    """The port of the last engine on this home; None if none ever ran."""
    try:
        port = int(settings.port_file.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return port if 0 < port <= 65535 else None


@contextlib.contextmanager
def announced(settings: Settings, state: EngineState) -> Iterator[None]:
    """Tells others of a running engine, by `engine.json`, as long as it runs."""
    write_private(settings.port_file, f"{state.port}\n")
    write_private(settings.state_file, json.dumps(asdict(state), indent=2) + "\n")
    try:
        yield
    finally:
        if _read(settings) == state:  # where the home was replaced, the file is another engine's
            settings.state_file.unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, durably; others see all of it or nothing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folders.sync(path.parent)


def _read(settings: Settings) -> EngineState | None:
    try:
        return EngineState(**json.loads(settings.state_file.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _lock_file(home: Path) -> Path:
    return home / "engine.lock"


def _lock_within(descriptor: int, timeout_s: float) -> bool:
    """Takes the lock exclusively. The kernel offers no lock with a time-out, hence the retries."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        else:
            return True
