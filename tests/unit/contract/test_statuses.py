"""Statuses against botocore's own enums, and which may follow which."""

import itertools
from enum import StrEnum
from typing import Any

import botocore.session
import pytest

from intermodal_contract.statuses import (
    ENDPOINT_TRANSITIONS,
    PROCESSING_JOB_TRANSITIONS,
    SECONDARY_MESSAGES,
    SECONDARY_TRANSITIONS,
    TRAINING_JOB_TRANSITIONS,
    TRANSFORM_JOB_TRANSITIONS,
    TUNING_JOB_TRANSITIONS,
    EndpointStatus,
    IllegalTransitionError,
    ProcessingJobStatus,
    SecondaryStatus,
    TrainingJobStatus,
    TransformJobStatus,
    TuningJobStatus,
    check_transition,
    is_terminal,
)

TABLES: list[tuple[str, type[StrEnum], Any]] = [
    ("TrainingJobStatus", TrainingJobStatus, TRAINING_JOB_TRANSITIONS),
    ("SecondaryStatus", SecondaryStatus, SECONDARY_TRANSITIONS),
    ("ProcessingJobStatus", ProcessingJobStatus, PROCESSING_JOB_TRANSITIONS),
    ("TransformJobStatus", TransformJobStatus, TRANSFORM_JOB_TRANSITIONS),
    ("HyperParameterTuningJobStatus", TuningJobStatus, TUNING_JOB_TRANSITIONS),
    ("EndpointStatus", EndpointStatus, ENDPOINT_TRANSITIONS),
]


@pytest.fixture(scope="module")
def sagemaker() -> Any:
    return botocore.session.Session().get_service_model("sagemaker")


@pytest.mark.parametrize(("shape", "statuses", "transitions"), TABLES)
def test_every_status_is_one_of_the_wires_and_none_is_missing(
    sagemaker: Any, shape: str, statuses: type[StrEnum], transitions: Any
) -> None:
    assert {str(status) for status in statuses} == set(sagemaker.shape_for(shape).enum)


@pytest.mark.parametrize(("shape", "statuses", "transitions"), TABLES)
def test_every_status_has_its_row_of_members_of_the_same_kind(
    shape: str, statuses: type[StrEnum], transitions: Any
) -> None:
    assert set(transitions) == set(statuses)
    assert all(type(new) is statuses for row in transitions.values() for new in row)


@pytest.mark.parametrize(("shape", "statuses", "transitions"), TABLES)
def test_every_status_can_be_reached_from_the_first(
    shape: str, statuses: type[StrEnum], transitions: Any
) -> None:
    reached = {next(iter(transitions))}
    while more := {new for status in reached for new in transitions[status]} - reached:
        reached |= more
    assert reached == set(statuses)


@pytest.mark.parametrize(("shape", "statuses", "transitions"), TABLES)
def test_from_every_status_an_end_is_in_reach(
    shape: str, statuses: type[StrEnum], transitions: Any
) -> None:
    ending = {status for status in statuses if is_terminal(status) or not transitions[status]}  # type: ignore[arg-type]  # the table's three kinds
    while more := {s for s in statuses if transitions[s] & ending} - ending:
        ending |= more
    assert ending == set(statuses)


def test_an_ended_job_never_runs_again() -> None:
    for status in TrainingJobStatus:
        if is_terminal(status):
            assert TRAINING_JOB_TRANSITIONS[status] <= {TrainingJobStatus.DELETING}
    for secondary in SecondaryStatus:
        assert is_terminal(secondary) == (not SECONDARY_TRANSITIONS[secondary])


def test_words_that_two_kinds_share_are_told_apart() -> None:
    assert is_terminal(SecondaryStatus.STOPPED)
    assert is_terminal(TrainingJobStatus.STOPPED)
    assert is_terminal(EndpointStatus.FAILED)
    assert not is_terminal(EndpointStatus.DELETING)
    assert not is_terminal(EndpointStatus.IN_SERVICE)
    with pytest.raises(TypeError):
        check_transition(TrainingJobStatus.IN_PROGRESS, SecondaryStatus.FAILED)  # type: ignore[type-var]  # mypy refuses it too, and rightly


def test_the_usual_life_of_a_job_is_legal() -> None:
    life = [
        SecondaryStatus.STARTING,
        SecondaryStatus.DOWNLOADING,
        SecondaryStatus.TRAINING,
        SecondaryStatus.UPLOADING,
        SecondaryStatus.COMPLETED,
    ]
    for current, new in itertools.pairwise(life):
        check_transition(current, new)


@pytest.mark.parametrize(
    ("current", "new"),
    [
        (TrainingJobStatus.COMPLETED, TrainingJobStatus.IN_PROGRESS),
        (TrainingJobStatus.STOPPED, TrainingJobStatus.COMPLETED),
        (SecondaryStatus.STARTING, SecondaryStatus.COMPLETED),
        (SecondaryStatus.FAILED, SecondaryStatus.FAILED),
        (EndpointStatus.FAILED, EndpointStatus.IN_SERVICE),
        (EndpointStatus.CREATING, EndpointStatus.UPDATING),
    ],
)
def test_an_illegal_step_is_refused_and_named(
    current: TrainingJobStatus, new: TrainingJobStatus
) -> None:
    with pytest.raises(IllegalTransitionError) as caught:
        check_transition(current, new)
    assert f"`{current}` cannot become `{new}`" in caught.value.message


def test_every_secondary_status_has_a_message() -> None:
    assert set(SECONDARY_MESSAGES) == set(SecondaryStatus)
    assert SECONDARY_MESSAGES[SecondaryStatus.STARTING] == "Starting the training job"
