"""Training jobs on the wire: start, describe, stop, wait for."""

from collections.abc import Mapping
from typing import Any

from intermodal.cards import card, line, status_of
from intermodal.clients import Clients
from intermodal.console import JOBS, console_url
from intermodal.job_view import job_view
from intermodal.waiters import TrainingJobWaiter
from intermodal_contract.statuses import TrainingJobStatus, is_terminal


class TrainingJobs(Clients):
    """What a session does with training jobs."""

    def create_training_job(self, request: Mapping[str, Any]) -> None:
        """CreateTrainingJob with these parameters, and the tags of the defaults."""
        tags = self.defaults.with_tags(request.get("Tags", []), "TrainingJob")
        self.sagemaker_client.create_training_job(**{**request, **({"Tags": tags} if tags else {})})

    def describe_training_job(self, job_name: str) -> dict[str, Any]:
        """DescribeTrainingJob."""
        return dict(self.sagemaker_client.describe_training_job(TrainingJobName=job_name))

    def stop_training_job(self, job_name: str) -> None:
        """Ask the job to stop; a job that has ended already is left as it is."""
        from botocore.exceptions import ClientError

        try:
            self.sagemaker_client.stop_training_job(TrainingJobName=job_name)
        except ClientError as error:
            ended = is_terminal(
                TrainingJobStatus(self.describe_training_job(job_name)["TrainingJobStatus"])
            )
            if error.response["Error"]["Code"] != "ValidationException" or not ended:
                raise

    def wait_for_job(self, job: str, poll: float | None = None) -> dict[str, Any]:  # noqa: ARG002 - the vendor's
        """Wait in silence until the job has ended.

        Args:
            job: the training job.
            poll: taken for compatibility; how often the service is asked, `polling.py` says.

        Returns:
            Its last description.

        Raises:
            JobFailedError: it failed.
        """
        return TrainingJobWaiter(self, job, None, self.stop_training_job).wait()

    def logs_for_job(
        self,
        job_name: str,
        wait: bool = False,
        poll: float | None = None,  # noqa: ARG002 - the vendor's
        log_type: Any = "All",
    ) -> None:
        """Print the job's log lines and status changes.

        Args:
            job_name: the training job.
            wait: until the job has ended; otherwise print what there is.
            poll: taken for compatibility; how often the service is asked, `polling.py` says.
            log_type: `None` or "None" waits in silence.

        Raises:
            JobFailedError: it failed, and `wait` was asked for.
        """
        view = job_view() if wants_logs(log_type) else None
        waiter = TrainingJobWaiter(self, job_name, view, self.stop_training_job)
        if wait:
            waiter.wait()
        else:
            waiter.show_now()


class TrainingJob:
    """One training job that was started here or found again.

    Args:
        sagemaker_session: the session that it belongs to.
        job_name: its name.
    """

    def __init__(self, sagemaker_session: TrainingJobs, job_name: str) -> None:
        self.sagemaker_session = sagemaker_session
        self.job_name = job_name
        self._ended: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """The job's name."""
        return self.job_name

    def describe(self) -> dict[str, Any]:
        """DescribeTrainingJob."""
        return self.sagemaker_session.describe_training_job(self.job_name)

    def describe_ended(self) -> dict[str, Any]:
        """Its last description where it was seen to end; else DescribeTrainingJob."""
        return self._ended or self.describe()

    def wait(self, logs: Any = True) -> dict[str, Any]:
        """Wait until it has ended; see `TrainingJobWaiter.wait`."""
        view = job_view() if wants_logs(logs) else None
        session = self.sagemaker_session
        waiter = TrainingJobWaiter(session, self.job_name, view, session.stop_training_job)
        self._ended = waiter.wait()
        return self._ended

    def stop(self) -> None:
        """Ask it to stop."""
        self.sagemaker_session.stop_training_job(self.job_name)

    def __repr__(self) -> str:
        ended = self._ended or {}
        return line(
            "TrainingJob", {"job_name": self.name, "status": ended.get("TrainingJobStatus")}
        )

    def _repr_html_(self) -> str:
        told = status_of(self.describe_ended, *_SHOWN)
        url = console_url(self.sagemaker_session, JOBS, self.name)
        return card("TrainingJob", {"name": self.name, **told}, url)


_SHOWN = ("TrainingJobStatus", "SecondaryStatus", "FailureReason", "BillableTimeInSeconds")


def trained_model(description: Mapping[str, Any]) -> str | dict[str, Any]:
    """S3 URI of what a job has trained; a `ModelDataSource` where it was left uncompressed.

    Raises:
        ValueError: the job has not ended, or has left no model.
    """
    artifacts = description.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    if not artifacts:
        raise ValueError(
            f"training job `{description['TrainingJobName']}` is "
            f"{description['TrainingJobStatus']} and has no model"
            "\nhint: wait for it with `estimator.latest_training_job.wait()`"
        )
    if description.get("OutputDataConfig", {}).get("CompressionType") == "NONE":
        prefix = f"{artifacts.rstrip('/')}/"
        source = {"S3Uri": prefix, "S3DataType": "S3Prefix", "CompressionType": "None"}
        return {"S3DataSource": source}
    return str(artifacts)


def wants_logs(logs: Any) -> bool:
    """Whether lines are shown, by what `fit(logs=…)` takes."""
    # The vendor's SDK takes True, False, "All", "None" and lists of kinds.
    return bool(logs) and logs != "None"
