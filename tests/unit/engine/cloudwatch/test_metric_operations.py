"""CloudWatch's operations over the metrics of jobs, on a clock turned by hand."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.services.cloudwatch.pages import LIST_LIMIT
from intermodal_engine.store.metric_points import MetricPoint
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.lifecycle import World, make_world, training_request

JOBS = "/aws/sagemaker/TrainingJobs"
BEGIN = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two jobs; `first` has three losses in its first minute and one in its third."""
    world = make_world(tmp_path / "home")
    add(world, "first", "loss", (0, 4.0), (10, 2.0), (50.5, 3.0), (130, 1.0))
    add(world, "first", "accuracy", (20, 0.5))
    add(world, "second", "loss", (0, 9.0))
    return world


def add(world: World, job: str, metric: str, *values: tuple[float, float]) -> None:
    points = [
        MetricPoint(metric, value, BEGIN.timestamp() + at, f"log@{at}") for at, value in values
    ]
    world.backends.metric_points.add("training-job", job, points)


def metric(name: str = "loss", job: str = "first") -> dict[str, Any]:
    dimensions = [{"Name": "TrainingJobName", "Value": job}]
    return {"Namespace": JOBS, "MetricName": name, "Dimensions": dimensions}


def times(**changes: Any) -> dict[str, Any]:
    return {"StartTime": BEGIN, "EndTime": BEGIN + timedelta(minutes=5), **changes}


def statistics(world: World, **changes: Any) -> list[dict[str, Any]]:
    wanted = {**metric(), **times(), "Period": 60, "Statistics": ["Average"], **changes}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    answer = world.call("GetMetricStatistics", "cloudwatch", **wanted)
    assert answer["Label"] == wanted["MetricName"]
    found: list[dict[str, Any]] = answer["Datapoints"]
    return sorted(found, key=lambda one: one["Timestamp"])


def query(identifier: str, **changes: Any) -> dict[str, Any]:
    stat = {"Metric": metric(), "Period": 60, "Stat": "Average", **changes.pop("stat", {})}
    return {"Id": identifier, "MetricStat": stat, **changes}


def data(world: World, *queries: dict[str, Any], **changes: Any) -> dict[str, Any]:
    wanted = {**times(), "MetricDataQueries": list(queries), **changes}
    return world.call("GetMetricData", "cloudwatch", **wanted)


def listed(world: World, **changes: Any) -> list[str]:
    answer = world.call("ListMetrics", "cloudwatch", **changes)
    assert {one["Namespace"] for one in answer["Metrics"]} <= {JOBS}
    return [f"{one['Dimensions'][0]['Value']}:{one['MetricName']}" for one in answer["Metrics"]]


def test_a_period_has_its_statistics_and_an_empty_one_has_no_datapoint(world: World) -> None:
    first, second = statistics(
        world, Statistics=["SampleCount", "Average", "Sum", "Minimum", "Maximum"]
    )
    assert first == {
        "Timestamp": BEGIN,
        "SampleCount": 3,
        "Average": 3.0,
        "Sum": 9.0,
        "Minimum": 2.0,
        "Maximum": 4.0,
        "ExtendedStatistics": None,
        "Unit": "None",
    }
    assert (second["Timestamp"], second["Average"]) == (BEGIN + timedelta(minutes=2), 1.0)


def test_a_range_begins_with_its_minute_and_a_short_period_within_it(world: World) -> None:
    late = BEGIN + timedelta(seconds=40)
    assert [one["Average"] for one in statistics(world, StartTime=late)] == [3.0, 1.0]
    fine = statistics(world, StartTime=late, Period=10)
    assert [(one["Timestamp"] - BEGIN).total_seconds() for one in fine] == [50, 130]
    whole = statistics(world, Period=300)
    assert [(one["Timestamp"], one["Average"]) for one in whole] == [(BEGIN, 2.5)]


