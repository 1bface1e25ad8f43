"""The stand-in's processing, transform and tuning jobs: each ends at the second question."""

from typing import Any

_ARN = "arn:aws:sagemaker:us-west-2:123456789012"
_NOW = 1_700_000_000.0


class FakeJobs:
    """Answers about jobs that are not training jobs."""

    def __init__(self) -> None:
        self.job_end = "Completed"
        self.job_reason: str | None = None
        self.best_training_job: str | None = None
        self.models: dict[str, dict[str, Any]] = {}
        self._requests: dict[tuple[str, str], dict[str, Any]] = {}
        self._questions: dict[tuple[str, str], int] = {}

    def _create(self, word: str, request: dict[str, Any]) -> dict[str, Any]:
        name = request[f"{word}Name"]
        self._requests[word, name] = request
        return {f"{word}Arn": f"{_ARN}:job/{name}"}

    def _described(self, word: str, request: dict[str, Any]) -> dict[str, Any]:
        name = request[f"{word}Name"]
        seen = self._questions[word, name] = self._questions.get((word, name), 0) + 1
        has_ended = seen > 1
        answer: dict[str, Any] = {
            **self._requests[word, name],
            f"{word}Arn": f"{_ARN}:job/{name}",
            f"{word}Status": self.job_end if has_ended else "InProgress",
            "CreationTime": _NOW,
        }
        if has_ended and self.job_reason:
            answer["FailureReason"] = self.job_reason
        return answer

    def _create_processing_job(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._create("ProcessingJob", request)

    def _describe_processing_job(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._described("ProcessingJob", request)

    def _stop_processing_job(self, request: dict[str, Any]) -> dict[str, Any]:
        self.job_end = "Stopped"
        return {}

    _stop_transform_job = _stop_hyper_parameter_tuning_job = _stop_processing_job

    def _create_transform_job(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._create("TransformJob", request)

    def _describe_transform_job(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._described("TransformJob", request)

    def _describe_model(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.models[request["ModelName"]]

    def _create_hyper_parameter_tuning_job(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._create("HyperParameterTuningJob", request)

    def _describe_hyper_parameter_tuning_job(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = self._described("HyperParameterTuningJob", request)
        counts = ("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped")
        answer["TrainingJobStatusCounters"] = dict.fromkeys(counts, 0)
        objectives = ("Succeeded", "Pending", "Failed")
        answer["ObjectiveStatusCounters"] = dict.fromkeys(objectives, 0)
        if self.best_training_job:
            answer["BestTrainingJob"] = {
                "TrainingJobName": self.best_training_job,
                "TrainingJobArn": f"{_ARN}:training-job/{self.best_training_job}",
                "CreationTime": _NOW,
                "TrainingJobStatus": "Completed",
                "TunedHyperParameters": {},
            }
        return answer
