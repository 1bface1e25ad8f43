"""The environment variables that `serve` reads, their defaults and their limits.

No other module reads the environment. The names are the vendor's where the vendor has one
(https://github.com/aws/sagemaker-inference-toolkit, `parameters.py`).
"""

import logging
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from intermodal_contract import env
from intermodal_contract.serving_http import (
    INVOCATION_TIMEOUT_S,
    MAX_PAYLOAD_BYTES,
    PORT,
    STREAM_TIMEOUT_S,
)
from intermodal_contract.training_files import ML_ROOT
from intermodal_serving.errors import SettingError

T = TypeVar("T")
D = TypeVar("D")

MAX_REQUEST_SIZE = "SAGEMAKER_MAX_REQUEST_SIZE"
MAX_PAYLOAD_IN_MB = "SAGEMAKER_MAX_PAYLOAD_IN_MB"
ALLOW_PICKLE = "SAGEMAKER_ALLOW_PICKLE"
TIMEOUT = env.MODEL_SERVER_TIMEOUT
MAX_BATCH_SIZE = "MAX_BATCH_SIZE"
MAX_BATCH_DELAY_MS = "MAX_BATCH_DELAY_MS"
BATCH_LATENCY_MS = "INTERMODAL_BATCH_LATENCY_MS"
ACCESS_LOG = "INTERMODAL_ACCESS_LOG"
SLOW_REQUEST_MS = "INTERMODAL_SLOW_REQUEST_MS"
EVICT_MODELS = "INTERMODAL_EVICT_MODELS"
STREAM_TIMEOUT = "INTERMODAL_STREAM_TIMEOUT"
# As in https://github.com/aws/model-hosting-container-standards, docs/sagemaker.
SESSIONS_PATH = "SAGEMAKER_SESSIONS_PATH"
SESSIONS_EXPIRATION = "SAGEMAKER_SESSIONS_EXPIRATION"

MIB = 2**20
UNLIMITED_PAYLOAD_BYTES = 2**30
"""What `SAGEMAKER_MAX_PAYLOAD_IN_MB=0` stands for: the 1 GB of an asynchronous invocation."""

MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Settings:
    """How this container serves.

    Attributes:
        base_dir: the folder that stands for `/opt/ml` (`SAGEMAKER_BASE_DIR`).
        host: the address to listen on (`SAGEMAKER_BIND_TO_HOST`).
        port: the port to listen on; 0 takes a free one (`SAGEMAKER_BIND_TO_PORT`).
        safe_port_range: first and last port that the container may use besides its own
            (`SAGEMAKER_SAFE_PORT_RANGE`).
        program: the user's file; None: `inference.py` if there is one (`SAGEMAKER_PROGRAM`).
        submit_directory: where that file lies; None: `code/` in the model
            (`SAGEMAKER_SUBMIT_DIRECTORY`).
        log_level: a level of the logging module (`SAGEMAKER_CONTAINER_LOG_LEVEL`).
        timeout_s: how long one invocation may take (`SAGEMAKER_MODEL_SERVER_TIMEOUT`).
        stream_timeout_s: how long one answer may be streamed (`INTERMODAL_STREAM_TIMEOUT`).
        max_request_bytes: the largest body that is read (`SAGEMAKER_MAX_REQUEST_SIZE` in bytes,
            else `SAGEMAKER_MAX_PAYLOAD_IN_MB` as batch transform sets it).
        allow_pickle: load models whose loading runs code (`SAGEMAKER_ALLOW_PICKLE`).
        default_accept: the response's content type when the client names none
            (`SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT`).
        cpus: cores that this container may use (`SAGEMAKER_NUM_CPUS`, else what the kernel grants).
        workers: processes that serve; None: one a GPU, else one a core, as many as memory takes
            (`SAGEMAKER_MODEL_SERVER_WORKERS`).
        multi_model: serve the models that are asked for by `/models` (`SAGEMAKER_MULTI_MODEL`).
        evict_models: throw the least recently used model out where memory is short, instead of
            answering 507 (`INTERMODAL_EVICT_MODELS`).
        max_batch_size: most requests that the model gets at once (`MAX_BATCH_SIZE`).
        max_batch_delay_s: how long a request waits for others; 0: only what waits already is put
            together (`MAX_BATCH_DELAY_MS`).
        batch_latency_s: longest that a batch should take; its size is found accordingly. None: no
            such goal (`INTERMODAL_BATCH_LATENCY_MS`).
        access_log: whether each request gets a line in the log (`INTERMODAL_ACCESS_LOG`).
        slow_request_s: a request that takes longer gets a line that says where its time went; None:
            none does (`INTERMODAL_SLOW_REQUEST_MS`).
        sessions_dir: where sessions keep their files, for all workers; None: in a folder that ends
            with the container (`SAGEMAKER_SESSIONS_PATH`).
        session_s: how long a session lasts whose handler says nothing else
            (`SAGEMAKER_SESSIONS_EXPIRATION`).
        gpu_id: the GPU of this worker, among those that it sees; None without one.
        threads: for the numeric libraries of this worker.
        model_folder: where the model lies, if it is one of many; None: `model/` below `base_dir`.
        model_name: what the platform calls it, if it is one of many.
    """

    base_dir: Path = ML_ROOT
    host: str = "0.0.0.0"  # noqa: S104 - the contract: a container listens on all its addresses
    port: int = PORT
    safe_port_range: tuple[int, int] | None = None
    program: str | None = None
    submit_directory: str | None = None
    log_level: int = logging.INFO
    timeout_s: float = INVOCATION_TIMEOUT_S
    stream_timeout_s: float = STREAM_TIMEOUT_S
    max_request_bytes: int = MAX_PAYLOAD_BYTES
    allow_pickle: bool = False
    default_accept: str = "application/json"
    cpus: int = 1
    workers: int | None = None
    multi_model: bool = False
    evict_models: bool = False
    max_batch_size: int = 1
    max_batch_delay_s: float = 0.0
    batch_latency_s: float | None = None
    access_log: bool = False
    slow_request_s: float | None = None
    sessions_dir: Path | None = None
    session_s: float = 1200.0
    gpu_id: int | None = None
    threads: int = 1
    model_folder: Path | None = None
    model_name: str | None = None

    @property
    def model_dir(self) -> Path:
        """The folder that `model.tar.gz` was unpacked into."""
        return self.model_folder or self.base_dir / "model"


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings that an environment asks for; an empty value counts as none.

    Raises:
        SettingError: names the variable whose value cannot be used.
    """

    def read(name: str, parse: Callable[[str], T], default: D) -> T | D:
        text = environment.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            raise SettingError(f"`{name}` is `{text}`, but {error}") from None

    timeout_s = read(env.MODEL_SERVER_TIMEOUT, _seconds, INVOCATION_TIMEOUT_S)
    payload_limit = read(MAX_PAYLOAD_IN_MB, _payload_limit, MAX_PAYLOAD_BYTES)
    return Settings(
        base_dir=read(env.BASE_DIR, _absolute_folder, ML_ROOT),
        host=read(env.BIND_TO_HOST, str, "0.0.0.0"),  # noqa: S104 - as above
        port=read(env.BIND_TO_PORT, _port, PORT),
        safe_port_range=read(env.SAFE_PORT_RANGE, _port_range, None),
        program=read(env.PROGRAM, str, None),
        submit_directory=read(env.SUBMIT_DIRECTORY, str, None),
        log_level=read(env.CONTAINER_LOG_LEVEL, _log_level, logging.INFO),
        timeout_s=timeout_s,
        stream_timeout_s=read(STREAM_TIMEOUT, _seconds, max(STREAM_TIMEOUT_S, timeout_s)),
        max_request_bytes=read(MAX_REQUEST_SIZE, _positive, payload_limit),
        allow_pickle=read(ALLOW_PICKLE, _boolean, False),
        default_accept=read(env.DEFAULT_INVOCATIONS_ACCEPT, str.lower, "application/json"),
        cpus=read(env.NUM_CPUS, _positive, available_cpus()),
        workers=read(env.MODEL_SERVER_WORKERS, _positive, None),
        multi_model=read(env.MULTI_MODEL, _boolean, False),
        evict_models=read(EVICT_MODELS, _boolean, False),
        max_batch_size=read(MAX_BATCH_SIZE, _positive, 1),
        max_batch_delay_s=read(MAX_BATCH_DELAY_MS, _milliseconds, 0.0),
        batch_latency_s=read(BATCH_LATENCY_MS, _positive_milliseconds, None),
        access_log=read(ACCESS_LOG, _boolean, False),
        slow_request_s=read(SLOW_REQUEST_MS, _positive_milliseconds, None),
        sessions_dir=read(SESSIONS_PATH, _absolute_folder, None),
        session_s=read(SESSIONS_EXPIRATION, _seconds, 1200.0),
    )


def available_cpus() -> int:
    """Cores that the kernel grants: the affinity mask, cut by the control group's quota."""
    granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        limit = math.ceil(int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return granted or 1
    return max(1, min(granted or 1, limit))


def _absolute_folder(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise ValueError("it must be an absolute path")
    return path


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("it must be a whole number")
    return int(text)


def _positive(text: str) -> int:
    number = _whole(text)
    if number < 1:
        raise ValueError("it must be at least 1")
    return number


def _port(text: str) -> int:
    number = _whole(text)
    if number > MAX_PORT:
        raise ValueError(f"a port is at most {MAX_PORT}")
    return number


def _port_range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not dash:
        raise ValueError("it must be two ports with a dash between, such as `7000-7100`")
    ports = _port(first.strip()), _port(last.strip())
    if ports[0] > ports[1]:
        raise ValueError("its first port is above its last")
    return ports


def _log_level(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    level = logging.getLevelNamesMapping().get(text.upper())
    if level is None:
        raise ValueError("it must be a number such as `20` or a name such as `INFO`")
    return level


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError("it must be a number of seconds") from None
    if not (math.isfinite(number) and number > 0):
        raise ValueError("it must be a number of seconds above 0")
    return number


def _milliseconds(text: str) -> float:
    """Seconds, from milliseconds."""
    try:
        number = float(text)
    except ValueError:
        raise ValueError("it must be a number of milliseconds") from None
    if not (math.isfinite(number) and number >= 0):
        raise ValueError("it must be a number of milliseconds, 0 or more")
    return number / 1000


def _positive_milliseconds(text: str) -> float:
    seconds = _milliseconds(text)
    if not seconds:
        raise ValueError("it must be a number of milliseconds above 0")
    return seconds


def _payload_limit(text: str) -> int:
    # CreateTransformJob: `MaxPayloadInMB` 0 streams any size through.
    return _whole(text) * MIB or UNLIMITED_PAYLOAD_BYTES


def _boolean(text: str) -> bool:
    if text.lower() in {"1", "true", "yes"}:
        return True
    if text.lower() in {"0", "false", "no"}:
        return False
    raise ValueError("it must be `true` or `false`")
