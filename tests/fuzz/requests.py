"""What the fuzzer makes of valid requests: one bad input after the other, all from one seed."""

import io
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

import numpy as np


class Ending(Enum):
    """What the client does when it has sent all it wants to."""

    HALF_CLOSE = "ends its side and reads until the server ends the other"
    LEAVE = "closes without reading"
    RESET = "resets the connection"


@dataclass(frozen=True, slots=True)
class Attack:
    """One bad input.

    Attributes:
        pieces: what is sent, one write each.
        answers: bodies that must come back first, each of a valid request before the bad one.
        ending: what the client does then.
        pause_s: between the pieces.
    """

    pieces: tuple[bytes, ...]
    answers: tuple[bytes, ...] = ()
    ending: Ending = Ending.HALF_CLOSE
    pause_s: float = 0.0


def post(body: bytes, content_type: str = "application/json", *more: str) -> bytes:
    """A valid invocation."""
    lines = ["POST /invocations HTTP/1.1", "Host: localhost", f"Content-Type: {content_type}"]
    lines += [f"Content-Length: {len(body)}", *more]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked(*chunks: bytes, trailer: bytes = b"") -> bytes:
    """A valid invocation in chunks."""
    head = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head + body + b"0\r\n" + trailer + b"\r\n"


def npy(array: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]") -> bytes:
    """An array as a file of numpy's."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


_NPY = npy(np.arange(12, dtype=np.float32).reshape(3, 4))
_BODIES: Sequence[tuple[str, bytes]] = (
    ("application/json", b'[[1, 2.5, -3e4], [4, 5, 6], {"a": [null, true, "\\u00e9"]}]'),
    ("application/json", b"[[0.1, 0.2], [0.3, 0.4]]"),
    ("application/json", b'{"instances": [[1, 2], [3, 4]], "parameters": {"k": 3}}'),
    ("application/jsonlines", b'[1, 2]\n[3, 4]\n{"x": 1}\n'),
    ("text/csv", b'1,2,3\r\n4,5,6\r\n"7",8.5,-9e9\r\n'),
    ("application/x-npy", _NPY),
    ("application/x-npy", npy(np.array(["a", "bc"]))),
    ("application/x-npy", npy(np.asfortranarray(np.ones((2, 3), ">i2")))),
    *(("application/x-npy", npy(np.ones((2, 2), kind))) for kind in ("g", "e", "?", ">u8", "D")),
    ("text/plain; charset=utf-16", "[1, 2]".encode("utf-16")),
    ("application/json; charset=utf-16", "[1, 2]".encode("utf-16")),
)  # fmt: skip
_GET = "{} {} HTTP/1.1\r\nHost: localhost\r\n\r\n"
_VALID: Sequence[bytes] = (
    *(post(body, kind) for kind, body in _BODIES),
    *(post(body, kind, f"Accept: {accept}")
      for kind, body in _BODIES[:3]
      for accept in ("text/csv", "application/x-npy;q=0.5, */*;q=0.1", "application/jsonlines")),
    chunked(b"[[1, 2", b"], [3,", b" 4]]"),
    chunked(b"[1]", trailer=b"X-Checksum: 1\r\n"),
    post(b"[1]", "application/json", "Expect: 100-continue"),
    post(b"[1]", "application/json", "Connection: close"),
    post(b"[1]", "application/json", "Connection: Upgrade", "Upgrade: websocket"),
    post(b"[1]", "application/json", "Content-Encoding: identity"),
    post(b"[1]", "application/json", "X-Amzn-SageMaker-Custom-Attributes: a=b",
         "X-Amzn-SageMaker-Inference-Id: i-1", "X-Amzn-RequestId: r-1"),
    post(npy(np.zeros((160, 120), np.float32)), "application/x-npy", "Accept: application/x-npy"),
    b"POST /invocations HTTP/1.0\r\nContent-Length: 3\r\n\r\n[1]",
    *(_GET.format(method, path).encode()
      for method in ("GET", "HEAD", "OPTIONS")
      for path in ("/ping", "/execution-parameters", "/metrics", "/ping?a=b")),
    b"GET http://localhost/ping HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
)  # fmt: skip
_TOKENS: Sequence[bytes] = (
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"\r\n\r\n", b"\xff\xfe", b"%00",
    b"%2e%2e/", b"../", b"?", b"#", b"//", b"HTTP/1.1", b"HTTP/0.9", b"HTTP/2.0", b"PRI * HTTP/2.0",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding : chunked\r\n", b"Content-Length: 0\r\n", b"Content-Length: 5\r\n",
    b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999\r\n",
    b"Content-Length: 30000000\r\n", b"Content-Length: 1,1\r\n", b"Content-Length: 0x10\r\n",
    b"Content-Encoding: gzip\r\n", b"Content-Type: \r\n", b"Accept: *\r\n", b"Accept: ,;q=nan\r\n",
    b"Content-Type: application/json; charset=utf-7\r\n", b"Expect: 100-continue\r\n",
    b"Connection: close\r\n", b"Connection: keep-alive, Upgrade\r\n", b"Upgrade: h2c\r\n",
    b"Host: \r\n", b" folded\r\n", b"X: \xe9\xa0\r\n", b"0\r\n\r\n", b"ffffffffffffffff\r\n",
    b"-1\r\n", b"5;ext=\"a\"\r\n", b"NaN", b"Infinity", b"1e999", b"null", b"[" * 200, b"]" * 200,
    b'{"a":' * 100, b"\\ud800", b"\"", b"\\", b"\x93NUMPY\x01\x00", b"'descr': '|O'", b"\x80\x04",
)  # fmt: skip
_METHODS = (b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"TRACE", b"PATCH", b"DELETE",
            b"get", b"BREW", b"")  # fmt: skip
_LENGTHS = (b"-1", b"+5", b"0x5", b"5 5", b"5,5", b"1e3", b"", b" ", b"9" * 30, b"30000000", b"1",
            b"99", b"\xb2", b"0", b"00000000000000000000000005")  # fmt: skip


class Attacks:
    """Endless bad inputs.

    Args:
        seed: the same seed gives the same inputs.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._number = 0
        self._kinds: Sequence[tuple[int, Callable[[], bytes]]] = (
            (30, self._mutated),
            (30, self._bad_body),
            (10, self._noise_within),
            (8, self._odd_chunks),
            (6, self._wrong_length),
            (6, self._truncated),
            (4, self._spliced),
            (2, self._many_headers),
            (1, self._large_head),
            (1, self._large_body_cut),
            (2, self._noise),
        )

    def next(self) -> Attack:
        """One more."""
        choice = self._random
        kinds = [kind for _, kind in self._kinds]
        make = choice.choices(kinds, [weight for weight, _ in self._kinds])[0]
        before, answers = self._valid_ones() if choice.random() < 0.2 else (b"", ())
        data = before + make()
        ending = choice.choices([*Ending], [90, 5, 5])[0]
        if choice.random() < 0.1:
            return Attack(self._pieces(data), answers, ending, choice.choice([0, 0, 0.001]))
        return Attack((data,), answers, ending)

    def _valid_ones(self) -> tuple[bytes, tuple[bytes, ...]]:
        """Requests that must be answered, whatever comes after them."""
        self._number += 1
        bodies = [b"[%d]" % (10 * self._number + n) for n in range(self._random.randint(1, 4))]
        return b"".join(map(post, bodies)), tuple(bodies)

    def _pieces(self, data: bytes) -> tuple[bytes, ...]:
        cuts = sorted(self._random.randrange(len(data) + 1) for _ in range(4))
        edges = [0, *cuts, len(data)]
        return tuple(data[a:b] for a, b in pairwise(edges) if b > a)

    def _mutated(self) -> bytes:
        data = bytearray(self._random.choice(_VALID))
        for _ in range(self._random.choice([1, 1, 1, 2, 3, 8])):
            self._mutate(data)
        return bytes(data)

    def _mutate(self, data: bytearray) -> None:
        choice = self._random
        place = choice.randrange(len(data) + 1)
        end = min(len(data), place + choice.choice([1, 2, 8, 40]))
        match choice.randrange(7):
            case 0 if place < len(data):
                data[place] ^= 1 << choice.randrange(8)
            case 1:
                del data[place:end]
            case 2:
                data[place:place] = data[place:end]
            case 3:
                data[place:place] = choice.randbytes(choice.choice([1, 2, 16]))
            case 4:
                data[place:end] = choice.choice(_TOKENS)
            case 5:
                lines = data.split(b"\r\n")
                lines.insert(choice.randrange(1, len(lines) + 1), bytearray(choice.choice(_TOKENS)))
                data[:] = b"\r\n".join(lines)
            case _:
                data[place:place] = choice.choice(_TOKENS)

    def _bad_body(self) -> bytes:
        """A body that is not what it says, of the right length."""
        choice = self._random
        kind, body = choice.choice(_BODIES)
        damaged = bytearray(body)
        for _ in range(choice.choice([0, 1, 1, 2, 4])):
            self._mutate(damaged)
        if choice.random() < 0.2:
            kind = choice.choice([kind for kind, _ in _BODIES] + ["image/png", "a/b; charset=x"])
        accept = choice.choice(["*/*", "text/csv", "application/x-npy", "application/jsonlines"])
        return post(bytes(damaged), kind, f"Accept: {accept}")

    def _noise_within(self) -> bytes:
        line, _, rest = self._random.choice(_VALID).partition(b"\r\n")
        words = line.split(b" ")
        match self._random.randrange(4):
            case 0:
                words[0] = self._random.choice(_METHODS)
            case 1:
                path = self._random.randbytes(self._random.choice([1, 5, 300]))
                words[1:2] = [b"/" + path]
            case 2:
                words[-1] = self._random.choice([b"HTTP/1.0", b"HTTP/3", b"http/1.1", b"", b"\0"])
            case _:
                words.insert(self._random.randrange(3), self._random.choice(_TOKENS))
        return b" ".join(words) + b"\r\n" + rest

    def _odd_chunks(self) -> bytes:
        choice = self._random
        extended = b"5;" + b"e" * choice.choice([1, 5000])
        size = choice.choice([b"5", b"0005", b"ffffffff", b"f" * 17, b"-5", b"0x5", b"5 ", b" 5",
                              extended, b"g", b"", b"4", b"6"])  # fmt: skip
        end = choice.choice([b"\r\n", b"\n", b"\r", b"", b"\r\n\r\n"])
        last = choice.choice([b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"0\n\n", b"00000\r\n\r\n", b"",
                              b"0\r\n" + b"A: b\r\n" * 300 + b"\r\n",
                              b"0\r\nContent-Length: 4\r\n\r\n"])  # fmt: skip
        head = chunked()[:-5]
        return head + size + end + b"[1,2]" + choice.choice([b"\r\n", b"\n", b""]) + last

    def _wrong_length(self) -> bytes:
        choice = self._random
        _, body = choice.choice(_BODIES)
        lengths = [choice.choice(_LENGTHS) for _ in range(choice.choice([1, 1, 2]))]
        if choice.random() < 0.5:
            lengths = [b"%d" % max(0, len(body) + choice.randint(-5, 5))]
        head = b"".join(b"Content-Length: " + length + b"\r\n" for length in lengths)
        return b"POST /invocations HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n" + body

    def _truncated(self) -> bytes:
        data = self._random.choice(_VALID)
        return data[: self._random.randrange(len(data))]

    def _spliced(self) -> bytes:
        one, other = self._random.choice(_VALID), self._random.choice(_VALID)
        return one[: self._random.randrange(len(one))] + other[self._random.randrange(len(other)) :]

    def _many_headers(self) -> bytes:
        name = self._random.choice([b"X", b"Content-Length", b"Accept", b"Host", b""])
        return (
            b"GET /ping HTTP/1.1\r\n" + (name + b": 1\r\n") * self._random.randrange(400) + b"\r\n"
        )

    def _large_head(self) -> bytes:
        size = self._random.choice([7_000, 9_000, 60_000, 70_000, 300_000])
        filler = self._random.choice([b"a", b"\xe9", b" ", b"\t"]) * size
        shape = self._random.choice([
            b"GET /%s HTTP/1.1\r\n\r\n", b"GET /ping?%s HTTP/1.1\r\n\r\n",
            b"GET /ping HTTP/1.1\r\nX: %s\r\n\r\n", b"GET /ping HTTP/1.1\r\n%s: 1\r\n\r\n", b"%s",
            b"GET /ping HTTP/1.1\r\nX: %s",
        ])  # fmt: skip
        return shape % filler

    def _large_body_cut(self) -> bytes:
        """The way of large bodies, which pass the parser by."""
        data = post(npy(np.zeros((200, 200), np.float32)), "application/x-npy")
        cut = self._random.randrange(len(data) + 1)
        return data[:cut] if self._random.random() < 0.5 else data + data[cut:]

    def _noise(self) -> bytes:
        if self._random.random() < 0.3:
            return json.dumps({"GET": "/ping"}).encode()
        return self._random.randbytes(self._random.choice([1, 10, 100, 5000]))
