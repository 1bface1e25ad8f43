"""Sends to the engine what a Python program would send past it; found through `PYTHONPATH`.

`AWS_ENDPOINT_URL` moves every client of boto3 but one whose program wrote down an address of AWS:
the vendor's SDKs do that with STS, which they ask for the account and for the role. Here such a
client gets the engine's address, if it would sign with the engine's keys, which AWS does not know
anyway, and if the environment still leads to the engine. Anything else goes where it went before.
Nor do the vendor's SDKs then tell AWS what is done here, which their telemetry would.

It runs at the start of every Python of the user's, of any version from 3.8 on: nothing but the
standard library, and nothing imported that is not needed. A `sitecustomize` of theirs still runs.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # importing `typing` would take longer than all of this
if TYPE_CHECKING:
    from typing import Any

_AWS = (".amazonaws.com", ".amazonaws.com.cn")


def _redirect(module: Any) -> None:
    """Gives clients with an address of AWS that of the engine."""
    create_client = module.Session.create_client

    def changed(self: Any, service_name: str, *positional: Any, **named: Any) -> Any:
        if _is_aws(named.get("endpoint_url")) and _leads_to_the_engine():
            key = named.get("aws_access_key_id") or _key_of(self)
            if key == os.environ.get("AWS_ACCESS_KEY_ID"):
                named["endpoint_url"] = os.environ["AWS_ENDPOINT_URL"]
        return create_client(self, service_name, *positional, **named)

    module.Session.create_client = changed


def _keep_quiet(module: Any) -> None:
    """Keeps telemetry from a bucket of AWS, by the function's name in every version so far."""
    send = getattr(module, "_requests_helper", None)
    if send is None:
        return

    def changed(*positional: Any, **named: Any) -> Any:
        return None if _leads_to_the_engine() else send(*positional, **named)

    module._requests_helper = changed


_CHANGES = {
    "botocore.session": _redirect,
    "sagemaker.telemetry.telemetry_logging": _keep_quiet,
    "sagemaker.core.telemetry.telemetry_logging": _keep_quiet,
    "sagemaker.serve.utils.telemetry_logger": _keep_quiet,
}


class _Finder:
    """Changes a module of the table when, and only when, a program imports it."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Finds those modules, with a loader that changes them."""
        change = _CHANGES.get(name)
        if change is None:
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            _call_after(spec.loader, change)
        return spec


def _call_after(loader: Any, change: Any) -> None:
    execute = loader.exec_module

    def exec_module(module: Any) -> None:
        execute(module)
        change(module)

    loader.exec_module = exec_module


def _is_aws(url: str | None) -> bool:
    return (url or "").partition("://")[2].partition("/")[0].endswith(_AWS)


def _key_of(session: Any) -> str | None:
    return getattr(session.get_credentials(), "access_key", None)


def _leads_to_the_engine() -> bool:
    engine = os.environ.get("INTERMODAL_ENDPOINT_URL")
    return bool(engine) and os.environ.get("AWS_ENDPOINT_URL") == engine


def _run_the_one_behind() -> None:
    """Runs the `sitecustomize` that this one hides."""
    from importlib.machinery import PathFinder

    mine = os.path.realpath(os.path.dirname(__file__))  # noqa: PTH120 - importing pathlib takes 5 ms
    others = [folder for folder in sys.path if os.path.realpath(folder or ".") != mine]
    spec = PathFinder.find_spec(__name__, others)
    if spec is not None and spec.loader is not None:
        from importlib.util import module_from_spec

        sys.modules[__name__] = module = module_from_spec(spec)
        spec.loader.exec_module(module)


if os.environ.get("INTERMODAL_ENDPOINT_URL"):
    sys.meta_path.insert(0, _Finder())
_run_the_one_behind()
