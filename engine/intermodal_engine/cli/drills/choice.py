"""Which drill the command line asks for, and with what."""

import argparse
from typing import Any

from intermodal_contract.errors import IntermodalError
from intermodal_engine.cli.drills.deploy import DeployDrill
from intermodal_engine.cli.drills.engine_kill import EngineDrill
from intermodal_engine.cli.drills.faults import FaultDrill
from intermodal_engine.cli.drills.full_disk import FullDiskDrill
from intermodal_engine.cli.drills.instance import InstanceDrill
from intermodal_engine.cli.drills.report import show
from intermodal_engine.cli.drills.stage import Drill, Engine, Pace, Request, play
from intermodal_engine.cli.engine import check_health, running
from intermodal_engine.cli.main import EXIT_OK, settings_of
from intermodal_engine.cli.output import print_note
from intermodal_engine.lifecycle.faults import LONGEST_S


def drill_clients(options: argparse.Namespace) -> int:
    """Plays a drill while clients look on, and tells what came of it."""
    settings = settings_of(options)
    check_health(running(settings))
    pace = Pace(
        clients=options.clients,
        pause_s=options.pause,
        before_s=options.before_s,
        after_s=options.after_s,
        patience_s=options.patience + getattr(options, "seconds", 0.0),
    )
    chosen = _drill(options, Engine(settings, pace.clients))
    print_note(f"{options.drill}: {pace.clients} clients look on; Ctrl-C ends the drill")
    report = play(chosen, pace)
    show(report, as_json=options.json, file=options.report)
    return EXIT_OK


def _drill(options: argparse.Namespace, engine: Engine) -> Drill:
    if options.drill == "disk-full":
        return FullDiskDrill(engine, options.seconds)
    if options.drill == "zone":
        return _zone(options, engine)
    request = _request(options)
    if options.endpoint is not None:
        engine.check_whole(options.endpoint, options.component)
    endpoints = [] if options.endpoint is None else [options.endpoint]
    match options.drill:
        case "instance":
            return InstanceDrill(engine, options.endpoint, options.instance, request)
        case "deploy":
            patience_s = min(options.patience, LONGEST_S)
            return DeployDrill(engine, options.endpoint, options.model, request, patience_s)
        case "engine":
            return EngineDrill(engine, endpoints, request)
        case _:
            return _fault(options, engine, endpoints, request)


def _zone(options: argparse.Namespace, engine: Engine) -> FaultDrill:
    there = engine.ask("drills/zone", zone=options.zone)["endpoints"]
    if options.endpoint is not None:
        there = [options.endpoint]
    request = _request(options)
    for one in there:
        engine.check_whole(one, request.component)
    return FaultDrill(
        engine,
        "zone",
        options.zone,
        did=f"killed every instance in {options.zone}, and started none there,",
        seconds=options.seconds,
        parameters={"zone": options.zone},
        endpoints=there,
        request=request,
    )


def _fault(
    options: argparse.Namespace, engine: Engine, endpoints: list[str], request: Request
) -> FaultDrill:
    share = f"{options.fraction:.0%} of the requests"
    parameters: dict[str, Any] = {"fraction": options.fraction}
    if options.drill == "throttle":
        parameters["service"] = options.service
        whom = options.service or "every service"
        did = f"had {share} to {whom} answered as throttled"
    else:
        parameters |= {
            "endpoint": options.endpoint,
            "component": options.component,
            "variant": options.variant,
        }
        if options.drill == "latency":
            parameters["delay_s"] = options.delay
            did = f"had {share} reach their instance {options.delay:g} s later"
        else:
            parameters["status"] = options.status
            did = f"had {share} answered {options.status} in the place of the model"
    return FaultDrill(
        engine,
        options.drill,
        options.endpoint or options.service or "control plane",
        did=did,
        seconds=options.seconds,
        parameters=parameters,
        endpoints=endpoints,
        request=request,
    )


def _request(options: argparse.Namespace) -> Request:
    usual = Request(
        content_type=options.content_type,
        component=options.component,
        target_model=options.target_model,
    )
    if options.body is None:
        return usual
    try:
        body = options.body.read_bytes()
    except OSError as error:
        raise IntermodalError(f"`{options.body}` cannot be read: {error.strerror}") from error
    return Request(body, usual.content_type, usual.component, usual.target_model)
