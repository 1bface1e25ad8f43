"""What all tests share: their names, and assertions that explain themselves."""

import signal

import pytest
from hypothesis import settings

# A shell's background work ignores Ctrl-C, and so would programs that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

pytest.register_assert_rewrite("tests.helpers.driver_conformance")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A parameter of binary data is called by its argument's name: a test's name must be the same
    in each process that collects it, and a gzip header, say, holds the time."""
    if isinstance(val, bytes) and not (val.isascii() and val.decode().isprintable()):
        return argname
    return None
