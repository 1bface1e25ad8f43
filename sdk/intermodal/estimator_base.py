"""What all estimators do: check, upload, start a job, watch it."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from intermodal.attached import estimator_arguments
from intermodal.cards import card, line
from intermodal.console import JOBS, console_url
from intermodal.inputs import Channel, Inputs, TrainingInput, channels
from intermodal.names import name_from_base
from intermodal.source import ARCHIVE_NAME, UploadedCode, code_place, encryption
from intermodal.trained_model import TrainedModel
from intermodal.training_arguments import TOOLKIT_HYPERPARAMETERS
from intermodal.training_request import Job, create_training_job
from intermodal.which_session import session_for

if TYPE_CHECKING:
    from intermodal.dry_run import DryRun
    from intermodal.session import Session
    from intermodal.training_jobs import TrainingJob

_CODE_CHANNEL = "code"
_ISOLATED_CODE = f"/opt/ml/input/data/{_CODE_CHANNEL}/{ARCHIVE_NAME}"


class EstimatorBase(TrainedModel):
    """A training job that has yet to run, and what came of it; see `TrainingArguments`.

    Attributes:
        uploaded_code: where the latest job's code lies.
        jobs: all of them, in order.
    """

    uploaded_code: UploadedCode | None = None
    jobs: "Sequence[TrainingJob]" = ()

    def fit(
        self,
        inputs: Inputs | None = None,
        wait: bool = True,
        logs: Any = True,
        job_name: str | None = None,
        experiment_config: Mapping[str, str] | None = None,
        *,
        dry_run: bool = False,
    ) -> "DryRun | None":
        """Train.

        Args:
            inputs: an S3 URI, a local path (uploaded first), a `TrainingInput`, or a dictionary
                of them by channel.
            wait: until the job has ended.
            logs: whether status changes and log lines are shown meanwhile.
            job_name: made from `base_job_name` or the image's name where `None`.
            experiment_config: as CreateTrainingJob takes it.
            dry_run: only show what would be sent and what it costs an hour.

        Returns:
            The request, for a dry run.

        Raises:
            InvalidArgumentsError: arguments that AWS would refuse; nothing was uploaded or started.
            JobFailedError: the job failed, and `wait` was asked for.
        """
        from intermodal.training_jobs import TrainingJob

        wanted = self.checked_channels(inputs, job_name)
        name = job_name or name_from_base(self.base_name())
        if dry_run:
            from intermodal.dry_run import rehearse

            return rehearse(self, lambda copy: copy._start(name, wanted, experiment_config))
        self._start(name, wanted, experiment_config)
        self.latest_training_job = TrainingJob(self.sagemaker_session, name)
        self.jobs = [*self.jobs, self.latest_training_job]
        if wait:
            self.latest_training_job.wait(logs=logs)
        return None

    def logs(self) -> None:
        """Print the latest job's log lines, until it has ended."""
        self.sagemaker_session.logs_for_job(self._latest().name, wait=True)

    def stop(self) -> None:
        """Ask the latest job to stop."""
        self._latest().stop()

    @classmethod
    def attach(
        cls,
        training_job_name: str,
        sagemaker_session: "Session | None" = None,
        model_channel_name: str = "model",
    ) -> Self:
        """An estimator of a job that was started elsewhere; waits until that job has ended.

        Raises:
            JobFailedError: the job failed.
        """
        from intermodal.training_jobs import TrainingJob

        session = session_for(None, sagemaker_session)
        description = session.describe_training_job(training_job_name)
        arguments = cls.attached_arguments(description)
        estimator = cls(
            sagemaker_session=session, model_channel_name=model_channel_name, **arguments
        )
        estimator.latest_training_job = TrainingJob(session, training_job_name)
        estimator.jobs = [estimator.latest_training_job]
        estimator.uploaded_code = estimator._code_in_s3()
        estimator.latest_training_job.wait(logs=True)
        return estimator

    @classmethod
    def attached_arguments(cls, description: Mapping[str, Any]) -> dict[str, Any]:
        """What an estimator must be given to describe the same job."""
        return estimator_arguments(description)

    def __repr__(self) -> str:
        return line(type(self).__name__, self._facts())

    def _repr_html_(self) -> str:
        job = self.latest_training_job
        url = console_url(job.sagemaker_session, JOBS, job.name) if job else None
        return card(type(self).__name__, self._facts(), url)

    def _facts(self) -> dict[str, Any]:
        job = self.latest_training_job
        return {
            "entry_point": self.entry_point,
            "image_uri": self.image_uri,
            "instance_type": self.instance_type,
            "instance_count": self.instance_count,
            "hyperparameters": self.hyperparameters() or None,
            "role": self.role,
            "latest_training_job": job.name if job else None,
        }

    # The request

    def _start(
        self, name: str, wanted: Sequence[Channel], experiment_config: Mapping[str, str] | None
    ) -> None:
        request = self.training_request(name, wanted, experiment_config)
        self.sagemaker_session.create_training_job(request)

    def training_request(
        self,
        name: str,
        wanted: Sequence[Channel],
        experiment_config: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """CreateTrainingJob's parameters for that job; uploads what must be uploaded.

        Args:
            name: the job's name.
            wanted: its channels, as `checked_channels` gives them.
            experiment_config: as CreateTrainingJob takes it.
        """
        return create_training_job(self._job(name, wanted, experiment_config), self)

    def _job(
        self, name: str, wanted: Sequence[Channel], experiment_config: Mapping[str, str] | None
    ) -> Job:
        output_path = self.output_path or self._default_output()
        staged = [self._uploaded(channel, name) for channel in wanted]
        self.uploaded_code = self._code_for(name, output_path)
        if self.uploaded_code and self.enable_network_isolation:
            staged += channels({_CODE_CHANNEL: TrainingInput(self.uploaded_code.s3_prefix)})
        return Job(
            name=name,
            image_uri=self.training_image_uri(),
            role_arn=self.sagemaker_session.expand_role(str(self.role)),
            output_path=output_path,
            instance_count=self.instance_count,
            instance_type=self.wire_instance_type,
            hyperparameters=self._wire_hyperparameters(name, self.uploaded_code, output_path),
            channels=staged,
            has_metrics=self.wants_metrics(),
            experiment_config=experiment_config,
        )

    def _default_output(self) -> str:
        session = self.sagemaker_session
        prefix = f"{session.default_bucket_prefix}/" if session.default_bucket_prefix else ""
        return f"s3://{session.default_bucket()}/{prefix}"

    def _uploaded(self, channel: Channel, job_name: str) -> Channel:
        if channel.local_path is None:
            return channel
        prefix = f"{job_name}/input/{channel.name}"
        return channel.at(self.sagemaker_session.upload_data(channel.local_path, key_prefix=prefix))

    def _code_in_s3(self) -> UploadedCode | None:
        code = self.code
        if code is None or not code.is_in_s3:
            return None
        return UploadedCode(str(code.source_dir), code.program)

    def _code_for(self, job_name: str, output_path: str) -> UploadedCode | None:
        if self.code is None or self.code.is_in_s3:
            return self._code_in_s3()
        return self.upload_code(job_name, output_path)

    def upload_code(self, job_name: str, output_path: str | None = None) -> UploadedCode:
        """Pack the code and upload it for that job.

        Args:
            job_name: the job.
            output_path: the job's own S3 prefix; the default bucket where `None`.

        Raises:
            ValueError: there is no code.
        """
        from intermodal_contract.channel import parse_s3_uri

        code = self.code
        if code is None:
            raise ValueError("`entry_point` is missing: which script?")
        session = self.sagemaker_session
        output_path = output_path or self._default_output()
        place = parse_s3_uri(self.code_location or output_path)
        prefix = place.key if self.code_location else (session.default_bucket_prefix or "")
        destination = code_place(place.bucket, prefix, job_name, "source", ARCHIVE_NAME)
        # The output's key is of no use in another bucket's region or account.
        is_same = place.bucket == parse_s3_uri(output_path).bucket
        extra = {
            **encryption(self.output_kms_key if is_same else None),
            **session.owner_of(place.bucket),
        }
        content = code.archive()
        session.storage.put(content, destination, extra)
        return UploadedCode(str(destination), code.program, content)

    def job_hyperparameters(self, job_name: str, output_path: str) -> dict[str, Any]:  # noqa: ARG002 - frameworks do
        """What the script is told about the job beside the user's own hyperparameters."""
        return {}

    def _wire_hyperparameters(
        self, job_name: str, code: UploadedCode | None, output_path: str
    ) -> dict[str, str]:
        """JSON for the training program; plain text for an image that runs no script."""
        if code is None:
            return {str(name): str(value) for name, value in self._hyperparameters.items()}
        values = {
            **self._hyperparameters,
            **dict(
                zip(
                    TOOLKIT_HYPERPARAMETERS,
                    (
                        _ISOLATED_CODE if self.enable_network_isolation else code.s3_prefix,
                        code.script_name,
                        self.container_log_level,
                        job_name,
                        self.sagemaker_session.boto_region_name,
                    ),
                    strict=True,
                )
            ),
            **self.launch_hyperparameters(),
            **self.job_hyperparameters(job_name, output_path),
        }
        return {str(name): json.dumps(value) for name, value in values.items()}