def test_percentiles_come_under_their_names(world: World) -> None:
    first, _ = statistics(world, Statistics=None, ExtendedStatistics=["p50", "p100"])
    assert first["ExtendedStatistics"] == {"p50": 3.0, "p100": 4.0}


@pytest.mark.parametrize(
    "changes",
    [
        {"MetricName": "other"},
        {"Namespace": "AWS/SageMaker"},
        {"Dimensions": []},
        {"Dimensions": [{"Name": "TrainingJobName", "Value": "third"}]},
        {"Dimensions": [{"Name": "Host", "Value": "first"}]},
        {"Unit": "Percent"},
    ],
)
def test_a_metric_that_there_is_not_has_no_datapoints(
    world: World, changes: dict[str, Any]
) -> None:
    assert statistics(world, **changes) == []
    assert len(statistics(world, Unit="None")) == 2


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"Statistics": None}, "InvalidParameterCombination", "either Statistics or Extended"),
        ({"Period": 7}, "InvalidParameterValue", "Period is 7"),
        ({"EndTime": BEGIN}, "InvalidParameterValue", "StartTime must be less than"),
        (
            {"Period": 1, "EndTime": BEGIN + timedelta(hours=1)},
            "InvalidParameterCombination",
            "up to 3,600 datapoints, which exceeds the limit of 1,440",
        ),
        ({"ExtendedStatistics": ["tm99"]}, "InvalidParameterValue", "The value tm99"),
    ],
)
def test_what_cloudwatch_refuses_is_refused(
    world: World, changes: dict[str, Any], code: str, words: str
) -> None:
    with pytest.raises(ServiceError, match=words) as refused:
        statistics(world, **changes)
    assert refused.value.code == code


def test_several_metrics_come_in_one_answer_newest_first_unless_asked_otherwise(
    world: World,
) -> None:
    other = query("other", Label="second's", stat={"Metric": metric(job="second"), "Stat": "Sum"})
    hidden = query("hidden", ReturnData=False)
    answer = data(world, query("loss"), other, hidden)
    first, second = answer["MetricDataResults"]
    assert (first["Id"], first["Label"], first["StatusCode"]) == ("loss", "loss", "Complete")
    assert first["Timestamps"] == [BEGIN + timedelta(minutes=2), BEGIN]
    assert first["Values"] == [1.0, 3.0]
    assert (second["Id"], second["Label"], second["Values"]) == ("other", "second's", [9.0])
    assert answer["NextToken"] is None
    ascending = data(world, query("loss"), ScanBy="TimestampAscending")
    assert ascending["MetricDataResults"][0]["Values"] == [3.0, 1.0]


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
@pytest.mark.parametrize("order", ["TimestampAscending", "TimestampDescending"])
def test_pages_of_any_size_give_the_same_values(world: World, limit: int, order: str) -> None:
    queries = [
        query("loss", stat={"Period": 10}),
        query("none", stat={"Metric": metric("other")}),
        query("accuracy", stat={"Metric": metric("accuracy")}),
    ]
    (whole,) = walk(world, queries, ScanBy=order)
    several = walk(world, queries, ScanBy=order, MaxDatapoints=limit)
    assert all(sum(map(len, page.values())) <= limit for page in several)
    for identifier, values in whole.items():
        assert [one for page in several for one in page.get(identifier, [])] == values


def walk(
    world: World, queries: list[dict[str, Any]], **changes: Any
) -> list[dict[str, list[float]]]:
    """The values by Id of each page."""
    found = []
    token: str | None = None
    while True:
        more = {} if token is None else {"NextToken": token}
        answer = data(world, *queries, **changes, **more)
        found.append({one["Id"]: one["Values"] for one in answer["MetricDataResults"]})
        token = answer["NextToken"]
        if token is None:
            return found


