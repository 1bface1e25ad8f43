"""A notebook of version 2: epochs are tuned, and the best training job is found."""

from pathlib import Path

import sagemaker
from sagemaker.parameter import IntegerParameter
from sagemaker.pytorch import PyTorch
from sagemaker.tuner import HyperparameterTuner

SOURCE = str(Path(__file__).parent / "source")

session = sagemaker.Session()
Path("tuned").mkdir()
Path("tuned", "numbers.csv").write_text("1.0\n")
inputs = session.upload_data("tuned", key_prefix="data/tuned")
estimator = PyTorch(
    "train.py",
    source_dir=SOURCE,
    role=sagemaker.get_execution_role(),
    instance_count=1,
    instance_type="ml.m5.xlarge",
    framework_version="2.3.0",
    py_version="py311",
)
tuner = HyperparameterTuner(
    estimator,
    "epochs",
    {"epochs": IntegerParameter(1, 9)},
    metric_definitions=[{"Name": "epochs", "Regex": r"channel \[.*\] ([0-9]+)"}],
    strategy="Bayesian",
    objective_type="Maximize",
    max_jobs=3,
    max_parallel_jobs=2,
)
tuner.fit({"train": inputs})
frame = tuner.analytics().dataframe()
attached = HyperparameterTuner.attach(tuner.latest_tuning_job.name)
best = frame.loc[frame["FinalObjectiveValue"].idxmax()]

print()
print("jobs        ", len(frame), set(frame["TrainingJobStatus"]))
print("values      ", list(frame["epochs"]) == list(frame["FinalObjectiveValue"]))
print("best        ", attached.best_training_job() == best["TrainingJobName"])
print("model       ", tuner.best_estimator().model_data.endswith("/output/model.tar.gz"))
