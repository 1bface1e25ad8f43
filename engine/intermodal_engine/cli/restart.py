"""`intermodal restart`: the next engine in the place of this one, without a lost call."""

import argparse
import os
import signal
import time

from intermodal_engine.cli.engine import running
from intermodal_engine.cli.main import EXIT_OK, UnavailableError, settings_of
from intermodal_engine.cli.output import print_note
from intermodal_engine.home import read_state

# Requests under way get 10 s; the rest is for the end of one engine and the start of the other.
_TIMEOUT_S = 30.0
_LOOK_EVERY_S = 0.05


def restart(options: argparse.Namespace) -> int:
    """Has the engine end and start anew, as the program is now on disk.

    The port stays open all the while: who connects meanwhile waits for the next engine.
    """
    settings = settings_of(options)
    before = running(settings)
    os.kill(before.pid, signal.SIGHUP)
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        state = read_state(settings)
        if state is not None and state.started_at > before.started_at:
            print_note(f"the engine was restarted, version {state.version}")
            print(state.endpoint_url)
            return EXIT_OK
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"no new engine answers within {_TIMEOUT_S:.0f} s",
                hint=f"`{settings.engine_log}` may say why; `intermodal up` starts one",
            )
        time.sleep(_LOOK_EVERY_S)
