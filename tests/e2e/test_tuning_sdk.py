"""Tuning jobs that really train: our SDK's tuners, boto3, and an engine that is killed."""

import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from intermodal import LocalSession
from intermodal.errors import JobFailedError
from intermodal.pytorch import PyTorch
from intermodal.tuner import (
    CategoricalParameter,
    ContinuousParameter,
    HyperparameterTuner,
    IntegerParameter,
    WarmStartConfig,
    WarmStartTypes,
)
from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import ROLE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

NUMBERS = itertools.count()
LOSS = [{"Name": "loss", "Regex": "loss=([0-9.e-]+)"}]
TRAIN = """
import argparse, os, pathlib, time


def train(args):
    time.sleep(args.seconds)
    loss = (args.rate - 0.3) ** 2 + (args.kind != "good") + args.layers / 100
    print(f"loss={loss:.6f}", flush=True)
    pathlib.Path(os.environ["SM_MODEL_DIR"], "weights.txt").write_text(str(args.rate))


def model_fn(folder):
    return pathlib.Path(folder, "weights.txt").read_text()


def transform_fn(model, body, content_type, accept):
    return model, "text/plain"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=0.5)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--kind", default="good")
    parser.add_argument("--seconds", type=float, default=0)
    train(parser.parse_args())
"""


@pytest.fixture(scope="module")
def session(engine: RunningEngine) -> LocalSession:
    return LocalSession(engine.home)


@pytest.fixture
def estimator(session: LocalSession, tmp_path: Path) -> PyTorch:
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    return PyTorch(
        str(script), role=ROLE, instance_count=1, instance_type="ml.m5.large",
        framework_version="2.13.0", sagemaker_session=session,
    )  # fmt: skip


def tuner_of(estimator: PyTorch, ranges: dict[str, Any], **options: Any) -> HyperparameterTuner:
    usual = {"objective_type": "Minimize", "strategy": "Random", "max_jobs": 4}
    # Names have the second in them, and a test may take less.
    usual["base_tuning_job_name"] = f"t{next(NUMBERS)}"
    return HyperparameterTuner(
        estimator, "loss", ranges, LOSS, **{"max_parallel_jobs": 2, **usual, **options}
    )


def losses(session: LocalSession, name: str) -> list[float]:
    found = session.sagemaker_client.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name, SortBy="Name", MaxResults=100
    )["TrainingJobSummaries"]
    return [one["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for one in found]


def test_a_tuner_finds_the_best_deploys_it_and_is_found_again(
    estimator: PyTorch, session: LocalSession
) -> None:
    tuner = tuner_of(
        estimator,
        {
            "rate": ContinuousParameter(0.01, 1.0),
            "layers": IntegerParameter(1, 5),
            "kind": CategoricalParameter(["good", "bad"]),
        },
    )
    tuner.fit()
    job = tuner.latest_tuning_job
    assert job is not None
    described = tuner.describe()
    assert described["HyperParameterTuningJobStatus"] == "Completed"
    assert described["TrainingJobStatusCounters"]["Completed"] == 4
    found = losses(session, job.name)
    best = described["BestTrainingJob"]
    value = best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
    assert value == min(found)
    again = HyperparameterTuner.attach(job.name, session)
    assert again.best_training_job() == best["TrainingJobName"]
    predictor = tuner.deploy(1, "ml.m5.large")
    answer = session.sagemaker_runtime_client.invoke_endpoint(
        EndpointName=predictor.endpoint_name, Body=b"?", ContentType="text/plain"
    )
    assert answer["Body"].read().decode() == str(float(best["TunedHyperParameters"]["rate"]))
    predictor.delete_endpoint()


def test_a_grid_tries_every_combination(estimator: PyTorch, session: LocalSession) -> None:
    ranges = {"kind": CategoricalParameter(["good", "bad"])}
    tuner = tuner_of(estimator, ranges, strategy="Grid", max_jobs=None)
    tuner.fit()
    assert tuner.latest_tuning_job is not None
    assert sorted(losses(session, tuner.latest_tuning_job.name)) == pytest.approx([0.05, 1.05])


def test_a_model_learns_from_the_trials_and_from_an_earlier_job(
    estimator: PyTorch, session: LocalSession
) -> None:
    ranges = {"rate": ContinuousParameter(0.0, 10.0)}
    tuner = tuner_of(
        estimator, ranges, strategy="Bayesian", max_jobs=12, max_parallel_jobs=3, random_seed=7
    )
    tuner.fit()
    assert tuner.latest_tuning_job is not None
    found = losses(session, tuner.latest_tuning_job.name)
    assert min(found[5:]) < min(found[:5])
    parent = tuner.latest_tuning_job.name
    warm = WarmStartConfig(WarmStartTypes.TRANSFER_LEARNING, {parent})
    later = tuner_of(estimator, ranges, strategy="Bayesian", max_jobs=3, warm_start_config=warm)
    later.fit()
    assert later.latest_tuning_job is not None
    assert max(losses(session, later.latest_tuning_job.name)) < max(found)
    assert "OverallBestTrainingJob" in later.describe()


def test_a_killed_engine_goes_on_with_the_trials_that_run(
    engine: RunningEngine, estimator: PyTorch, session: LocalSession
) -> None:
    estimator.set_hyperparameters(seconds=3)
    tuner = tuner_of(estimator, {"rate": ContinuousParameter(0.0, 1.0)}, max_jobs=6)
    tuner.fit(wait=False)
    job = tuner.latest_tuning_job
    assert job is not None
    for _ in range(2):
        time.sleep(2)
        engine.kill()
        engine.start()
    tuner.wait()
    assert tuner.describe()["TrainingJobStatusCounters"]["Completed"] == 6
    names = [
        one["TrainingJobName"]
        for one in session.sagemaker_client.list_training_jobs(
            NameContains=job.name, MaxResults=100
        )["TrainingJobSummaries"]
    ]
    assert sorted(name[len(job.name) + 1 :][:3] for name in names) == [
        f"{number:03d}" for number in range(1, 7)
    ]


def test_a_tuner_is_stopped(estimator: PyTorch) -> None:
    estimator.set_hyperparameters(seconds=60)
    tuner = tuner_of(estimator, {"rate": ContinuousParameter(0.0, 1.0)})
    tuner.fit(wait=False)
    time.sleep(1)
    tuner.stop_tuning_job()
    tuner.wait()
    assert tuner.describe()["HyperParameterTuningJobStatus"] == "Stopped"


def test_a_metric_that_no_line_matches_fails_the_job_with_its_name(estimator: PyTorch) -> None:
    tuner = HyperparameterTuner(
        estimator,
        "accuracy",
        {"rate": ContinuousParameter(0.0, 1.0)},
        [{"Name": "accuracy", "Regex": "accuracy=([0-9.]+)"}],
        strategy="Random",
        max_jobs=2,
        max_parallel_jobs=2,
        base_tuning_job_name="accurate",
    )
    with pytest.raises(JobFailedError, match="matched the metric definition of the objective"):
        tuner.fit()
