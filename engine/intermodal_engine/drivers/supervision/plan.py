"""What the engine tells a supervisor: the shape of the `supervisor` part of plan.json.

Descriptors that the supervisor inherits: 3 the plan, locked until supervisor.json is written; 4 a
lock that is held as long as the supervisor lives; 5 a pipe where the start's outcome is told; 6 the
network namespace, where the plan says so.
"""

from typing import TypedDict

PLAN_FD, ALIVE_FD, OUTCOME_FD, NETWORK_FD = 3, 4, 5, 6


class Step(TypedDict, total=False):
    """One mount in the instance's own mount namespace, done in the order of the list.

    Attributes:
        kind: `bind`, `view` (overlay, else read-only bind), `overlay` (a folder of the host, made
            writable), `tmpfs`, `proc` or `file` (a single file bound over another).
        source: path on the host.
        target: absolute path in the instance; made where it is missing, save for `file`.
        read_only: for `bind`.
        upper: folder that takes the writes of `view` and `overlay`.
        work: overlay's work folder, on the same file system as `upper`.
    """

    kind: str
    source: str
    target: str
    read_only: bool
    upper: str
    work: str


class SupervisorPlan(TypedDict):
    """Everything that the supervisor does.

    Attributes:
        boot_id: the machine's, so that a record from before a reboot names no process.
        argv: the program; its first word is looked up on the environment's PATH.
        environment: the program's whole environment.
        directory: where it starts.
        log: file that its output is appended to.
        namespaces: flags of clone(2) that the instance gets; 0 for none.
        user_map: `(uid, gid)` on the host that is root inside, where a user namespace is made.
        host_name: set in the UTS namespace, if there is one.
        has_network_fd: descriptor 6 is the network namespace to enter.
        steps: mounts.
        copies: `(source, target)` folders to copy first, for hosts that allow no mounts.
        stop_grace_s: seconds between SIGTERM and SIGKILL.
        max_runtime_s: seconds after which the supervisor stops the program.
    """

    boot_id: str
    argv: list[str]
    environment: dict[str, str]
    directory: str
    log: str
    namespaces: int
    user_map: list[int] | None
    host_name: str | None
    has_network_fd: bool
    steps: list[Step]
    copies: list[list[str]]
    stop_grace_s: float
    max_runtime_s: float | None
