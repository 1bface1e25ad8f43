"""What can be asked of `intermodal drill`."""

import argparse
from pathlib import Path

from intermodal_engine.cli.arguments import add_home, add_json, age_s, amount, count

_BEFORE_S = 3.0
_PATIENCE_S = 600.0


def add_drills(parser: argparse.ArgumentParser) -> None:
    """Every drill with its options."""
    drills = parser.add_subparsers(dest="drill", metavar="DRILL", required=True)

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        added = add_home(drills.add_parser(name, help=summary, description=summary))
        add_json(added)
        added.add_argument("--report", type=Path, metavar="FILE", help="write a page with a plot")
        return added

    _add_spot(add("spot", "take a spot job's instances away"))
    instance = add("instance", "kill an instance of an endpoint")
    instance.add_argument("--instance", metavar="ID", help="which one (default: any)")
    zone = add("zone", "lose all instances of an Availability Zone, and start none there")
    zone.add_argument("zone", metavar="ZONE", help="for example us-east-1a")
    zone.add_argument(
        "--endpoint", metavar="ENDPOINT", help="whom clients call (default: all that are there)"
    )
    latency = add("latency", "have requests reach the instances of an endpoint late")
    latency.add_argument(
        "--delay", type=duration, default=0.5, metavar="TIME", help="how late (default: 500ms)"
    )
    errors = add("errors", "have errors answer in the place of an endpoint's model")
    errors.add_argument(
        "--status", type=_status, default=500, metavar="N", help="HTTP status (default: 500)"
    )
    throttle = add("throttle", "tell callers that they ask too often")
    throttle.add_argument(
        "--service", metavar="NAME", help="as in `aws NAME` (default: every service)"
    )
    full = add("disk-full", "have nothing written into the engine's home")
    engine = add("engine", "kill the engine, and start it as it was started")
    deploy = add("deploy", "update an endpoint to a model that fails")

    for one in (instance, latency, errors, deploy):
        one.add_argument("endpoint", metavar="ENDPOINT", help="name of an endpoint")
    deploy.add_argument("model", metavar="BAD_MODEL", help="name of a model that fails")
    for one in (throttle, engine):
        one.add_argument(
            "endpoint",
            metavar="ENDPOINT",
            nargs="?",
            help="whom clients call (default: nobody; they list endpoints)",
        )
    for one in (latency, errors):
        one.add_argument("--variant", metavar="NAME", help="only requests for this variant")
    for one, share in ((latency, 1.0), (errors, 0.2), (throttle, 0.5)):
        one.add_argument(
            "--fraction",
            type=_fraction,
            default=share,
            metavar="X",
            help=f"of how many requests, from 0 to 1 (default: {share:g})",
        )
    for one, usual in (
        (zone, "60s"),
        (latency, "10s"),
        (errors, "10s"),
        (throttle, "10s"),
        (full, "10s"),
    ):
        one.add_argument(
            "--for",
            dest="seconds",
            type=duration,
            default=age_s(usual),
            metavar="TIME",
            help=f"how long, for example 90s or 15m; at most 1h (default: {usual})",
        )
    for one in (instance, zone, latency, errors, throttle, engine, deploy):
        _add_request(one)
    for one in (instance, zone, latency, errors, throttle, full, engine, deploy):
        _add_pace(one)


def duration(text: str) -> float:
    """`500ms`, `2s` -> seconds."""
    if text.endswith("ms"):
        return amount(text.removesuffix("ms")) / 1000
    return age_s(text)


def _add_spot(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="JOB", help="name of a training job on managed spot")
    parser.add_argument(
        "--after", type=amount, default=0.0, metavar="SECONDS", help="wait so long before"
    )
    parser.add_argument(
        "--no-wait", action="store_true", help="do not wait until the job trains again"
    )


def _add_request(parser: argparse.ArgumentParser) -> None:
    request = parser.add_argument_group("what the clients send")
    request.add_argument("--body", type=Path, metavar="FILE", help="the body (default: `{}`)")
    request.add_argument(
        "--content-type", default="application/json", metavar="TYPE", help="(default: %(default)s)"
    )
    request.add_argument("--component", metavar="NAME", help="the inference component it is for")
    request.add_argument("--target-model", metavar="NAME", help="the model of many it is for")


def _add_pace(parser: argparse.ArgumentParser) -> None:
    pace = parser.add_argument_group("the clients")
    pace.add_argument(
        "--clients", type=count, default=4, metavar="N", help="how many call (default: 4)"
    )
    pace.add_argument(
        "--pause",
        type=duration,
        default=0.1,
        metavar="TIME",
        help="of each, from call to call (default: 100ms)",
    )
    for name, when in (("before", "before anything is done"), ("after", "when all is whole again")):
        pace.add_argument(
            f"--{name}",
            dest=f"{name}_s",
            type=duration,
            default=_BEFORE_S,
            metavar="TIME",
            help=f"how long they call {when} (default: {_BEFORE_S:g}s)",
        )
    pace.add_argument(
        "--patience",
        type=duration,
        default=_PATIENCE_S,
        metavar="TIME",
        help="how long it may take until all is whole again (default: 10m)",
    )


def _fraction(text: str) -> float:
    value = amount(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"`{text}` is no number from 0 to 1")
    return value


def _status(text: str) -> int:
    value = count(text)
    if not 400 <= value <= 599:
        raise argparse.ArgumentTypeError(f"`{text}` is no HTTP status of an error (400 to 599)")
    return value
