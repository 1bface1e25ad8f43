"""How often to ask, and how long to bear with a service that does not answer.

Nothing here knows whether the service is on this machine or on AWS; the round trip says enough.
One that has ever answered within 20 ms is near and ours alone, and is asked 10 to 20 times a
second; one that takes a tenth of a second is shared and throttles, and is asked every 2.5 seconds:

    interval = min(max(0.05 s, elapsed / 20), 0.1 s if near else 25 x the fastest round trip, 5 s)

The first bound keeps the first questions close together everywhere: what is over at once returns
at once.
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from intermodal.errors import ConnectionLostError

FIRST_S = 0.05
NEAR_S = 0.1
NEAR_ROUND_TRIP_S = 0.02
LONGEST_S = 5.0
ROUND_TRIPS = 25
ELAPSED_SHARE = 1 / 20

_Answer = TypeVar("_Answer")
_TRANSIENT_CODES = frozenset(
    {
        "InternalFailure",
        "InternalError",
        "InternalServerError",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
    }
)


class Pace:
    """The time between two questions about one job or endpoint.

    Args:
        clock: seconds that only grow.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._started_s = clock()
        self._fastest_s: float | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the watching began."""
        return self._clock() - self._started_s

    @property
    def is_far(self) -> bool:
        """Whether the service is shared with others, so that what it shows may lag."""
        return self._fastest_s is not None and self._fastest_s > NEAR_ROUND_TRIP_S

    @property
    def interval_s(self) -> float:
        """How long to wait before the next question."""
        by_distance = ROUND_TRIPS * (self._fastest_s or 0.0) if self.is_far else NEAR_S
        by_patience = max(FIRST_S, self.elapsed_s * ELAPSED_SHARE)
        return min(LONGEST_S, by_distance, by_patience)

    def timed(self, ask: Callable[[], _Answer]) -> _Answer:
        """Ask, and remember how fast the answer came."""
        begun_s = self._clock()
        answer = ask()
        took_s = self._clock() - begun_s
        self._fastest_s = took_s if self._fastest_s is None else min(self._fastest_s, took_s)
        return answer

    def rest(self) -> None:
        """Wait until the next question is due."""
        self._sleep(self.interval_s)


class Patience:
    """Asks again, with back-off and jitter, while the way to the service is broken.

    botocore has retried within about a second by then; this bears with a lost network, a laptop
    that slept, an engine that restarts, and throttling.

    Args:
        limit_s: how long the service may be out of reach before `ConnectionLostError`.
        tell: takes one line for the user when the trouble begins and when it is over.
        subject: what goes on meanwhile, as in "training job `x`".
    """

    def __init__(
        self,
        subject: str,
        tell: Callable[[str], None],
        *,
        limit_s: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._subject = subject
        self._tell = tell
        self._limit_s = limit_s
        self._clock = clock
        self._sleep = sleep

    def ask(self, question: Callable[[], _Answer]) -> _Answer:
        """The answer, as soon as there is one.

        Raises:
            ConnectionLostError: nothing came back within the limit.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        begun_s = self._clock()
        delay_s = 0.2
        troubled = False
        while True:
            try:
                answer = question()
            except (BotoCoreError, ClientError) as error:
                if not _is_transient(error):
                    raise
                if self._clock() - begun_s > self._limit_s:
                    raise ConnectionLostError(
                        f"{self._subject}: no answer for {self._limit_s:.0f} s ({error}); "
                        "it goes on without being watched",
                        hint="attach to it again once the service can be reached",
                    ) from error
                if not troubled:
                    self._tell(f"{self._subject}: connection lost ({error}); trying again")
                    troubled = True
                self._sleep(delay_s * random.uniform(0.5, 1.0))
                delay_s = min(delay_s * 2, 15.0)
            else:
                if troubled:
                    self._tell(f"{self._subject}: connected again")
                return answer


def watch(
    describe: Callable[[], _Answer],
    pace: Pace,
    patience: Patience,
    has_ended: Callable[[_Answer], bool],
    show: Callable[[_Answer, bool], None],
) -> _Answer:
    """Ask how something is until it has ended.

    Args:
        describe: asks.
        pace: how often.
        patience: bears with a way that is broken.
        has_ended: says whether an answer is the last one.
        show: takes each answer, and whether it is the last one.

    Returns:
        The last answer.

    Raises:
        ConnectionLostError: nothing came back for long.
    """
    while True:
        answer = patience.ask(lambda: pace.timed(describe))
        is_last = has_ended(answer)
        show(answer, is_last)
        if is_last:
            return answer
        pace.rest()


def _is_transient(error: Exception) -> bool:
    from botocore.exceptions import ClientError, HTTPClientError
    from botocore.exceptions import ConnectionError as NoConnectionError

    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return code in _TRANSIENT_CODES or status in (429, 502, 503, 504)
    return isinstance(error, HTTPClientError | NoConnectionError)
