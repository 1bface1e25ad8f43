"""When an instance counts as healthy: the rules about `/ping`.

AWS wants `/ping` answered with 200 within two seconds:
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html

An instance that leaves a ping unanswered gets no new request as long as another of its variant
answers. When it is given up depends on whether it has an excuse:

- Idle, it has none: three pings.
- With requests under way it may be a server with one thread, which cannot answer pings while it
  predicts and loses nothing by the wait. An invocation may take 60 s, so such a server sends
  something at least that often. One that has sent no byte at all, neither to a ping nor to a
  client, for longer than that is frozen, however many requests are waiting for it.

Silence is counted in pings, not in seconds, so that an engine that was itself asleep blames nobody.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from intermodal_engine.router.errors import AnswerTimeoutError, ConnectFailedError, RouterError
from intermodal_engine.router.heads import request_head
from intermodal_engine.router.instance import Health, Link, Watched


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often instances are pinged.

    Attributes:
        starting_s: seconds between pings until the first good one, and while it is in doubt.
        steady_s: seconds between pings afterwards.
        timeout_s: how long one ping may take.
        failures: how many in a row make a healthy instance unhealthy.
        silences: how many in a row make it unhealthy where they are excused by requests under
            way. With a time-out of 2 s and 1 s in between, more than a minute.
    """

    starting_s: float = 0.05
    steady_s: float = 1.0
    timeout_s: float = 2.0
    failures: int = 3
    silences: int = 25


async def watch(
    watched: Watched, rhythm: Rhythm, report: Callable[[Watched, Health], None]
) -> None:
    """Pings an instance for as long as the router has it.

    Args:
        watched: its failures and suspicion change; its health is `report`'s business.
        rhythm: when to ping.
        report: told of each change.
    """
    was_alarmed = False
    while True:
        watched.alarm.clear()
        error = await _ping(watched, rhythm.timeout_s)
        health = _judge(watched, error, rhythm)
        if health is not watched.health:
            report(watched, health)
        if was_alarmed and error is None:
            # A false alarm: the server merely closes idle connections. Were every such close
            # followed up, pings and closes would chase each other.
            await asyncio.sleep(_interval_s(watched, rhythm))
            was_alarmed = False
        else:
            was_alarmed = await _is_alarmed_within(watched, _interval_s(watched, rhythm))


async def _is_alarmed_within(watched: Watched, interval_s: float) -> bool:
    try:
        async with asyncio.timeout(interval_s):
            return await watched.alarm.wait()
    except TimeoutError:
        return False


def _judge(watched: Watched, error: RouterError | None, rhythm: Rhythm) -> Health:
    was_heard = watched.take_heard()
    if error is None:
        watched.failures = watched.silences = 0
        watched.is_suspect = False
        return Health.HEALTHY
    is_silent = isinstance(error, AnswerTimeoutError)
    watched.is_suspect |= is_silent or isinstance(error, ConnectFailedError)
    if is_silent and watched.in_flight:
        watched.silences = 0 if was_heard else watched.silences + 1
    else:
        watched.failures += 1
    is_over = watched.failures >= rhythm.failures or watched.silences >= rhythm.silences
    if watched.health is Health.HEALTHY and is_over:
        return Health.UNHEALTHY
    return watched.health


def _interval_s(watched: Watched, rhythm: Rhythm) -> float:
    if watched.health is Health.STARTING or (watched.failures and watched.is_ready):
        return rhythm.starting_s
    return rhythm.steady_s


async def _ping(watched: Watched, timeout_s: float) -> RouterError | None:
    """What is wrong with one of the containers; None where all answer well."""
    for link in watched.links:
        error = await _ping_container(link, timeout_s)
        if error is not None:
            return error
    return None


async def _ping_container(link: Link, timeout_s: float) -> RouterError | None:
    head = request_head("GET", "/ping", link.host, {}, 0)
    try:
        # The kernel lets nobody in either, once too many wait for a server that is busy.
        async with asyncio.timeout(timeout_s):
            connection = await link.pool.acquire()
        answer = await connection.exchange(head, b"", timeout_s)
        if not isinstance(answer.body, bytes):
            async for _ in answer.body:
                pass
    except TimeoutError:
        return AnswerTimeoutError("the instance let nobody in")
    except RouterError as error:
        return error
    return None if answer.status == 200 else RouterError(f"/ping answered {answer.status}")
