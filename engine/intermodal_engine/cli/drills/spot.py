"""`drill spot`: AWS wants the instances of a job back; when does it train again?"""

import argparse
import time
from typing import Any

from intermodal_engine.cli.drills.cost import cost_of
from intermodal_engine.cli.drills.figures import Span
from intermodal_engine.cli.drills.report import Report, show
from intermodal_engine.cli.engine import ask, running
from intermodal_engine.cli.main import EXIT_OK, settings_of
from intermodal_engine.cli.output import print_hint, print_note
from intermodal_engine.settings import Settings

_LOOK_EVERY_S = 0.1
_OPEN = ("InProgress", "Stopping")
_TRAINING = "Training"


def drill_spot(options: argparse.Namespace) -> int:
    """Interrupts a spot job, says what will follow, and waits until it trains again."""
    settings = settings_of(options)
    if options.after:
        running(settings)
        # Looked at first: who mistyped the name shall not wait to be told.
        ask(settings, "drills/spot", job=options.name, only_check=True)
        print_note(f"interrupting `{options.name}` in {options.after:g} s; Ctrl-C leaves it alone")
        time.sleep(options.after)
    done = ask(settings, "drills/spot", job=options.name)
    began = time.monotonic()
    did = (
        f"interrupted `{done['job']}`: SIGTERM now, SIGKILL after {done['notice_s']:g} s if it "
        f"still runs; then it waits {done['capacity_wait_s']:g} s for capacity and starts again"
    )
    _explain(done)
    job = _as_it_is(settings, options.name) if options.no_wait else _resumed(settings, options.name)
    seconds = time.monotonic() - began
    report = Report(
        drill="spot",
        target=options.name,
        did=[did, f"now it is {job['secondary_status']}"],
        clients={},
        recovery={"whole_s": seconds},
        cost=cost_of(job["instances"], seconds, job["spot_price_ratio"]),
        facts={**done, "status": job["status"], "secondary_status": job["secondary_status"]},
        span=Span(0.0, seconds),
    )
    show(report, as_json=options.json, file=options.report)
    return EXIT_OK


def _explain(done: dict[str, Any]) -> None:
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


def _as_it_is(settings: Settings, name: str) -> dict[str, Any]:
    return ask(settings, "drills/job", job=name)


def _resumed(settings: Settings, name: str) -> dict[str, Any]:
    """The job when it trains again, or has ended instead; Ctrl-C ends the waiting only."""
    while True:
        job = _as_it_is(settings, name)
        if job["secondary_status"] == _TRAINING or job["status"] not in _OPEN:
            return job
        time.sleep(_LOOK_EVERY_S)
