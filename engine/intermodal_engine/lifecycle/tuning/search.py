"""What a tuning job's record says of its search. Without effects."""

from collections.abc import Mapping
from typing import Any

from intermodal_contract.statuses import TrainingJobStatus
from intermodal_engine.lifecycle.tuning.parameters import parameters_of
from intermodal_engine.lifecycle.tuning.stopping import Resources
from intermodal_engine.lifecycle.tuning.strategies import (
    Search,
    grid_size,
)
from intermodal_engine.lifecycle.tuning.trials import (
    Trial,
    definitions_of,
    objective_of,
    ranges_of,
    trials_of,
)
from intermodal_engine.store.records import Record


def search_of(record: Record, index: int) -> Search:
    """What is looked for with one of a job's definitions."""
    request = record.request
    config = request["HyperParameterTuningJobConfig"]
    definition = definitions_of(request)[index]
    seed = config.get("RandomSeed", record.arn)
    return Search(
        config["Strategy"],
        parameters_of(ranges_of(request, definition)),
        _is_maximized(objective_of(request, definition)),
        f"{seed}/{index}",
    )


def seen_of(record: Record) -> list[dict[str, Any]]:
    """What a tuning job has found, for another one that starts from it."""
    return [
        {"values": one.values, "objective": one.objective}
        for one in trials_of(record)
        if one.is_success
    ]


def most_of(record: Record) -> int:
    """How many trials there may be."""
    limits = record.request["HyperParameterTuningJobConfig"]["ResourceLimits"]
    if "MaxNumberOfTrainingJobs" in limits:
        return int(limits["MaxNumberOfTrainingJobs"])
    return grid_size(search_of(record, 0).parameters)


def _is_maximized(objective: Mapping[str, str]) -> bool:
    return objective.get("Type") == "Maximize"


def is_watching(record: Record) -> bool:
    """Whether trials may be ended early, for which they are looked at while they run."""
    config = record.request["HyperParameterTuningJobConfig"]
    is_auto = config.get("TrainingJobEarlyStoppingType") == "Auto"
    return bool(is_auto or config["Strategy"] == "Hyperband")


def resources_of_hyperband(record: Record) -> Resources | None:
    """How far Hyperband lets trials go; None for other strategies."""
    config = record.request["HyperParameterTuningJobConfig"]
    if config["Strategy"] != "Hyperband":
        return None
    given = config["StrategyConfig"]["HyperbandStrategyConfig"]
    return Resources(int(given["MinResource"]), int(given["MaxResource"]))


def objective_reached(training: Record, metric: str) -> float | None:
    """The objective that a training job reported last."""
    found = training.state.get("final_metrics", [])
    return next((float(one["Value"]) for one in found if one["MetricName"] == metric), None)


def why_hopeless(record: Record, trials: list[Trial]) -> str:
    """Why a job fails whose trials have all ended without an objective."""
    last = trials[-1]
    metric = objective_of(record.request, definitions_of(record.request)[last.definition])[
        "MetricName"
    ]
    if last.status == TrainingJobStatus.FAILED:
        why = f"the last one failed: {last.failure_reason}"
    else:
        why = (
            f"no line in the log of {last.name} matched the metric definition of the objective "
            f"`{metric}`; `intermodal logs {last.name}` shows what it printed"
        )
    return (
        f"The tuning job failed because no training job succeeded after {len(trials)} attempts: "
        f"{why}"
    )
