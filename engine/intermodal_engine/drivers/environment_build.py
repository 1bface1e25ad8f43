"""Virtual environments that uv makes once from a release's lock, and that all instances share.

An environment is there if, and only if, its mark is: `<name>.json` beside the folder `<name>`,
written last. So whatever a crash leaves is made again, never used. The mark's time is the
environment's last use. A lock makes two who want the same environment make it once; uv inherits
it, so that nobody meddles with an environment that a uv without an engine still fills.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from intermodal_contract.catalogue import Release
from intermodal_engine.drivers.base import StartFailedError
from intermodal_engine.drivers.environment_sources import (
    pip_options,
    uv_options,
    uv_program,
    uv_variables,
)
from intermodal_engine.drivers.supervision import processes

Say = Callable[[str], None]
"""Takes a line about the progress."""

_TOLD = ("Resolved", "Downloading", "Prepared", "Installed")
_LAST_LINES = 12
_LAST_CHARACTERS = 600
"""A job's FailureReason has 1024; the hint must fit too."""
_INSTALL_PYTHON = (
    "install the Python that it speaks of, where programs are found or with `uv python install`"
)
_HINTS = (
    ("No space left", "free some space, for example with `intermodal prune`"),
    ("No interpreter found", _INSTALL_PYTHON),
    ("python-build-standalone", _INSTALL_PYTHON),
    (
        "Hash mismatch",
        "the wheels found are other builds than those of the lock; take them from the public "
        "index, or set UV_NO_VERIFY_HASHES=1 if you trust them",
    ),
    (
        "",
        "packages come from where pip's or uv's configuration says (PIP_INDEX_URL, "
        "PIP_FIND_LINKS, UV_DEFAULT_INDEX, UV_FIND_LINKS, pip.conf); the engine reads them when it "
        "starts",
    ),
)
"""What uv's words contain, and what then helps; the first that fits."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides what is in an environment.

    Attributes:
        release: the framework's.
        python: the interpreter: a path, or a version for uv to find.
        python_version: the interpreter's, as exactly as it is known.
        own: arguments for `uv pip install` that bring our programs.
    """

    release: Release
    python: str
    python_version: str
    own: tuple[str, ...]

    @property
    def name(self) -> str:
        """For example `mxnet-1.9.1-0123456789ab`; another recipe has another name."""
        parts = [
            *self.release.requirements,
            self.release.lock_file.read_text(encoding="utf-8"),
            *(self.python, self.python_version),
            *self.own,
        ]
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        return f"{self.release.framework}-{self.release.version}-{digest[:12]}"


class BuildAbandonedError(Exception):
    """The engine ends while an environment is made; whoever needs it asks the next engine."""


class Builds:
    """The programs that make environments for one engine, and end with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._is_closed = False

    def close(self) -> None:
        """Ends what runs, and lets nothing begin."""
        with self._lock:
            self._is_closed = True
            for process in self._running:
                _end(process)

    @contextlib.contextmanager
    def running(
        self, argv: Sequence[str], variables: Mapping[str, str], lock: int
    ) -> Iterator[subprocess.Popen[str]]:
        """Runs a program that holds a lock; it has ended afterwards.

        Raises:
            BuildAbandonedError: the engine ends.
        """
        with self._lock:
            if self._is_closed:
                raise BuildAbandonedError("the engine ends")
            # At the root no project's configuration is found; Ctrl-C is meant for the engine.
            process = subprocess.Popen(
                argv,
                env=dict(variables),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                pass_fds=[lock],
                start_new_session=True,
            )
            self._running.add(process)
        try:
            yield process
        except BaseException:
            _end(process)
            raise
        finally:
            with process:  # waits for it, and closes the pipe
                pass
            with self._lock:
                self._running.discard(process)
        if self._is_closed:
            raise BuildAbandonedError("the engine ends")


@dataclass(frozen=True, slots=True)
class BuiltEnvironment:
    """One environment, there or not.

    Attributes:
        home: the folder of all environments.
        recipe: what is in it.
        name: the recipe's.
        builds: what makes it.
    """

    home: Path
    recipe: Recipe
    name: str
    builds: Builds

    @property
    def folder(self) -> Path:
        """The virtual environment."""
        return self.home / self.name

    @property
    def mark(self) -> Path:
        """What says that it is whole."""
        return self.home / f"{self.name}.json"

    def is_ready(self) -> bool:
        """Whether it is whole, and where it was made: its programs' first lines name the place."""
        try:
            made = json.loads(self.mark.read_bytes())
        except (FileNotFoundError, ValueError):
            return False
        return made["folder"] == str(self.folder) and (self.folder / "bin/python").exists()

    def make(self, say: Say) -> None:
        """Makes it unless it is there; marks its use.

        Raises:
            StartFailedError: with uv's own last words and what would help.
            BuildAbandonedError: the engine ends meanwhile.
        """
        try:
            if not self.is_ready():
                self.home.mkdir(parents=True, exist_ok=True)
                with _locked(_lock_file(self.folder), say) as lock:
                    if not self.is_ready():
                        self._make(lock, say)
            os.utime(self.mark)
        except OSError as error:
            raise StartFailedError(f"cannot make the environment {self.folder}: {error}") from error

    def _make(self, lock: int, say: Say) -> None:
        release = self.recipe.release
        began = time.monotonic()
        say(
            f"making an environment for {release.framework} {release.version}; this happens once, "
            "and takes minutes where packages must be downloaded"
        )
        self.mark.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        try:
            _Uv(self.builds, lock, say).fill(self.folder, self.recipe)
            _try_import(self.folder, release)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        took_s = time.monotonic() - began
        made = {"folder": str(self.folder), "requirements": release.requirements, "took_s": took_s}
        draft = self.mark.with_suffix(".draft")
        draft.write_text(json.dumps(made))
        os.sync()  # a mark that outlives a power failure must not outlive what it marks
        draft.replace(self.mark)
        say(f"the environment is ready after {took_s:.1f} s: {self.folder}")


