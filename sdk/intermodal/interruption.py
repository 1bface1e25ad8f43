"""What Ctrl-C means while a training job is watched: the watching ends, and perhaps the job."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from intermodal.job_view import can_ask

QUESTION = "Stop the job, or detach and let it go on? [s]top / [D]etach: "


def wants_to_stop() -> bool:
    """Ask whether the job is to be stopped; silence and a second Ctrl-C mean to detach."""
    if not can_ask():
        return False
    try:
        return input(QUESTION).strip().lower() in {"s", "stop"}
    except (EOFError, KeyboardInterrupt):
        sys.stdout.write("\n")
        return False
    except NotImplementedError:
        # A notebook that is executed by a program has nobody who answers.
        return False


def farewell(job_name: str) -> str:
    """How to find the job again, and how to stop it."""
    return (
        f"Training job `{job_name}` goes on without being watched"
        f"\n  watch it again: estimator.logs(), or attach({job_name!r}) of the estimator's class"
        f"\n  stop it:        estimator.stop(), "
        f"or Session().stop_training_job({job_name!r})"
    )


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait until the block is done: half of it would show a line twice, or never."""
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread gets signals.
        yield
        return
    held: list[tuple[Any, ...]] = []
    before = signal.signal(signal.SIGINT, lambda *arguments: held.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if held and callable(before):
            before(*held[0])
