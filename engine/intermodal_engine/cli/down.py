"""`intermodal down`."""

import argparse
import os
import signal

from intermodal_engine.cli.main import EXIT_OK, UnavailableError, settings_of
from intermodal_engine.cli.output import print_note
from intermodal_engine.cli.prune import tidy_networks
from intermodal_engine.home import read_state, wait_until_free

# The engine gives requests under way 10 s; the rest is for its own tidying up.
_STOP_TIMEOUT_S = 20.0


def down(options: argparse.Namespace) -> int:
    """Stops the engine. Jobs and endpoints outlive it and the next one takes them over."""
    settings = settings_of(options)
    state = read_state(settings)
    if state is None:
        print_note(f"no engine runs on `{settings.home}`")
        tidy_networks(settings)  # one that was killed could not
        return EXIT_OK
    os.kill(state.pid, signal.SIGTERM)
    if not wait_until_free(settings.home, _STOP_TIMEOUT_S):
        raise UnavailableError(
            f"the engine (process {state.pid}) has not stopped within {_STOP_TIMEOUT_S:.0f} s",
            hint=f"`kill -9 {state.pid}` ends it; nothing stored is lost and jobs go on",
        )
    print_note(
        "the engine has stopped; jobs and endpoints that were running still run, and the next "
        "`intermodal up` takes them over"
    )
    return EXIT_OK
