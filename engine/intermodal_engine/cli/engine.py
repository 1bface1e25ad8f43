"""How a command finds the engine that runs on a home, and asks it whether it is well."""

import http.client

from intermodal_engine.cli.main import UnavailableError
from intermodal_engine.home import EngineState, read_state
from intermodal_engine.settings import Settings

_HEALTH_TIMEOUT_S = 3.0


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
    connection = http.client.HTTPConnection("127.0.0.1", state.port, timeout=_HEALTH_TIMEOUT_S)
    try:
        connection.request("GET", "/_intermodal/health")
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise UnavailableError(
                f"the engine (process {state.pid}) answers {answer.status}",
                hint="`engine.log` in its home may say why",
            )
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(
            f"the engine (process {state.pid}) does not answer on port {state.port}: {error}",
            hint=f"`engine.log` in its home may say why; `kill -9 {state.pid}` ends it, jobs go on",
        ) from error
    finally:
        connection.close()
