"""`intermodal drill`: what AWS does once in a while, done on purpose."""

import argparse


def drill(options: argparse.Namespace) -> int:
    """Plays a drill and tells what came of it; what only other drills need is not imported."""
    if options.drill == "spot":
        from intermodal_engine.cli.drills.spot import drill_spot as play
    else:
        from intermodal_engine.cli.drills.choice import drill_clients as play
    return play(options)
