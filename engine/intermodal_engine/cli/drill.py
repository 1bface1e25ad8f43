"""`intermodal drill`: what AWS does to jobs once in a while, done on purpose."""

import argparse
import json
import time

from intermodal_engine.cli.engine import ask, running
from intermodal_engine.cli.main import EXIT_OK, settings_of
from intermodal_engine.cli.output import print_hint, print_note


def drill(options: argparse.Namespace) -> int:
    """Interrupts a spot job, and says what will follow."""
    settings = settings_of(options)
    if options.after:
        running(settings)
        # Looked at first: who mistyped the name shall not wait to be told.
        ask(settings, "drills/spot", job=options.name, only_check=True)
        print_note(f"interrupting `{options.name}` in {options.after:g} s; Ctrl-C leaves it alone")
        time.sleep(options.after)
    done = ask(settings, "drills/spot", job=options.name)
    if options.json:
        print(json.dumps(done, indent=2))
        return EXIT_OK
    print(
        f"interrupted `{done['job']}`: SIGTERM now, SIGKILL after {done['notice_s']:g} s if it "
        f"still runs; then it waits {done['capacity_wait_s']:g} s for capacity and starts again"
    )
    if done["checkpoint_s3_uri"] is None:
        print_note(
            "its request has no CheckpointConfig, so it will start from its beginning; on AWS too"
        )
    else:
        print_note(f"what it saves is kept in {done['checkpoint_s3_uri']} and given back to it")
    print_hint(
        f"`intermodal logs {done['job']} --follow` shows whether it resumes; "
        "DescribeTrainingJob's SecondaryStatusTransitions tell what happened"
    )
    return EXIT_OK
