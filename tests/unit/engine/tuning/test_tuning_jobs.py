"""Tuning jobs on a fake driver: how many run at once, which is best, and how each ending comes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.lifecycle import ROLE, World, make_world

LOSS = {"Name": "loss", "Regex": "loss=([0-9.]+)"}
RATE = {"Name": "rate", "MinValue": "0.001", "MaxValue": "1", "ScalingType": "Logarithmic"}
GRID = {"CategoricalParameterRanges": [{"Name": "a", "Values": ["x", "y"]}]}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = make_world(tmp_path / "home")
    world.backends.objects.create_bucket("results")
    return world


def trains(*losses: float | None, after_s: float = 10.0, exit_code: int = 0) -> list[Outcome]:
    """Training jobs that each report one loss, or none."""
    return [
        Outcome(
            after_s=after_s,
            exit_code=exit_code,
            log=() if loss is None else ((1.0, f"loss={loss}"),),
        )
        for loss in losses
    ]


def reports(*losses: float) -> Outcome:
    """A training job that reports a loss each ten seconds."""
    log = tuple((10.0 * (epoch + 1), f"loss={loss}") for epoch, loss in enumerate(losses))
    return Outcome(after_s=10.0 * len(losses) + 5, log=log)


def script(world: World, outcomes: Sequence[Outcome]) -> None:
    world.driver.script("training-job/*", *outcomes)


def definition(**changes: Any) -> dict[str, Any]:
    return {
        "AlgorithmSpecification": {
            "TrainingImage": "img:1",
            "TrainingInputMode": "File",
            "MetricDefinitions": [LOSS],
        },
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": "s3://results/runs"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "StaticHyperParameters": {"epochs": "3"},
        **changes,
    }


def request(most: int | None = 3, parallel: int = 1, **config: Any) -> dict[str, Any]:
    limits = {"MaxParallelTrainingJobs": parallel}
    if most is not None:
        limits["MaxNumberOfTrainingJobs"] = most
    return {
        "HyperParameterTuningJobName": "tune",
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": limits,
            "ParameterRanges": {"ContinuousParameterRanges": [RATE]},
            **config,
        },
        "TrainingJobDefinition": definition(),
    }


def create(world: World, wanted: dict[str, Any] | None = None) -> None:
    world.call("CreateHyperParameterTuningJob", **(wanted or request()))
    world.settle()


def shown(world: World, name: str = "tune") -> dict[str, Any]:
    return world.call("DescribeHyperParameterTuningJob", HyperParameterTuningJobName=name)


def trials(world: World, **filters: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.call(
        "ListTrainingJobsForHyperParameterTuningJob",
        HyperParameterTuningJobName="tune",
        **{"MaxResults": 100, **filters},
    )["TrainingJobSummaries"]
    return found


def running(world: World) -> int:
    count: int = shown(world)["TrainingJobStatusCounters"]["InProgress"]
    return count


def until_ended(world: World, limit_s: int = 2000) -> dict[str, Any]:
    for _ in range(limit_s):
        found = shown(world)
        if found["HyperParameterTuningJobStatus"] not in ("InProgress", "Stopping"):
            return found
        world.advance(1)
    raise AssertionError(found)


def test_trials_follow_one_another_and_the_best_is_known(world: World) -> None:
    script(world, trains(0.5, 0.2, 0.9))
    create(world)
    assert running(world) == 1
    ended = until_ended(world)
    assert ended["HyperParameterTuningJobStatus"] == "Completed"
    assert ended["TrainingJobStatusCounters"]["Completed"] == 3
    assert ended["ObjectiveStatusCounters"] == {"Succeeded": 3, "Pending": 0, "Failed": 0}
    best = ended["BestTrainingJob"]
    assert best["FinalHyperParameterTuningJobObjectiveMetric"] == {
        "Type": "Minimize",
        "MetricName": "loss",
        "Value": 0.2,
    }
    assert best["TrainingJobName"].startswith("tune-002-")
    static = ended["TrainingJobDefinition"]["StaticHyperParameters"]
    assert static == {"epochs": "3", "_tuning_objective_metric": "loss"}
    assert ended["HyperParameterTuningEndTime"] >= best["TrainingEndTime"]
    training = world.call("DescribeTrainingJob", TrainingJobName=best["TrainingJobName"])
    assert training["TuningJobArn"] == ended["HyperParameterTuningJobArn"]
    assert training["HyperParameters"] == {
        "epochs": "3",
        **best["TunedHyperParameters"],
        "_tuning_objective_metric": "loss",
    }


def test_no_more_run_beside_one_another_than_may(world: World) -> None:
    script(world, trains(*([0.5] * 7)))
    create(world, request(7, parallel=3))
    seen = {running(world)}
    for _ in range(40):
        world.advance(1)
        seen.add(running(world))
    assert max(seen) == 3
    assert shown(world)["HyperParameterTuningJobStatus"] == "Completed"
    assert len(trials(world)) == 7


def test_a_grid_is_tried_whole(world: World) -> None:
    script(world, trains(0.1, 0.2))
    create(world, request(None, Strategy="Grid", ParameterRanges=GRID))
    until_ended(world)
    assert [one["TunedHyperParameters"] for one in trials(world)] == [{"a": "x"}, {"a": "y"}]


def test_a_greater_objective_is_better_where_that_is_said(world: World) -> None:
    script(world, trains(0.5, 0.9, 0.1))
    objective = {"Type": "Maximize", "MetricName": "loss"}
    create(world, request(HyperParameterTuningJobObjective=objective))
    best = until_ended(world)["BestTrainingJob"]
    assert best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 0.9


def test_trials_are_listed_by_what_they_reached(world: World) -> None:
    script(world, trains(0.5, None, 0.1))
    create(world)
    until_ended(world)
    found = trials(world, SortBy="FinalObjectiveMetricValue")
    assert [one["TrainingJobName"][5:8] for one in found] == ["003", "001", "002"]
    assert [one["ObjectiveStatus"] for one in found] == ["Succeeded", "Succeeded", "Failed"]
    page = world.call(
        "ListTrainingJobsForHyperParameterTuningJob",
        HyperParameterTuningJobName="tune",
        MaxResults=2,
    )
    assert len(page["TrainingJobSummaries"]) == 2
    assert len(trials(world, MaxResults=2, NextToken=page["NextToken"])) == 1
    assert len(trials(world, StatusEquals="Completed")) == 3


def test_an_engine_that_dies_starts_no_trial_twice_and_misses_none(world: World) -> None:
    script(world, trains(*([0.5] * 6)))
    create(world, request(6, parallel=2))
    for _ in range(6):
        world.advance(7)
        world = world.restarted()
        script(world, trains(*([0.5] * 6)))
    ended = until_ended(world)
    assert ended["TrainingJobStatusCounters"]["Completed"] == 6
    names = [one["TrainingJobName"] for one in trials(world)]
    assert len(set(names)) == 6
    listed = world.call("ListTrainingJobs", MaxResults=100)["TrainingJobSummaries"]
    assert sorted(one["TrainingJobName"] for one in listed) == sorted(names)


def test_a_trial_that_was_noted_and_not_made_is_made_by_the_next_engine(world: World) -> None:
    script(world, trains(0.5, 0.4, 0.3))
    create(world)
    (trial,) = trials(world)
    world.backends.records.delete("training-job", trial["TrainingJobName"])
    world = world.restarted()
    world.settle()
    world.call("DescribeTrainingJob", TrainingJobName=trial["TrainingJobName"])


def test_a_stop_ends_the_running_trials_and_then_the_job(world: World) -> None:
    script(world, trains(0.5, after_s=500))
    create(world, request(4, parallel=2))
    world.call("StopHyperParameterTuningJob", HyperParameterTuningJobName="tune")
    world.settle()
    ended = until_ended(world)
    assert ended["HyperParameterTuningJobStatus"] == "Stopped"
    assert ended["TrainingJobStatusCounters"]["Stopped"] == 2
    with pytest.raises(ServiceError, match="in status Stopped"):
        world.call("StopHyperParameterTuningJob", HyperParameterTuningJobName="tune")


def test_a_metric_that_no_line_matches_is_named(world: World) -> None:
    script(world, trains(None))
    create(world, request(20))
    ended = until_ended(world)
    assert ended["HyperParameterTuningJobStatus"] == "Failed"
    assert "no training job succeeded after 5 attempts" in ended["FailureReason"]
    assert "matched the metric definition of the objective `loss`" in ended["FailureReason"]
    assert len(trials(world)) == 5


def test_trials_that_all_fail_fail_the_job_with_the_reason_of_the_last(world: World) -> None:
    script(world, trains(0.5, exit_code=3))
    create(world, request(2))
    ended = until_ended(world)
    assert ended["HyperParameterTuningJobStatus"] == "Failed"
    assert "the last one failed: AlgorithmError" in ended["FailureReason"]
    assert ended["TrainingJobStatusCounters"]["NonRetryableError"] == 2
    assert "BestTrainingJob" not in ended


def test_a_target_that_is_reached_ends_the_rest(world: World) -> None:
    script(world, [*trains(0.05), *trains(0.9, after_s=500)])
    criteria = {"TargetObjectiveMetricValue": 0.1}
    create(world, request(50, parallel=2, TuningJobCompletionCriteria=criteria))
    ended = until_ended(world)
    assert ended["HyperParameterTuningJobStatus"] == "Completed"
    assert len(trials(world)) == 2
    assert ended["TrainingJobStatusCounters"]["Stopped"] == 1


def test_a_job_that_gets_no_better_ends(world: World) -> None:
    script(world, trains(0.1, 0.5))
    criteria = {"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}}
    create(world, request(50, TuningJobCompletionCriteria=criteria))
    ended = until_ended(world)
    assert len(trials(world)) == 4
    assert ended["TuningJobCompletionDetails"]["NumberOfTrainingJobsObjectiveNotImproving"] == 3


def test_the_time_that_a_job_may_take_ends_it(world: World) -> None:
    script(world, trains(0.5, after_s=100))
    wanted = request(50)
    wanted["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxRuntimeInSeconds"] = 250
    create(world, wanted)
    ended = until_ended(world)
    assert ended["HyperParameterTuningJobStatus"] == "Completed"
    counters = ended["TrainingJobStatusCounters"]
    assert (counters["Completed"], counters["Stopped"]) == (2, 1)


def test_a_trial_below_the_median_is_ended_early(world: World) -> None:
    good, bad = reports(*([0.1] * 6)), reports(*([0.9] * 6))
    script(world, [good, good, good, bad])
    create(world, request(4, TrainingJobEarlyStoppingType="Auto"))
    ended = until_ended(world)
    counters = ended["TrainingJobStatusCounters"]
    assert (counters["Completed"], counters["Stopped"]) == (3, 1)
    assert trials(world)[-1]["ObjectiveStatus"] == "Succeeded"


def test_hyperband_ends_what_loses_and_whoever_has_had_the_most(world: World) -> None:
    outcomes = [reports(*([0.1 * (number + 1)] * 20)) for number in range(6)]
    script(world, outcomes)
    config = {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 9}}
    create(world, request(6, parallel=6, Strategy="Hyperband", StrategyConfig=config))
    ended = until_ended(world)
    assert ended["HyperParameterTuningJobStatus"] == "Completed"
    assert ended["TrainingJobStatusCounters"]["Stopped"] == 6
    lengths = {
        one["TrainingJobName"]: len(
            world.backends.metric_points.values(
                "training-job", one["TrainingJobName"], "loss", 0.0, 1e12
            )
        )
        for one in trials(world)
    }
    assert max(lengths.values()) <= 10
    assert sorted(lengths.values())[:4] <= [2, 2, 2, 2]


def test_several_definitions_take_turns_each_with_its_own_ranges(world: World) -> None:
    script(world, trains(0.5, 0.4, 0.3, 0.2))
    wanted = request(4)
    config = wanted["HyperParameterTuningJobConfig"]
    objective = config.pop("HyperParameterTuningJobObjective")
    ranges = config.pop("ParameterRanges")
    del wanted["TrainingJobDefinition"]
    wanted["TrainingJobDefinitions"] = [
        definition(DefinitionName=name, TuningObjective=objective, HyperParameterRanges=own)
        for name, own in (("first", ranges), ("second", GRID))
    ]
    create(world, wanted)
    ended = until_ended(world)
    found = [
        (one["TrainingJobDefinitionName"], *one["TunedHyperParameters"]) for one in trials(world)
    ]
    assert found == [("first", "rate"), ("second", "a")] * 2
    assert ended["BestTrainingJob"]["TrainingJobDefinitionName"] == "second"


def test_a_warm_start_knows_what_its_parents_found(world: World) -> None:
    script(world, trains(*[0.9 - 0.1 * number for number in range(6)]))
    create(world, request(6, Strategy="Bayesian"))
    until_ended(world)
    parent = min(
        trials(world), key=lambda one: one["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
    )
    script(world, trains(0.95))
    wanted = request(1, Strategy="Bayesian") | {"HyperParameterTuningJobName": "again"}
    wanted["WarmStartConfig"] = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "tune"}],
        "WarmStartType": "IdenticalDataAndAlgorithm",
    }
    create(world, wanted)
    world.advance(60)
    ended = shown(world, "again")
    assert ended["HyperParameterTuningJobStatus"] == "Completed"
    overall = ended["OverallBestTrainingJob"]
    assert overall["TrainingJobName"] == parent["TrainingJobName"]
    assert overall["TuningJobName"] == "tune"
    assert ended["BestTrainingJob"]["TrainingJobName"].startswith("again-001")


def test_checkpoints_of_trials_are_apart(world: World) -> None:
    script(world, trains(0.5))
    wanted = request(2)
    wanted["TrainingJobDefinition"]["CheckpointConfig"] = {"S3Uri": "s3://results/points/"}
    create(world, wanted)
    until_ended(world)
    uris = [
        world.call("DescribeTrainingJob", TrainingJobName=one["TrainingJobName"])[
            "CheckpointConfig"
        ]["S3Uri"]
        for one in trials(world)
    ]
    assert uris == [f"s3://results/points/{one['TrainingJobName']}" for one in trials(world)]


def test_a_job_is_deleted_once_it_has_ended_and_its_training_jobs_stay(world: World) -> None:
    script(world, trains(0.5))
    create(world, request(1))
    with pytest.raises(ServiceError, match="stop it"):
        world.call("DeleteHyperParameterTuningJob", HyperParameterTuningJobName="tune")
    until_ended(world)
    (trial,) = trials(world)
    world.call("DeleteHyperParameterTuningJob", HyperParameterTuningJobName="tune")
    with pytest.raises(ServiceError, match="can't find a tuning job"):
        shown(world)
    world.call("DescribeTrainingJob", TrainingJobName=trial["TrainingJobName"])


def test_a_name_that_is_taken_is_refused(world: World) -> None:
    create(world)
    with pytest.raises(ServiceError, match="already exists"):
        create(world)


HYPERBAND = {"HyperbandStrategyConfig": {"MinResource": 9, "MaxResource": 3}}


@pytest.mark.parametrize(
    ("config", "changes", "says"),
    [
        ({"Strategy": "Grid"}, {}, "only categorical"),
        ({"Strategy": "Grid", "ParameterRanges": GRID}, {}, "be 2, the number of combinations: 3"),
        ({"Strategy": "Hyperband"}, {}, "HyperbandStrategyConfig needs"),
        ({"Strategy": "Hyperband", "StrategyConfig": HYPERBAND}, {}, "less than its MaxResource"),
        ({"ParameterRanges": {}}, {}, "There is no range"),
        (
            {"ParameterRanges": {"AutoParameters": [{"Name": "a", "ValueHint": "1"}]}},
            {},
            "`AutoParameters`",
        ),
        (
            {"HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "other"}},
            {},
            "has no MetricDefinition",
        ),
        (
            {
                "ParameterRanges": {
                    "ContinuousParameterRanges": [{**RATE, "Name": "_tuning_objective_metric"}]
                }
            },
            {},
            "is the service's own",
        ),
        ({}, {"StaticHyperParameters": {"rate": "1"}}, "both static and tuned: rate"),
        ({}, {"OutputDataConfig": {"S3OutputPath": "s3://NO/"}}, "is not a valid S3 URI"),
        (
            {
                "TuningJobCompletionCriteria": {
                    "ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}
                }
            },
            {},
            "`ConvergenceDetected`",
        ),
    ],
)
def test_what_cannot_be_tuned_is_named(
    world: World, config: dict[str, Any], changes: dict[str, Any], says: str
) -> None:
    wanted = request(**config)
    wanted["TrainingJobDefinition"] |= changes
    with pytest.raises(ServiceError, match=says):
        create(world, wanted)


def test_limits_that_contradict_each_other_are_named(world: World) -> None:
    with pytest.raises(ServiceError, match="must not be greater than MaxNumberOfTrainingJobs"):
        create(world, request(2, parallel=3))
    with pytest.raises(ServiceError, match="MaxNumberOfTrainingJobs is required"):
        create(world, request(None))
    several = request() | {"TrainingJobDefinitions": [definition(DefinitionName="a")]}
    with pytest.raises(ServiceError, match="exactly one of `TrainingJobDefinition`"):
        create(world, several)


def test_a_warm_start_needs_a_parent_that_has_ended(world: World) -> None:
    script(world, trains(0.5))
    create(world)
    wanted = request(1, Strategy="Bayesian") | {"HyperParameterTuningJobName": "again"}
    wanted["WarmStartConfig"] = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "tune"}],
        "WarmStartType": "TransferLearning",
    }
    with pytest.raises(ServiceError, match="has not ended: InProgress"):
        create(world, wanted)
