"""`intermodal up`: the engine in the foreground, or detached."""

import argparse
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace

from intermodal_contract.errors import IntermodalError
from intermodal_engine.cli.main import EXIT_OK, UnavailableError, option_of, settings_of
from intermodal_engine.cli.output import print_note
from intermodal_engine.home import EngineState, is_locked, last_port, prepare, read_state
from intermodal_engine.settings import DEFAULT_PORT, Settings

OPTIONS = (
    "port",
    "listen",
    "driver",
    "region",
    "max_instances",
    "max_endpoint_instances",
    "serverless_idle_s",
    "spot_interruptions_per_hour",
    "spot_capacity_wait_s",
    "stop_grace_s",
    "health_timeout_s",
    "scaling_period_s",
    "file_systems",
    "registry",
)
"""The settings that an option of `up` stands for."""


def up(options: argparse.Namespace) -> int:
    """Starts the engine."""
    named = {name: getattr(options, name) for name in OPTIONS if getattr(options, name) is not None}
    settings = replace(settings_of(options), **named)
    prepare(settings)
    if options.detach:
        return _detached(settings, named)
    inherited = options.listener_descriptor
    listener = None if inherited is None else socket.socket(fileno=inherited)
    successor = _foreground(settings, options.ready_descriptor, listener)
    if successor is not None:
        _succeed(settings, named, successor)
    return EXIT_OK


def _succeed(settings: Settings, named: Mapping[str, object], listener: socket.socket) -> None:
    """Becomes the next engine: the same process with the program as it is now on disk."""
    descriptor = listener.detach()
    os.set_inheritable(descriptor, True)
    argv = [*_argv(settings, named), "--listener-descriptor", str(descriptor)]
    os.execv(argv[0], argv)  # noqa: S606 (the engine itself)


def _foreground(
    settings: Settings, ready_descriptor: int | None, listener: socket.socket | None
) -> socket.socket | None:
    usual_port = last_port(settings) or DEFAULT_PORT

    def tell(state: EngineState) -> None:
        nonlocal ready_descriptor
        if ready_descriptor is None:
            print(state.endpoint_url, flush=True)
            _explain_port(settings, usual_port, state.port)
            _warn_of_others(settings, state.port)
            print_note('hint: `eval "$(intermodal env)"` points AWS clients at it; Ctrl-C stops it')
        else:
            _report(ready_descriptor, asdict(state))
            ready_descriptor = None  # nobody waits for the news of its end

    try:
        from intermodal_engine import app

        return app.run(settings, tell, listener)
    except IntermodalError as error:
        if ready_descriptor is not None:
            _report(ready_descriptor, {"error": error.message, "hint": error.hint})
        raise
    except Exception as error:
        if ready_descriptor is not None:
            hint = f"`{settings.engine_log}` tells more"
            _report(
                ready_descriptor, {"error": f"the engine cannot start: {error!r}", "hint": hint}
            )
        raise


def _detached(settings: Settings, named: Mapping[str, object]) -> int:
    """Starts the engine as a process of its own and waits until that says it is ready."""
    if is_locked(settings.home):
        return _running_already(settings, named)
    usual_port = last_port(settings) or DEFAULT_PORT
    read_end, write_end = os.pipe()
    with settings.engine_log.open("ab") as log:
        process = subprocess.Popen(
            [*_argv(settings, named), "--ready-descriptor", str(write_end)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(write_end,),
            start_new_session=True,
        )
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        report = json.loads(pipe.readline() or "null")
    if report is None:
        raise UnavailableError(
            f"the engine ended at once with exit code {process.wait()}",
            hint=f"`{settings.engine_log}` tells more",
        )
    if "error" in report:
        raise IntermodalError(report["error"], hint=report["hint"])
    print(report["endpoint_url"])
    _explain_port(settings, usual_port, report["port"])
    _warn_of_others(settings, report["port"])
    return EXIT_OK


def _explain_port(settings: Settings, usual: int, port: int) -> None:
    if settings.port is None and port != usual:
        print_note(f"port {usual} is in use by another program, so the engine took {port}")


def _warn_of_others(settings: Settings, port: int) -> None:
    if settings.listen is not None:
        print_note(
            f"warning: other machines reach the engine at http://{settings.listen}:{port}, without "
            "TLS. Who has its keys may run programs here; SECURITY.md says more"
        )


def _running_already(settings: Settings, named: Mapping[str, object]) -> int:
    state = read_state(settings)
    if state is None:
        raise UnavailableError(
            f"another engine is just starting or stopping on `{settings.home}`",
            hint="try again in a moment",
        )
    if settings.port not in (None, 0, state.port):
        print_note(f"the engine runs already, on port {state.port}")
    if ignored := [option_of(name) for name in named if name != "port"]:
        print_note(
            f"the engine runs already; {', '.join(ignored)} would count from its next start on "
            "(`intermodal down` stops it)"
        )
    print(state.endpoint_url)
    return EXIT_OK


def _argv(settings: Settings, named: Mapping[str, object]) -> list[str]:
    return [
        sys.executable,
        "-m",
        "intermodal_engine.cli",
        "up",
        f"--home={settings.home}",
        *(word for name, value in named.items() for word in _words(name, value)),
    ]


def _words(name: str, value: object) -> list[str]:
    """How a setting is said on the command line."""
    if isinstance(value, Mapping):
        return [f"{option_of(name)}={key}={one}" for key, one in value.items()]
    return [f"{option_of(name)}={value}"]


def _report(descriptor: int, document: object) -> None:
    with os.fdopen(descriptor, "w") as pipe:
        pipe.write(json.dumps(document) + "\n")
