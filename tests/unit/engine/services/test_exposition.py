"""What Prometheus scrapes: parsed line by line, as it does."""

import re
from pathlib import Path

from intermodal_engine.router.instance import Backend
from intermodal_engine.services.exposition import text
from tests.helpers.endpoints import endpoint_world, in_service

ONE = Backend("i-1", 'dig"its', "main", 1, "us-east-1a", "127.0.0.1", 8080)
LINE = re.compile(r'intermodal_[a-z_]+(\{[a-z]+="(\\.|[^"\\])*"(,[a-z]+="(\\.|[^"\\])*")*\})? \S+')


def test_every_line_is_one_that_prometheus_reads(tmp_path: Path) -> None:
    world = endpoint_world(tmp_path)
    in_service(world)
    totals = {
        (ONE, "Invocations"): (7, 7.0),
        (ONE, "Invocation5XXErrors"): (7, 2.0),
        (ONE, "ModelLatency"): (7, 3_500_000.0),
        (ONE, "InvocationModelErrors"): (7, 2.0),
    }
    lines = text(world.backends, totals, "1.2.3", 5).decode().splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert all(LINE.fullmatch(line) for line in samples), samples
    place = 'endpoint="dig\\"its",component="",variant="main",instance="i-1",zone="us-east-1a"'
    assert f"intermodal_invocations_total{{{place}}} 7" in samples
    assert f'intermodal_invocation_errors_total{{{place},class="5xx"}} 2' in samples
    assert f"intermodal_model_latency_seconds_sum{{{place}}} 3.5" in samples
    assert f"intermodal_model_latency_seconds_count{{{place}}} 7" in samples
    assert 'intermodal_endpoints{status="InService"} 1' in samples
    shown = 'endpoint="ep",component="",variant="AllTraffic",state='
    assert f'intermodal_endpoint_instances{{{shown}"wanted"}} 2' in samples
    assert f'intermodal_endpoint_instances{{{shown}"healthy"}} 2' in samples
    assert 'intermodal_info{version="1.2.3"} 1' in samples
    assert "intermodal_requests_in_progress 5" in samples
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(set(types)) == len(types)
