"""When an instance counts as healthy: the rules about `/ping`.

AWS wants `/ping` answered with 200 within two seconds:
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

import asyncio
import contextlib
from collections.abc import Callable

from intermodal_engine.router.connection import request_head
from intermodal_engine.router.errors import AnswerTimeoutError, ConnectFailedError, RouterError
from intermodal_engine.router.instance import Health, Watched

STARTING_INTERVAL_S = 0.05
INTERVAL_S = 1.0
TIMEOUT_S = 2.0
FAILURES_UNTIL_UNHEALTHY = 3


async def watch(watched: Watched, report: Callable[[Watched, Health], None]) -> None:
    """Pings an instance for as long as the router has it.

    Args:
        watched: its failures and suspicion change; its health is `report`'s business.
        report: told of each change.
    """
    while True:
        watched.alarm.clear()
        error = await _ping(watched)
        health = _judge(watched, error)
        if health is not watched.health:
            report(watched, health)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_interval_s(watched)):
                await watched.alarm.wait()


def _judge(watched: Watched, error: RouterError | None) -> Health:
    if error is None:
        watched.failures = 0
        watched.is_suspect = False
        return Health.HEALTHY
    if isinstance(error, AnswerTimeoutError) and watched.in_flight:
        # Busy, not dead: a server with one thread cannot answer pings while it predicts. A hung
        # one is found when its requests have timed out.
        return watched.health
    watched.failures += 1
    watched.is_suspect |= isinstance(error, ConnectFailedError)
    if watched.health is Health.HEALTHY and watched.failures >= FAILURES_UNTIL_UNHEALTHY:
        return Health.UNHEALTHY
    return watched.health


def _interval_s(watched: Watched) -> float:
    if watched.health is Health.STARTING or (watched.failures and watched.is_ready):
        return STARTING_INTERVAL_S
    return INTERVAL_S


async def _ping(watched: Watched) -> RouterError | None:
    host = f"{watched.backend.host}:{watched.backend.port}"
    head = request_head("GET", "/ping", host, {}, 0)
    try:
        connection = await watched.pool.acquire()
        answer = await connection.exchange(head, b"", TIMEOUT_S)
    except RouterError as error:
        return error
    if not isinstance(answer.body, bytes):
        async for _ in answer.body:
            pass
    return None if answer.status == 200 else RouterError(f"/ping answered {answer.status}")
