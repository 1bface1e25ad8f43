"""`intermodal env` and `intermodal exec`: what points AWS clients at the engine."""

import argparse
import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from intermodal_contract.errors import IntermodalError
from intermodal_engine import identity
from intermodal_engine.cli.engine import missing_keys, running
from intermodal_engine.cli.main import EXIT_OK, settings_of
from intermodal_engine.settings import Settings

# A variable that would win over ours, or lead elsewhere. `AWS_ENDPOINT_URL_S3` and its like are
# found by their prefix.
_IN_THE_WAY = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
)
_SERVICE_ENDPOINT_PREFIX = "AWS_ENDPOINT_URL_"
_PROXY_EXCEPTIONS = ("127.0.0.1", "localhost")
_OURS = (
    "AWS_ENDPOINT_URL",
    "INTERMODAL_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
)
HOOK = str(Path(__file__).resolve().parents[1] / "clients/python")
"""The folder on `PYTHONPATH` that sends Python programs to the engine; nothing else is in it."""


def env(options: argparse.Namespace) -> int:
    """Prints the environment as shell lines, or as JSON."""
    if options.unset:
        _print_lines(_undone(os.environ))
        return EXIT_OK
    variables = _variables(settings_of(options), os.environ)
    if options.json:
        print(json.dumps(variables, indent=2))
        return EXIT_OK
    _print_lines(variables)
    return EXIT_OK


def exec_(options: argparse.Namespace) -> int:
    """Becomes the command, with that environment."""
    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not argv:
        raise IntermodalError("no command given", hint="`intermodal exec -- aws s3 ls`")
    environment = dict(os.environ)
    for name, value in _variables(settings_of(options), os.environ).items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value
    try:
        os.execvpe(argv[0], argv, environment)  # noqa: S606 - running a command is the command
    except OSError as error:
        raise IntermodalError(f"`{argv[0]}` cannot be run: {error.strerror}") from error


def _variables(settings: Settings, present: Mapping[str, str]) -> dict[str, str | None]:
    """Each variable that an AWS client heeds, with its value; None for one that must go."""
    state = running(settings)
    keys = identity.read(settings)
    if keys is None:
        raise missing_keys(settings)
    pair = keys.engine.credentials
    unwanted = [*_IN_THE_WAY, *sorted(n for n in present if n.startswith(_SERVICE_ENDPOINT_PREFIX))]
    no_proxy = _no_proxy(present)
    return {
        **dict.fromkeys(unwanted),
        "AWS_ENDPOINT_URL": state.endpoint_url,
        # Says that it is the engine's address: what acts towards the engine only looks here.
        "INTERMODAL_ENDPOINT_URL": state.endpoint_url,
        "AWS_ACCESS_KEY_ID": pair.access_key_id,
        "AWS_SECRET_ACCESS_KEY": pair.secret_access_key,
        "AWS_REGION": state.region,
        "AWS_DEFAULT_REGION": state.region,
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "PYTHONPATH": os.pathsep.join([HOOK, *_python_path(present)]),
    }


def _undone(present: Mapping[str, str]) -> dict[str, str | None]:
    """What takes ours back and leaves the user's own."""
    path = _python_path(present)
    return {**dict.fromkeys(_OURS), "PYTHONPATH": os.pathsep.join(path) if path else None}


def _print_lines(variables: Mapping[str, str | None]) -> None:
    """The lines that a POSIX shell evaluates."""
    if names := [name for name, value in variables.items() if value is None]:
        print(f"unset {' '.join(names)}")
    for name, value in variables.items():
        if value is not None:
            print(f"export {name}={shlex.quote(value)}")


def _python_path(present: Mapping[str, str]) -> list[str]:
    """The user's own folders of `PYTHONPATH`; an empty part would be the working folder."""
    parts = present.get("PYTHONPATH", "").split(os.pathsep)
    return [part for part in parts if part and part != HOOK]


def _no_proxy(present: Mapping[str, str]) -> str:
    """The exceptions from proxies that are set, and ours. curl and Python read the lower case."""
    text = present.get("no_proxy") or present.get("NO_PROXY") or ""
    hosts = [host.strip() for host in text.split(",") if host.strip()]
    return ",".join([*hosts, *(host for host in _PROXY_EXCEPTIONS if host not in hosts)])
