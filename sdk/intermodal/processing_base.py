"""What all processors do: check, upload, start a processing job, watch it."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from intermodal.defaults import PROCESSING_INPUTS, PROCESSING_JOB, defaults_of, fill
from intermodal.errors import InvalidArgumentsError
from intermodal.jobs import Job, JobKind
from intermodal.names import base_name_from_image, name_from_base
from intermodal.network import NetworkConfig, network_by_default
from intermodal.processing_data import (
    ProcessingInput,
    ProcessingOutput,
    check_inputs,
    check_outputs,
    described_input,
    described_output,
)
from intermodal.training_options import (
    LOCAL_INSTANCE_TYPES,
    Findings,
    Tags,
    check_environment,
    check_instances,
    check_job_name,
)
from intermodal.training_request import tag_list
from intermodal.which_session import session_for

if TYPE_CHECKING:
    from intermodal.session import Session

_ARGUMENT_LIMIT = 100


class ProcessingJob(Job):
    """A processing job that was started here or found again.

    Args:
        sagemaker_session: the session that it belongs to.
        job_name: its name.
        inputs: as they were sent.
        outputs: as they were sent.
        output_kms_key: encrypts the outputs.
    """

    kind: ClassVar[JobKind] = JobKind(
        "processing job", "ProcessingJob", "processing_job", "/aws/sagemaker/ProcessingJobs"
    )

    def __init__(
        self,
        sagemaker_session: "Session",
        job_name: str,
        inputs: Sequence[ProcessingInput] = (),
        outputs: Sequence[ProcessingOutput] = (),
        output_kms_key: str | None = None,
    ) -> None:
        super().__init__(sagemaker_session, job_name)
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.output_kms_key = output_kms_key

    @classmethod
    def from_processing_name(cls, sagemaker_session: "Session", processing_job_name: str) -> Self:
        """A job that was started elsewhere, by its name."""
        job = cls(sagemaker_session, processing_job_name)
        description = job.describe()
        job.inputs = [described_input(one) for one in description.get("ProcessingInputs", [])]
        config = description.get("ProcessingOutputConfig", {})
        job.outputs = [described_output(one) for one in config.get("Outputs", [])]
        job.output_kms_key = config.get("KmsKeyId")
        return job

    @classmethod
    def from_processing_arn(cls, sagemaker_session: "Session", processing_job_arn: str) -> Self:
        """A job that was started elsewhere, by its ARN."""
        return cls.from_processing_name(sagemaker_session, processing_job_arn.rpartition("/")[2])


class Processor:
    """Runs an image's own program as a processing job.

    Args:
        role: what the job runs as; a name or an ARN.
        image_uri: the image.
        instance_count: how many instances.
        instance_type: as in `ml.m5.xlarge`; `local` starts the local engine.
        entrypoint: replaces the image's own.
        volume_size_in_gb: GiB of storage an instance.
        volume_kms_key: encrypts that storage.
        output_kms_key: encrypts the outputs.
        max_runtime_in_seconds: after which the job is stopped; the service's own where `None`.
        base_job_name: what job names begin with; the image's name where `None`.
        sagemaker_session: boto3's own resolution where `None`.
        env: variables of the containers.
        tags: of the job.
        network_config: isolation, encryption and VPC.

    Attributes:
        latest_job: the one that was started last.
        jobs: all of them, in order.
    """

    def __init__(
        self,
        role: str | None = None,
        image_uri: str | None = None,
        instance_count: int | None = None,
        instance_type: str | None = None,
        entrypoint: Sequence[str] | None = None,
        volume_size_in_gb: int = 30,
        volume_kms_key: str | None = None,
        output_kms_key: str | None = None,
        max_runtime_in_seconds: int | None = None,
        base_job_name: str | None = None,
        sagemaker_session: "Session | None" = None,
        env: Mapping[str, str] | None = None,
        tags: Tags | None = None,
        network_config: NetworkConfig | None = None,
    ) -> None:
        self.role = role
        self.image_uri = image_uri
        self.instance_count = instance_count
        self.instance_type = instance_type
        self.entrypoint = entrypoint
        self.volume_size_in_gb = volume_size_in_gb
        self.volume_kms_key = volume_kms_key
        self.output_kms_key = output_kms_key
        self.max_runtime_in_seconds = max_runtime_in_seconds
        self.base_job_name = base_job_name
        self.env = env
        self.tags = tags
        defaults = defaults_of(sagemaker_session)
        self.network_config = network_by_default(network_config, defaults)
        self.latest_job: ProcessingJob | None = None
        self.jobs: list[ProcessingJob] = []
        self._session = sagemaker_session
        fill(self, PROCESSING_JOB, defaults)

    @property
    def sagemaker_session(self) -> "Session":
        """The session, made when it is first needed."""
        if self._session is None:
            self._session = session_for(self.instance_type, None)
        return self._session

    def run(
        self,
        inputs: Sequence[ProcessingInput] | None = None,
        outputs: Sequence[ProcessingOutput] | None = None,
        arguments: Sequence[str] | None = None,
        wait: bool = True,
        logs: bool = True,
        job_name: str | None = None,
        experiment_config: Mapping[str, str] | None = None,
        kms_key: str | None = None,
    ) -> None:
        """Run the job.

        Args:
            inputs: what lies in the containers when the program starts.
            outputs: what is kept in S3 of what it leaves.
            arguments: of the program.
            wait: until the job has ended.
            logs: whether status changes and log lines are shown meanwhile.
            job_name: made from `base_job_name` or the image's name where `None`.
            experiment_config: as CreateProcessingJob takes it.
            kms_key: encrypts what is uploaded.

        Raises:
            InvalidArgumentsError: arguments that AWS would refuse; nothing was uploaded or started.
            JobFailedError: the job failed, and `wait` was asked for.
        """
        findings = self._checked(inputs or (), outputs or (), arguments, job_name)
        self._refuse(findings)
        name = self._name(job_name)
        self._start(
            name,
            inputs or (),
            outputs or (),
            arguments,
            experiment_config,
            kms_key,
            self.entrypoint,
        )
        self._wait(wait=wait, logs=logs)

    # What AWS would refuse

    def _checked(
        self,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        arguments: Sequence[str] | None,
        job_name: str | None,
        own_inputs: int = 0,
    ) -> Findings:
        findings = Findings({})
        if not self.role:
            findings.add("role", "is missing; give a role's name or ARN, or get_execution_role()")
        self._check_image(findings)
        if job_name is not None:
            check_job_name(findings, "job_name", job_name)
        check_instances(findings, self.instance_count, self.instance_type, None)
        findings.at_least("volume_size_in_gb", self.volume_size_in_gb, 1)
        if self.max_runtime_in_seconds is not None:
            findings.at_least("max_runtime_in_seconds", self.max_runtime_in_seconds, 1)
        check_environment(findings, self.env or {}, "env")
        check_inputs(findings, inputs, own_inputs)
        check_outputs(findings, outputs)
        check_words(findings, "arguments", arguments)
        check_words(findings, "entrypoint", self.entrypoint)
        return findings

    def _check_image(self, findings: Findings) -> None:
        if not self.image_uri:
            findings.add("image_uri", "is missing: which image?")

    def _refuse(self, findings: Findings) -> None:
        if findings.problems:
            raise InvalidArgumentsError(f"{type(self).__name__}.run", findings.problems)

    # The request

    def _name(self, job_name: str | None) -> str:
        base = self.base_job_name or base_name_from_image(str(self.image_uri))
        return job_name or name_from_base(base)

    def _start(
        self,
        name: str,
        inputs: Sequence[ProcessingInput],
        outputs: Sequence[ProcessingOutput],
        arguments: Sequence[str] | None,
        experiment_config: Mapping[str, str] | None,
        kms_key: str | None,
        entrypoint: Sequence[str] | None,
    ) -> None:
        session = self.sagemaker_session
        known = session.defaults.get(*PROCESSING_INPUTS) or []
        staged = [
            self._staged(one.named(f"input-{index}").over(default), name, kms_key)
            for index, (one, default) in enumerate(zip_longest(inputs, known[: len(inputs)]), 1)
        ]
        placed = [
            self._placed(one.named(f"output-{index}"), name) for index, one in enumerate(outputs, 1)
        ]
        application = {
            "ImageUri": self.image_uri,
            "ContainerArguments": list(arguments) if arguments is not None else None,
            "ContainerEntrypoint": list(entrypoint) if entrypoint is not None else None,
        }
        request = {
            "ProcessingJobName": name,
            "ProcessingInputs": [one.request() for one in staged],
            "ProcessingOutputConfig": self._output_config(placed),
            "AppSpecification": _present(application),
            "ProcessingResources": {"ClusterConfig": self._cluster()},
            "RoleArn": session.expand_role(str(self.role)),
            "Environment": dict(self.env or {}),
            "NetworkConfig": self.network_config.request() if self.network_config else None,
            "StoppingCondition": _present({"MaxRuntimeInSeconds": self.max_runtime_in_seconds}),
            "ExperimentConfig": dict(experiment_config or {}),
            "Tags": session.defaults.with_tags(tag_list(self.tags), "ProcessingJob"),
        }
        sent = {key: value for key, value in request.items() if value not in (None, [], {})}
        session.sagemaker_client.create_processing_job(**sent)
        self.latest_job = ProcessingJob(session, name, staged, placed, self.output_kms_key)
        self.jobs.append(self.latest_job)

    def _wait(self, *, wait: bool, logs: bool) -> None:
        if wait and self.latest_job is not None:
            self.latest_job.wait(logs=logs)

    def _staged(self, one: ProcessingInput, job_name: str, kms_key: str | None) -> ProcessingInput:
        if one.to_upload is None:
            return one
        return one.at(self._upload(one.to_upload, f"{job_name}/input/{one.input_name}", kms_key))

    def _upload(self, path: Path, key_prefix: str, kms_key: str | None) -> str:
        extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else None
        return self.sagemaker_session.upload_data(path, key_prefix=key_prefix, extra_args=extra)

    def _placed(self, one: ProcessingOutput, job_name: str) -> ProcessingOutput:
        if one.destination is not None or one.source is None:
            return one
        session = self.sagemaker_session
        parts = [session.default_bucket_prefix, job_name, "output", one.output_name]
        return one.to(f"s3://{session.default_bucket()}/{'/'.join(filter(None, parts))}")

    def _output_config(self, outputs: Sequence[ProcessingOutput]) -> dict[str, Any] | None:
        if not outputs:
            return None
        config: dict[str, Any] = {"Outputs": [one.request() for one in outputs]}
        return {**config, "KmsKeyId": self.output_kms_key} if self.output_kms_key else config

    def _cluster(self) -> dict[str, Any]:
        kind = LOCAL_INSTANCE_TYPES.get(self.instance_type or "", self.instance_type)
        cluster = {
            "InstanceType": kind,
            "InstanceCount": self.instance_count,
            "VolumeSizeInGB": self.volume_size_in_gb,
            "VolumeKmsKeyId": self.volume_kms_key,
        }
        return _present(cluster)


def check_words(findings: Findings, argument: str, words: Any) -> None:
    """Note what is no list of strings, or too long a one."""
    if words is None:
        return
    if isinstance(words, str) or not isinstance(words, Sequence):
        findings.add(argument, f"{words!r} is a {type(words).__name__}; give a list of strings")
        return
    if len(words) > _ARGUMENT_LIMIT:
        findings.add(argument, f"{len(words)} of them; AWS takes {_ARGUMENT_LIMIT}")
    for word in words:
        if not isinstance(word, str):
            findings.add(argument, f"{word!r} is a {type(word).__name__}; give strings")


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