def test_a_value_that_comes_between_two_pages_shifts_nothing(world: World) -> None:
    first = data(world, query("loss"), MaxDatapoints=1)
    add(world, "first", "loss", (200, 0.1))
    second = data(world, query("loss"), NextToken=first["NextToken"])
    assert first["MetricDataResults"][0]["Values"] == [1.0]
    assert first["MetricDataResults"][0]["StatusCode"] == "PartialData"
    assert second["MetricDataResults"][0]["Values"] == [3.0]


@pytest.mark.parametrize(
    ("queries", "code", "words"),
    [
        ([], "ValidationError", "between 1 and 500"),
        ([query("Loss")], "ValidationError", "'Loss'"),
        ([query("a"), query("a")], "ValidationError", "must be unique"),
        ([{"Id": "a"}], "ValidationError", "exactly one of MetricStat and Expression"),
        ([query("a", stat={"Stat": "Median"})], "ValidationError", "The value Median"),
        ([{"Id": "a", "Expression": "SUM(b)"}], "NotImplementedException", "`Expression`"),
    ],
)
def test_queries_that_cannot_be_are_refused(
    world: World, queries: list[dict[str, Any]], code: str, words: str
) -> None:
    with pytest.raises(ServiceError, match=words) as refused:
        data(world, *queries)
    assert refused.value.code == code


def test_a_token_that_was_never_given_is_refused(world: World) -> None:
    with pytest.raises(ServiceError, match="InvalidNextToken"):
        data(world, query("a"), NextToken="x")
    with pytest.raises(ServiceError, match="InvalidParameterValue"):
        listed(world, NextToken="x")


def test_metrics_are_listed_by_namespace_name_and_dimensions(world: World) -> None:
    everything = ["first:accuracy", "first:loss", "second:loss"]
    assert listed(world) == everything
    assert listed(world, Namespace=JOBS) == everything
    assert listed(world, Namespace="AWS/EC2") == []
    assert listed(world, MetricName="loss") == ["first:loss", "second:loss"]
    assert listed(world, Dimensions=[{"Name": "TrainingJobName"}]) == everything
    assert listed(world, Dimensions=[{"Name": "Host"}]) == []
    own = [{"Name": "TrainingJobName", "Value": "second"}]
    assert listed(world, Dimensions=own) == ["second:loss"]


def test_metrics_without_a_value_in_three_hours_are_not_recently_active(world: World) -> None:
    now = BEGIN.timestamp() + 3 * 3600 + 60
    world.clock.advance(now - world.clock.now())
    assert listed(world, RecentlyActive="PT3H") == ["first:loss"]


def test_a_long_list_comes_in_pages(world: World) -> None:
    for number in range(LIST_LIMIT):
        add(world, "third", f"metric-{number:03}", (0, 1.0))
    answer = world.call("ListMetrics", "cloudwatch")
    assert len(answer["Metrics"]) == LIST_LIMIT
    assert listed(world, NextToken=answer["NextToken"]) == [
        f"third:metric-{number}" for number in (497, 498, 499)
    ]


def test_a_jobs_metrics_are_there_while_it_runs(tmp_path: Path) -> None:
    world = make_world(tmp_path / "home")
    world.backends.objects.create_bucket("results")
    lines = ((0, "loss=0.5"), (60, "loss=0.25"), (120, "loss=0.125"))
    world.driver.script("*", Outcome(after_s=180, log=lines))
    request = training_request("first")
    request["AlgorithmSpecification"]["MetricDefinitions"] = [
        {"Name": "loss", "Regex": r"loss=(\S+)"}
    ]
    began = world.clock.now()
    world.call("CreateTrainingJob", **request)
    world.settle()
    found = []
    for _ in range(3):
        world.advance(61)
        world.advance(world.backends.settings.checkpoint_sync_s)
        range_ = {
            "StartTime": datetime.fromtimestamp(began, UTC),
            "EndTime": datetime.fromtimestamp(world.clock.now(), UTC),
        }
        found.append([one["Average"] for one in statistics(world, **range_)])
    assert found == [[0.5, 0.25], [0.5, 0.25, 0.125], [0.5, 0.25, 0.125]]
