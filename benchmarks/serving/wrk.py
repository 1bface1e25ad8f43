"""The load generator wrk: one request over and over on some connections, without a pause."""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import NotMeasuredError
from benchmarks.serving.programs import library_path, program
from benchmarks.serving.servers import HOST

_RESULT = "RESULT "
_PATIENCE_S = 20
_SCRIPT = """
wrk.method = "POST"
for name, value in string.gmatch(os.getenv("BENCH_HEADERS"), "([^:\\n]+): ([^\\n]+)") do
  wrk.headers[name] = value
end
local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
wrk.body = file:read("*a")
file:close()

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "microseconds": %d, "p50": %f, "p99": %f, "connect": %d, ' ..
    '"read": %d, "write": %d, "status": %d, "timeout": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk found.

    Attributes:
        requests: how many were answered; the other values mean nothing if none was.
        per_s: the same in a second.
        p50_ms: half of them took no longer.
        p99_ms: 99 of 100 took no longer.
    """

    requests: int
    per_s: float
    p50_ms: float
    p99_ms: float


def load(port: int, body: Path, content_type: str, *, connections: int, seconds: int,
         core: int) -> Load:  # fmt: skip
    """Loads a server on loopback.

    Raises:
        NotMeasuredError: wrk failed, or a request did.
    """
    return load_url(
        f"http://{HOST}:{port}/invocations", body, {"Content-Type": content_type},
        connections=connections, seconds=seconds, core=core,
    )  # fmt: skip


def load_url(url: str, body: Path, headers: Mapping[str, str], *, connections: int, seconds: int,
             core: int) -> Load:  # fmt: skip
    """Loads any server with the same request over and over.

    Raises:
        NotMeasuredError: wrk failed, or a request did.
    """
    lines = "\n".join(f"{name}: {value}" for name, value in headers.items())
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT)
        script.flush()
        done = subprocess.run(
            [
                *(program("wrk"), "--threads", "1", "--connections", str(connections)),
                *("--duration", f"{seconds}s", "--timeout", f"{_PATIENCE_S}s"),
                *("--script", script.name, url),
            ],
            env=os.environ
            | {"BENCH_BODY": str(body), "BENCH_HEADERS": lines}
            | {"LD_LIBRARY_PATH": library_path()},
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            capture_output=True,
            text=True,
        )
    return read_result(done.stdout, done.stderr)


def read_result(output: str, errors: str = "") -> Load:
    """What wrk printed.

    Raises:
        NotMeasuredError: it printed no result, or one with a failed request in it.
    """
    lines = [line for line in output.splitlines() if line.startswith(_RESULT)]
    if not lines:
        raise NotMeasuredError(f"wrk gave no result: {(errors or output).strip()[:160]}")
    found = json.loads(lines[-1].removeprefix(_RESULT))
    failed = {name: found[name] for name in ("connect", "read", "write", "status", "timeout")}
    if any(failed.values()):
        said = ", ".join(f"{count} {name}" for name, count in failed.items() if count)
        raise NotMeasuredError(f"of {found['requests']} requests failed: {said}")
    return Load(
        requests=found["requests"],
        per_s=found["requests"] / found["microseconds"] * 1e6,
        p50_ms=found["p50"] / 1000,
        p99_ms=found["p99"] / 1000,
    )
