"""The tree's first process: makes its surroundings, starts the program, reaps, forwards, ends."""

from __future__ import annotations

import os
import select

from intermodal_engine.drivers.supervision import processes, surroundings
from intermodal_engine.drivers.supervision.cores import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from intermodal_engine.drivers.supervision.plan import SupervisorPlan

NOT_EXECUTED = 127
"""Exit code of a program that never ran, as of a shell's command that is not found."""
KILL_TREE = signal.SIGRTMIN
"""Tells init to kill everything below it."""
_FORWARDED = frozenset(
    {
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
    }
)
WAITED = _FORWARDED | {signal.SIGCHLD, KILL_TREE}
"""Signals that init takes by waiting; blocked from before its fork, so that none is lost."""


class Init:
    """Runs in the fork; the signals of `WAITED` are blocked.

    Attributes:
        out_w: pipe that the program writes to.
        outcome_w: closed once the program runs; the cause is written to it if it cannot.
        status_w: takes the program's wait status, four bytes.
        life_r: at its end once the supervisor is dead.
    """

    def __init__(
        self,
        kernel: surroundings.Kernel,
        plan: SupervisorPlan,
        out_w: int,
        outcome_w: int,
        status_w: int,
        life_r: int,
        network_fd: int,
    ) -> None:
        self.kernel = kernel
        self.plan = plan
        self.out_w, self.outcome_w, self.status_w = out_w, outcome_w, status_w
        self.life_r = life_r
        self.network_fd = network_fd

    def run(self) -> int:
        """Returns init's own exit code; the program's goes through the pipe."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            self._tie_to_supervisor()
            surroundings.enter(self.kernel, self.plan, self.network_fd)
            program = self._start_program()
        except OSError as error:
            place = "" if error.filename is None else f"{error.filename}: "
            os.write(self.outcome_w, f"{place}{error.strerror}".encode())
            return 126
        os.close(self.out_w)
        os.close(self.outcome_w)
        status = self._wait(program)
        if not self.plan["namespaces"]:
            processes.kill_descendants()
        os.write(self.status_w, status.to_bytes(4, "little"))
        return 0

    def _tie_to_supervisor(self) -> None:
        in_namespaces = bool(self.plan["namespaces"])
        self.kernel.signal_at_parents_death(signal.SIGKILL if in_namespaces else KILL_TREE)
        if not in_namespaces:
            self.kernel.become_subreaper()
        if select.select([self.life_r], [], [], 0)[0]:
            os._exit(1)

    def _start_program(self) -> int:
        pid = os.fork()
        if pid == 0:
            self._execute()
        return pid

    def _execute(self) -> NoReturn:
        try:
            os.setsid()
            self.kernel.signal_at_parents_death(signal.SIGKILL)
            _restore_signals()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(self.out_w, 1)
            os.dup2(self.out_w, 2)
            os.chdir(self.plan["directory"])
            argv = self.plan["argv"]
            os.execvpe(argv[0], argv, self.plan["environment"])  # noqa: S606 (what init is for)
        except (OSError, ValueError) as error:  # a NUL in an argument or a variable
            cause = error.strerror if isinstance(error, OSError) else error
            message = f"cannot execute `{self.plan['argv'][0]}`: {cause}"
            os.write(self.outcome_w, message.encode())
        os._exit(NOT_EXECUTED)

    def _wait(self, program: int) -> int:
        """Reaps and forwards until the program has ended; returns its wait status."""
        while True:
            number = signal.sigwait(WAITED)
            if number in _FORWARDED:
                os.kill(program, number)
            elif number == KILL_TREE and self.plan["namespaces"]:
                os.kill(-1, signal.SIGKILL)
            elif number == KILL_TREE:
                os.kill(program, signal.SIGKILL)
            pid, status = os.waitpid(-1, os.WNOHANG)
            while pid not in (0, program):
                pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == program:
                return status


def _restore_signals() -> None:
    """What the interpreter ignores for itself must not be ignored by the program."""
    for number in signal.valid_signals():
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
