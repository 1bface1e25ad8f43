"""`intermodal status`."""

import argparse
import json
import time
from dataclasses import asdict

from intermodal_engine.cli.engine import check_health, running
from intermodal_engine.cli.instances import running_instances
from intermodal_engine.cli.main import EXIT_OK, settings_of


def status(options: argparse.Namespace) -> int:
    """Shows the running engine and what runs under it."""
    settings = settings_of(options)
    state = running(settings)
    check_health(state)
    instances = running_instances(settings)
    if options.json:
        document = {**asdict(state), "instances": [asdict(one) for one in instances]}
        print(json.dumps(document, indent=2))
        return EXIT_OK
    uptime_s = int(time.time() - state.started_at)
    rows = {
        "endpoint": state.endpoint_url,
        "process": state.pid,
        "home": state.home,
        "region": state.region,
        "version": state.version,
        "up for": f"{uptime_s // 3600}:{uptime_s // 60 % 60:02}:{uptime_s % 60:02}",
    }
    for name, value in rows.items():
        print(f"{name:<9} {value}")
    for one in instances:
        place = f" in {one.zone}" if one.zone else ""
        print(f"{'running':<9} {one.kind} {one.name}: {one.instance}{place}, process {one.pid}")
    return EXIT_OK
