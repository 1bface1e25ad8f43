"""The engine's metrics in Prometheus' text format: `/metrics`.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from intermodal_engine.lifecycle.fleet import component_of, endpoint_of, is_bare
from intermodal_engine.lifecycle.fleet_kind import COMPONENT, ENDPOINT
from intermodal_engine.lifecycle.fleet_state import deployment_of, of_generation, wanted_of
from intermodal_engine.router.instance import Backend
from intermodal_engine.router.router import Health
from intermodal_engine.services.call import Backends
from intermodal_engine.store.records import Record

Totals = Mapping[tuple[Backend, str], tuple[int, float]]
"""How many values there were, and their sum, by instance and metric."""

_COUNTED = {
    "Invocations": ("invocations_total", {}),
    "Invocation4XXErrors": ("invocation_errors_total", {"class": "4xx"}),
    "Invocation5XXErrors": ("invocation_errors_total", {"class": "5xx"}),
}
_TIMED = {"ModelLatency": "model_latency_seconds", "OverheadLatency": "overhead_latency_seconds"}
_JOBS = {
    "training-job": "training",
    "processing-job": "processing",
    "transform-job": "transform",
    "hyper-parameter-tuning-job": "tuning",
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One line."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Family:
    """Lines of one metric."""

    name: str
    kind: str
    help: str
    samples: tuple[Sample, ...]


def text(backends: Backends, totals: Totals, version: str, under_way: int) -> bytes:
    """All metrics, as they are now.

    Args:
        backends: what there is.
        totals: of invocations, since the engine's start.
        version: of the engine.
        under_way: requests that are not answered to the end, the one for this text among them.
    """
    families = [
        Family("info", "gauge", "The engine", (Sample("info", {"version": version}, 1),)),
        _memory(),
        _requests(under_way),
        *_invocations(totals),
        *_records(backends),
        _instances(backends),
    ]
    return "".join(line for family in families for line in _lines(family)).encode()


def _memory() -> Family:
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if _has_proc() else 0
    name = "resident_memory_bytes"
    return Family(name, "gauge", "Memory of the engine itself", (Sample(name, {}, pages * 4096),))


def _requests(under_way: int) -> Family:
    name = "requests_in_progress"
    return Family(name, "gauge", "Requests under way, this one too", (Sample(name, {}, under_way),))


def _has_proc() -> bool:
    return Path("/proc/self/statm").exists()


def _invocations(totals: Totals) -> Iterator[Family]:
    counted = [
        Sample(_COUNTED[metric][0], {**_place(backend), **_COUNTED[metric][1]}, total)
        for (backend, metric), (_, total) in totals.items()
        if metric in _COUNTED
    ]
    for name, words in (
        ("invocations_total", "Requests to instances of endpoints"),
        ("invocation_errors_total", "Those that were answered by an error"),
    ):
        yield Family(name, "counter", words, tuple(one for one in counted if one.name == name))
    for metric, name in _TIMED.items():
        samples = [
            sample
            for (backend, own), (count, total) in totals.items()
            if own == metric
            for sample in (
                Sample(f"{name}_sum", _place(backend), total / 1e6),
                Sample(f"{name}_count", _place(backend), count),
            )
        ]
        yield Family(name, "summary", f"{metric} of invocations", tuple(samples))


def _place(backend: Backend) -> dict[str, str]:
    return {
        "endpoint": backend.endpoint,
        "component": backend.component,
        "variant": backend.variant,
        "instance": backend.backend_id,
        "zone": backend.zone,
    }


def _records(backends: Backends) -> Iterator[Family]:
    counts = backends.records.counts()
    jobs = [
        Sample("jobs", {"kind": _JOBS[kind], "status": status}, many)
        for (kind, status), many in counts.items()
        if kind in _JOBS
    ]
    yield Family("jobs", "gauge", "Jobs by kind and status", tuple(jobs))
    for name, kind, words in (
        ("endpoints", ENDPOINT.name, "Endpoints by status"),
        ("inference_components", COMPONENT.name, "Inference components by status"),
        ("alarms", "alarm", "Alarms by state"),
    ):
        samples = [
            Sample(name, {"status": status}, many)
            for (own, status), many in counts.items()
            if own == kind
        ]
        yield Family(name, "gauge", words, tuple(samples))


def _instances(backends: Backends) -> Family:
    samples = [
        sample
        for kind in (ENDPOINT, COMPONENT)
        for record in backends.records.all(kind.name)
        for sample in _of(backends, record)
    ]
    return Family(
        "endpoint_instances", "gauge", "Instances in service: wanted, healthy", tuple(samples)
    )


def _of(backends: Backends, record: Record) -> Iterable[Sample]:
    current = record.state["current"]
    if current is None:
        return
    members = of_generation(record.state, current)
    variants = deployment_of(record.state, current)["variants"]
    for variant, wanted in wanted_of(record.state, current).items():
        if is_bare(variants[variant]):
            continue
        healthy = sum(
            one.variant == variant and backends.router.health(one.member_id) is Health.HEALTHY
            for one in members
        )
        for state, many in (("wanted", wanted), ("healthy", healthy)):
            labels = {
                "endpoint": endpoint_of(record),
                "component": component_of(record),
                "variant": variant,
                "state": state,
            }
            yield Sample("endpoint_instances", labels, many)


def _lines(family: Family) -> Iterator[str]:
    name = f"intermodal_{family.name}"
    yield f"# HELP {name} {family.help}\n# TYPE {name} {family.kind}\n"
    for one in family.samples:
        labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in one.labels.items())
        yield (
            f"intermodal_{one.name}{{{labels}}} {one.value:.12g}\n"
            if labels
            else (f"intermodal_{one.name} {one.value:.12g}\n")
        )


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
