"""A program in a terminal of its own, and the person at its keyboard."""

import os
import pty
import select
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.helpers.screen import Screen

WIDTH = 100
LIMIT_S = 30.0
CTRL_C = "\x03"


class Terminal:
    """What stands on the screen, and keys to press.

    Args:
        pid: the program.
        file: the terminal's other end.
    """

    def __init__(self, pid: int, file: int) -> None:
        self._pid = pid
        self._file = file
        self.output = ""

    @property
    def text(self) -> str:
        """The screen's text by now."""
        screen = Screen(WIDTH)
        screen.feed(self.output)
        return "\n".join(screen.rows)

    def press(self, keys: str) -> None:
        """Type these."""
        os.write(self._file, keys.encode())

    def wait_for(self, text: str) -> None:
        """Return once that stands on the screen."""
        deadline = time.monotonic() + LIMIT_S
        while text not in self.text:
            assert self._read(deadline - time.monotonic()), f"`{text}` is not in:\n{self.text}"

    def wait_until_it_reads(self) -> None:
        """Return once the program sleeps until a key is pressed; a signal just before is late."""
        deadline = time.monotonic() + LIMIT_S
        while Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def wait(self) -> int:
        """The exit code, once the program has ended."""
        deadline = time.monotonic() + LIMIT_S
        while self._read(deadline - time.monotonic()):
            pass
        assert time.monotonic() < deadline, f"it does not end:\n{self.text}"
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self._file], [], [], max(0.0, timeout_s))[0]:
            return False
        # Linux's word for the end: nobody has the other side open any more.
        with suppress(OSError):
            data = os.read(self._file, 1 << 16)
            self.output += data.decode(errors="replace")
            return bool(data)
        return False


@contextmanager
def python_in_a_terminal(
    arguments: Sequence[str], environment: Mapping[str, str]
) -> Iterator[Terminal]:
    """A Python that runs these arguments; it has ended afterwards."""
    variables = {
        **environment,
        "TERM": "xterm-256color",
        "COLUMNS": str(WIDTH),
        "LINES": "30",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    pid, file = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, *arguments], variables)
    try:
        yield Terminal(pid, file)
    finally:
        # A program whose terminal is gone gets SIGHUP.
        os.close(file)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