def unused_environments(folder: Path, before: float) -> list[Path]:
    """What of the environments may be removed, in this order: marks go before what they mark.

    Args:
        folder: the folder of all environments.
        before: epoch seconds; what was used later stays, and so does what a process still uses.
    """
    unused: list[Path] = []
    for environment in sorted(path for path in folder.glob("*") if path.is_dir()):
        mark = folder / f"{environment.name}.json"
        last_use = (mark if mark.exists() else environment).stat().st_mtime
        if last_use < before and not _is_locked(environment) and not _is_used(environment):
            unused += [path for path in (mark, environment) if path.exists()]
    return unused


class _Uv:
    """Runs uv, tells what it does, and keeps its last words."""

    def __init__(self, builds: Builds, lock: int, say: Say) -> None:
        program = uv_program()
        if program is None:
            raise StartFailedError(
                "environments for images are made by `uv`, which is not there\n"
                "hint: `pip install uv` beside the engine"
            )
        self._program = program
        self._builds = builds
        self._lock = lock
        self._say = say
        told = pip_options(os.environ)
        self._variables = uv_variables(os.environ, told)
        self._options = uv_options(os.environ, told)

    def fill(self, folder: Path, recipe: Recipe) -> None:
        release = recipe.release
        self._run("venv", "--no-project", "--python", recipe.python, str(folder))
        self._run(
            *("pip", "install", "--python", str(folder / "bin/python"), *self._options),
            *("--constraint", str(release.lock_file)),
            *release.requirements,
            *("pip", *recipe.own),
        )

    def _run(self, *arguments: str) -> None:
        words: deque[str] = deque(maxlen=_LAST_LINES)
        argv = [self._program, *arguments]
        with self._builds.running(argv, self._variables, self._lock) as process:
            for line in process.stdout or ():
                words.append(line.rstrip())
                if line.lstrip().startswith(_TOLD):
                    self._say(f"uv: {line.strip()}")
        if process.returncode != 0:
            raise StartFailedError(_why(words))


def _end(process: "subprocess.Popen[str]") -> None:
    """Ends it with all that it started; not the next bearer of its pid."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)


def _why(words: Sequence[str]) -> str:
    text = "\n".join(words)
    hint = next(hint for part, hint in _HINTS if part in text)
    if len(text) > _LAST_CHARACTERS:
        text = "…" + text[-_LAST_CHARACTERS:]
    return f"the image's environment cannot be made; uv said:\n{text}\nhint: {hint}"


def _try_import(folder: Path, release: Release) -> None:
    """Imports the framework, which finds missing shared libraries and leaves compiled files."""
    done = subprocess.run(
        [str(folder / "bin/python"), "-c", f"import {release.module}"],
        env={name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        return
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    message = f"`{release.module}` {release.version} was installed but cannot be imported: {last}"
    if "shared object" in last and release.apt:
        message += f"\nhint: `apt-get install {' '.join(release.apt)}`"
    raise StartFailedError(message)


@contextlib.contextmanager
def _locked(path: Path, say: Say) -> Iterator[int]:
    """Holds the lock of an environment; yields its descriptor, for uv to inherit."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for an environment that another instance is making")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock_file(environment: Path) -> Path:
    return environment.with_name(f"{environment.name}.lock")


def _is_locked(environment: Path) -> bool:
    try:
        descriptor = os.open(_lock_file(environment), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_used(environment: Path) -> bool:
    """Whether a living process has its programs on the PATH: an endpoint may run for months."""
    entry = f"{environment / 'bin'}:".encode()
    for pid in processes.all_pids():
        with contextlib.suppress(OSError):
            if entry in Path(f"/proc/{pid}/environ").read_bytes():
                return True
    return False
