"""Hyperparameter tuning: the time between a trial's end and the next one's start."""

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.estimators import estimator
from benchmarks.figures import Figure
from benchmarks.local_engine import running_engine

TRIALS = 12
_SCRIPT = "import os\nprint('loss=' + os.environ['SM_HP_RATE'])\n"
_LOSS = [{"Name": "loss", "Regex": "loss=([0-9.e-]+)"}]


def measure() -> list[Figure]:
    """Runs trials one after the other: the last ones by the model of the earlier ones."""
    from intermodal.tuner import ContinuousParameter, HyperparameterTuner

    with running_engine() as session, tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "trial.py")
        script.write_text(_SCRIPT)
        tuner = HyperparameterTuner(
            estimator(session, script),
            "loss",
            {"rate": ContinuousParameter(0.0, 1.0)},
            _LOSS,
            objective_type="Minimize",
            max_jobs=TRIALS,
        )
        tuner.fit()
        assert tuner.latest_tuning_job is not None
        client: Any = session.sagemaker_client
        trials = client.list_training_jobs_for_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=tuner.latest_tuning_job.name,
            SortBy="Name",
            MaxResults=TRIALS,
        )["TrainingJobSummaries"]
    return [
        Figure(
            "tuning: a trial's end until the next one trains",
            "s",
            0.2,
            _gaps(trials, "TrainingStartTime"),
        ),
        Figure("  until its training job is made", "s", None, _gaps(trials, "CreationTime")),
    ]


def _gaps(trials: list[dict[str, Any]], member: str) -> list[float]:
    """From each trial's end to a moment of the next one."""
    return [
        (later[member] - earlier["TrainingEndTime"]).total_seconds()
        for earlier, later in pairwise(trials)
    ]
