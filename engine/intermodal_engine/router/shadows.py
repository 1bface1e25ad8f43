"""Shadow variants: a sample of the requests goes to them as well, and their answers nowhere.

https://docs.aws.amazon.com/sagemaker/latest/dg/shadow-tests.html
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from intermodal_engine.router.instance import Direction, Watched, choose_instance
from intermodal_engine.router.invocation import Invocation

MOST = 64
"""Copies under way at once; beyond that requests are not copied, so that no caller is held up."""

SendCopy = Callable[[Watched, Invocation], Awaitable[None]]


class Shadows:
    """Samples requests and sends the copies.

    Args:
        send_copy: one exchange whose answer nobody gets.
    """

    def __init__(self, send_copy: SendCopy) -> None:
        self._send_copy = send_copy
        self._under_way: set[asyncio.Future[None]] = set()

    def chosen(
        self, direction: Direction, invocation: Invocation, instances: Iterable[Watched]
    ) -> Watched | None:
        """The shadow instance that gets a copy of a request; None where none does.

        Args:
            direction: its credits change: of N requests exactly the sampled share is copied.
            invocation: the request; a body that is a stream is its receiver's alone.
            instances: all of the endpoint's.
        """
        shadow = next((one for one in direction.routes if one.is_shadow), None)
        if shadow is None or not isinstance(invocation.body, bytes):
            return None
        if len(self._under_way) >= MOST:
            return None
        production = sum(one.weight for one in direction.routes if not one.is_shadow)
        sampled = min(1.0, shadow.weight / production) if production else 0.0
        saved = direction.credits.get(shadow, 0.0) + sampled
        direction.credits[shadow] = saved
        if saved < 1.0:
            return None
        ready = [
            one
            for one in instances
            if one.is_ready
            and (one.backend.generation, one.backend.variant) == (shadow.generation, shadow.variant)
        ]
        if not ready:
            return None
        direction.credits[shadow] = saved - 1.0
        return choose_instance(ready, (), shadow.strategy)

    def send(self, watched: Watched, invocation: Invocation) -> None:
        """Begins to send a copy."""
        task = asyncio.ensure_future(self._send_copy(watched, invocation))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
