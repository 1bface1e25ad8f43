"""Data capture, on the event loop: which invocations are kept, and what of them.

What is kept waits in memory, within a bound, until somebody takes it; no caller waits for that, and
beyond the bound calls are served and not kept.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from intermodal_engine.router.instance import Backend
from intermodal_engine.router.invocation import Invocation, InvocationResult

LIMIT_BYTES = 32 << 20
"""What waits in memory, bodies alone."""

_SMALL_BYTES = 16 << 10
"""Lines of smaller calls are made at once: to keep what they are made of costs more than that."""

_NOTHING: Mapping[str, str] = {}
_NO_PARTS: list[bytes] = []
_OVERHEAD_BYTES = 512
"""What a kept call takes besides its bodies, about."""

Send = Callable[[Invocation], Awaitable[InvocationResult]]


@dataclass(frozen=True, slots=True)
class CaptureRule:
    """What a deployment's `DataCaptureConfig` says.

    Attributes:
        share: of the calls, above 0 and up to 1.
        has_input: whether requests are kept.
        has_output: whether answers are kept.
        bucket: where captures go.
        prefix: of their keys, without a slash at its end.
        csv_types: media types that are kept as CSV.
        json_types: media types that are kept as JSON; any other is kept as base64.
    """

    share: float
    has_input: bool
    has_output: bool
    bucket: str
    prefix: str
    csv_types: frozenset[str] = frozenset()
    json_types: frozenset[str] = frozenset()


@dataclass(slots=True)
class Captured:
    """A call that is kept.

    Attributes:
        rule: by which it is.
        backend: who answered.
        at: epoch seconds at which the request came.
        request_headers: what the instance got to see.
        request: its body, in parts; none where it is not kept.
        answer_headers: names in lower case.
        answer: its body, in parts; none where it is not kept.
        line: what is written of it, instead of headers and bodies, once it has been made.
    """

    rule: CaptureRule
    backend: Backend
    at: float
    request_headers: Mapping[str, str]
    request: list[bytes] = field(default_factory=list)
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    answer: list[bytes] = field(default_factory=list)
    line: bytes = b""

    @property
    def size_bytes(self) -> int:
        """What it takes in memory, about."""
        bodies = sum(map(len, self.request)) + sum(map(len, self.answer))
        return _OVERHEAD_BYTES + bodies + len(self.line)

    def become(self, line: bytes) -> None:
        """Keeps the line alone: whatever else waits is work for the garbage collector."""
        self.line = line
        self.request_headers = self.answer_headers = _NOTHING
        self.request = self.answer = _NO_PARTS


class Captures:
    """The calls of all endpoints that are kept.

    Args:
        now: epoch seconds.
        limit_bytes: what may wait in memory.

    Attributes:
        encode: makes a call's line; None: whoever takes it does.
        on_first: called when there is something to take after `take` found nothing.
        lost: calls that were to be kept and were not, for want of room, since the start.
    """

    def __init__(self, now: Callable[[], float], limit_bytes: int = LIMIT_BYTES) -> None:
        self.encode: Callable[[Captured], bytes] | None = None
        self.on_first: Callable[[], None] = lambda: None
        self.lost = 0
        self._now = now
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._rules: dict[tuple[str, int], CaptureRule] = {}
        self._credits: dict[tuple[str, int, str], float] = {}
        self._waiting: list[Captured] = []
        self._waiting_bytes = 0
        self._held_bytes = 0  # those that wait among them
        self._has_taker = False

    def follow(self, endpoint: str, rules: Mapping[int, CaptureRule]) -> None:
        """Keeps calls to an endpoint by these rules, by deployment, from now on."""
        with self._lock:
            present = {key: rule for key, rule in self._rules.items() if key[0] == endpoint}
            wanted = {(endpoint, generation): rule for generation, rule in rules.items()}
            if present == wanted:
                return
            others = {key: rule for key, rule in self._rules.items() if key[0] != endpoint}
            self._rules = others | wanted
            self._credits = {
                key: credit for key, credit in self._credits.items() if key[:2] in self._rules
            }

    def take(self) -> list[Captured]:
        """What waits. Where nothing does, `on_first` tells when something comes."""
        with self._lock:
            taken, self._waiting = self._waiting, []
            self._held_bytes -= self._waiting_bytes
            self._waiting_bytes = 0
            self._has_taker = bool(taken)
            return taken

    async def around(
        self, backend: Backend, invocation: Invocation, send: Send
    ) -> InvocationResult:
        """Sends a request, and keeps it with its answer if it is one of the sample.

        Calls that fail, answers of 400 and more, and answers that break off are not kept.
        """
        if not self._rules:
            return await send(invocation)
        rule = self._chosen(backend)
        if rule is None:
            return await send(invocation)
        kept = _Kept(self, Captured(rule, backend, self._now(), invocation.headers))
        try:
            result = await send(kept.request(invocation))
        except BaseException:
            kept.drop()
            raise
        return kept.answer(result)

    def hold(self, size_bytes: int) -> bool:
        """Makes room for part of a body; says whether there is any."""
        with self._lock:
            if self._held_bytes + size_bytes > self._limit_bytes:
                self.lost += 1
                return False
            self._held_bytes += size_bytes
            return True

    def let_go(self, size_bytes: int) -> None:
        """Gives back what `hold` made."""
        with self._lock:
            self._held_bytes -= size_bytes

    def keep(self, captured: Captured) -> None:
        """Adds a call, unless there is no room."""
        size_bytes = captured.size_bytes
        if self.encode is not None and size_bytes < _SMALL_BYTES:
            captured.become(self.encode(captured))
            size_bytes = _OVERHEAD_BYTES + len(captured.line)
        with self._lock:
            if self._held_bytes + size_bytes > self._limit_bytes:
                self.lost += 1
                return
            self._held_bytes += size_bytes
            self._waiting_bytes += size_bytes
            self._waiting.append(captured)
            is_first, self._has_taker = not self._has_taker, True
        if is_first:
            self.on_first()

    def _chosen(self, backend: Backend) -> CaptureRule | None:
        """The rule by which a call is kept; of N calls exactly the sampled share is."""
        rule = self._rules.get((backend.endpoint, backend.generation))
        if rule is None:
            return None
        key = (backend.endpoint, backend.generation, backend.variant)
        credit = self._credits.get(key, 0.0) + rule.share
        is_chosen = credit > 1.0 - 1e-9
        self._credits[key] = credit - 1.0 if is_chosen else credit
        return rule if is_chosen else None


class _Kept:
    """One call of the sample, from its request to the end of its answer."""

    __slots__ = ("_captured", "_captures", "_held_bytes", "_is_dropped")

    def __init__(self, captures: Captures, captured: Captured) -> None:
        self._captures = captures
        self._captured = captured
        self._held_bytes = 0
        self._is_dropped = False

    def request(self, invocation: Invocation) -> Invocation:
        """The request as it is to be sent; a stream leaves its parts here while it flows."""
        if not self._captured.rule.has_input:
            return invocation
        if isinstance(invocation.body, bytes):
            self._captured.request.append(invocation.body)
            return invocation
        return replace(invocation, body=self._copied(invocation.body))

    def answer(self, result: InvocationResult) -> InvocationResult:
        """The answer as it is to be handed on; a stream leaves its parts here while it is read."""
        if result.status >= 400:
            self.drop()
            return result
        if isinstance(result.body, bytes):
            if self._captured.rule.has_output:
                self._captured.answer.append(result.body)
            self.finish(result.headers)
            return result
        return replace(result, body=_CopiedAnswer(result.body, self, result.headers))

    def add_to_answer(self, part: bytes) -> None:
        """Keeps part of the answer."""
        if self._captured.rule.has_output and self._hold(part):
            self._captured.answer.append(part)

    def finish(self, headers: Mapping[str, str]) -> None:
        """The answer is whole."""
        if self._is_dropped:
            return
        self.drop()
        self._captured.answer_headers = headers
        self._captures.keep(self._captured)

    def drop(self) -> None:
        """Keeps nothing of it."""
        self._is_dropped = True
        if self._held_bytes:
            self._captures.let_go(self._held_bytes)
            self._held_bytes = 0

    async def _copied(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for part in body:
            if self._hold(part):
                self._captured.request.append(part)
            yield part

    def _hold(self, part: bytes) -> bool:
        if self._is_dropped:
            return False
        if not self._captures.hold(len(part)):
            self.drop()
            return False
        self._held_bytes += len(part)
        return True


class _CopiedAnswer:
    """A long answer whose parts are kept while they are read."""

    def __init__(
        self, stream: AsyncIterator[bytes], kept: _Kept, headers: Mapping[str, str]
    ) -> None:
        self._stream = stream
        self._kept = kept
        self._headers = headers

    def __aiter__(self) -> "_CopiedAnswer":
        return self

    async def __anext__(self) -> bytes:
        try:
            part = await self._stream.__anext__()
        except StopAsyncIteration:
            self._kept.finish(self._headers)
            raise
        except BaseException:
            self._kept.drop()
            raise
        self._kept.add_to_answer(part)
        return part

    async def aclose(self) -> None:
        """Lets go of it; of what was not read to its end nothing is kept."""
        self._kept.drop()
        aclose = getattr(self._stream, "aclose", None)
        if aclose is not None:
            await aclose()
