"""What drills do to requests on their way to an instance: they come late, or an error answers."""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from intermodal_engine.router.connection import Answer
from intermodal_engine.router.errors import AnswerTimeoutError
from intermodal_engine.router.instance import Backend


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What happens to requests of one target.

    Attributes:
        target: an endpoint, or one of its inference components, see `target_of`.
        until: epoch seconds of its end.
        variant: of which variant's instances; None: of all.
        fraction: of how many of them, from 0 to 1.
        delay_s: how much later they reach their instance.
        status: HTTP status of the answer that they get instead; None: they get the instance's.
    """

    target: str
    until: float
    variant: str | None = None
    fraction: float = 1.0
    delay_s: float = 0.0
    status: int | None = None


class Disturbances:
    """All that go on at present. Requests meet them on the event loop; anyone may set them.

    Args:
        now: epoch seconds.
        draw: a number from 0 to 1, below a fraction as often as that says.
    """

    def __init__(self, now: Callable[[], float], draw: Callable[[], float] = random.random) -> None:
        self._now = now
        self._draw = draw
        self._present: tuple[Disturbance, ...] = ()

    def set(self, disturbances: Iterable[Disturbance]) -> None:
        """From now on it is these."""
        self._present = tuple(disturbances)

    @property
    def go_on(self) -> bool:
        """Whether there may be any."""
        return bool(self._present)

    async def meet(self, backend: Backend, timeout_s: float) -> Answer | None:
        """Holds a request up; returns the answer that it gets instead of the instance's.

        Raises:
            AnswerTimeoutError: it is held up for longer than an answer may take.
        """
        delay_s = 0.0
        for one in self._present:
            if not self._concerns(one, backend):
                continue
            if one.status is not None:
                return _error(one.status)
            delay_s += one.delay_s
        if delay_s:
            await asyncio.sleep(min(delay_s, timeout_s))
        if delay_s > timeout_s:
            raise AnswerTimeoutError(f"no answer within {timeout_s:g} s, by a drill")
        return None

    def _concerns(self, one: Disturbance, backend: Backend) -> bool:
        return (
            one.target == backend.target
            and one.variant in (None, backend.variant)
            and self._now() < one.until
            and self._draw() < one.fraction
        )


def _error(status: int) -> Answer:
    text = f"a drill answers {status} in the place of the model"
    return Answer(status, {"content-type": "text/plain"}, text.encode())
