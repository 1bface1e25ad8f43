"""`intermodal status`."""

import argparse
import json
import time
from dataclasses import asdict

from intermodal_engine.cli.engine import check_health, running
from intermodal_engine.cli.main import EXIT_OK, settings_of


def status(options: argparse.Namespace) -> int:
    """Shows the running engine."""
    state = running(settings_of(options))
    check_health(state)
    if options.json:
        print(json.dumps(asdict(state), indent=2))
        return EXIT_OK
    uptime_s = int(time.time() - state.started_at)
    rows = {
        "endpoint": state.endpoint_url,
        "process": state.pid,
        "home": state.home,
        "version": state.version,
        "up for": f"{uptime_s // 3600}:{uptime_s // 60 % 60:02}:{uptime_s % 60:02}",
    }
    for name, value in rows.items():
        print(f"{name:<9} {value}")
    return EXIT_OK
