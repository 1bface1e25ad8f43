"""How a command finds the engine that runs on a home, and asks it whether it is well."""

import http.client
import json
from typing import Any

from intermodal_contract.errors import IntermodalError
from intermodal_engine import identity
from intermodal_engine.cli.main import UnavailableError
from intermodal_engine.home import EngineState, read_state
from intermodal_engine.settings import Settings

_HEALTH_TIMEOUT_S = 3.0
_TASK_TIMEOUT_S = 30.0
_INTERNAL = "/_intermodal"


def running(settings: Settings) -> EngineState:
    """The engine that runs on this home.

    Raises:
        UnavailableError: none runs.
    """
    state = read_state(settings)
    if state is None:
        raise UnavailableError(
            f"no engine runs on `{settings.home}`", hint="start one with `intermodal up --detach`"
        )
    return state


def check_health(state: EngineState) -> None:
    """Asks the engine for a sign of life.

    Raises:
        UnavailableError: it does not answer.
    """
    status, _ = _exchange(state, "GET", "health", timeout_s=_HEALTH_TIMEOUT_S)
    if status != 200:
        raise UnavailableError(
            f"the engine (process {state.pid}) answers {status}",
            hint="`engine.log` in its home may say why",
        )


def ask(settings: Settings, task: str, **parameters: Any) -> dict[str, Any]:
    """Has the running engine do something; see `services/internal.py`.

    Args:
        settings: the engine's home.
        task: its name there.
        parameters: what the task takes.

    Raises:
        UnavailableError: no engine runs, or it does not answer.
        IntermodalError: the engine says why it cannot do that.
    """
    state = running(settings)
    keys = identity.read(settings)
    if keys is None:
        raise missing_keys(settings)
    headers = {"Authorization": f"Bearer {keys.owner_token}", "Content-Type": "application/json"}
    body = json.dumps(parameters).encode()
    status, answer = _exchange(
        state, "POST", task, body=body, headers=headers, timeout_s=_TASK_TIMEOUT_S
    )
    try:
        document = json.loads(answer)
        if status == 200:
            return dict(document)
        raise IntermodalError(document["message"], hint=document.get("hint"))
    except (ValueError, TypeError, KeyError) as error:
        raise UnavailableError(
            f"the engine (process {state.pid}, version {state.version}) answers {status} to "
            f"`{task}`",
            hint="an engine of another version? Restart it: `intermodal down`, `intermodal up`",
        ) from error


def missing_keys(settings: Settings) -> IntermodalError:
    """What to say where an engine runs and its key pair is gone."""
    return IntermodalError(
        f"`{settings.credentials_file}` is missing", hint="restart the engine; it makes a new one"
    )


def _exchange(
    state: EngineState,
    method: str,
    path: str,
    *,
    timeout_s: float,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", state.port, timeout=timeout_s)
    try:
        connection.request(method, f"{_INTERNAL}/{path}", body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(
            f"the engine (process {state.pid}) does not answer on port {state.port}: {error}",
            hint=f"`engine.log` in its home may say why; `kill -9 {state.pid}` ends it, jobs go on",
        ) from error
    finally:
        connection.close()
