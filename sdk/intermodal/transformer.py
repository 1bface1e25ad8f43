"""Batch transform: a model over a whole data set in S3, on instances that live as long."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from intermodal.defaults import TRANSFORM_CAPTURE_KEY, TRANSFORM_JOB, defaults_of, fill
from intermodal.errors import InvalidArgumentsError
from intermodal.jobs import Job, JobKind
from intermodal.names import base_name_from_image, name_from_base
from intermodal.source import local_path
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

PAYLOAD_LIMIT_MB = 100
_WORDS: Mapping[str, tuple[str, ...]] = {
    "strategy": ("MultiRecord", "SingleRecord"),
    "assemble_with": ("None", "Line"),
    "data_type": ("S3Prefix", "ManifestFile"),
    "compression_type": ("None", "Gzip"),
    "split_type": ("None", "Line", "RecordIO", "TFRecord"),
    "join_source": ("None", "Input"),
}


class TransformJob(Job):
    """A transform job that was started here or found again."""

    kind: ClassVar[JobKind] = JobKind(
        "transform job", "TransformJob", "transform_job", "/aws/sagemaker/TransformJobs"
    )


class Transformer:
    """Runs a model that was created over data in S3.

    Args:
        model_name: the model.
        instance_count: how many instances.
        instance_type: as in `ml.m5.xlarge`; `local` asks the local engine.
        strategy: `MultiRecord` or `SingleRecord` a request.
        assemble_with: `Line` puts a line's end between results.
        output_path: S3 prefix of the results; `JOB` in the default bucket where `None`.
        output_kms_key: encrypts the results.
        accept: the content type of the results.
        max_concurrent_transforms: requests at a time to an instance.
        max_payload: the largest request, in MB.
        tags: of the job.
        env: further variables of the container.
        base_transform_job_name: what job names begin with; the model's image where `None`.
        sagemaker_session: boto3's own resolution where `None`.
        volume_kms_key: encrypts the instances' storage.

    Attributes:
        latest_transform_job: the one that was started or attached to last.
    """

    def __init__(
        self,
        model_name: str,
        instance_count: int | None = None,
        instance_type: str | None = None,
        strategy: str | None = None,
        assemble_with: str | None = None,
        output_path: str | None = None,
        output_kms_key: str | None = None,
        accept: str | None = None,
        max_concurrent_transforms: int | None = None,
        max_payload: int | None = None,
        tags: Tags | None = None,
        env: Mapping[str, str] | None = None,
        base_transform_job_name: str | None = None,
        sagemaker_session: "Session | None" = None,
        volume_kms_key: str | None = None,
    ) -> None:
        self.model_name = model_name
        self.instance_count = instance_count
        self.instance_type = instance_type
        self.strategy = strategy
        self.assemble_with = assemble_with
        self.output_path = output_path
        self.output_kms_key = output_kms_key
        self.accept = accept
        self.max_concurrent_transforms = max_concurrent_transforms
        self.max_payload = max_payload
        self.tags = tags
        self.env = env
        self.base_transform_job_name = base_transform_job_name
        self.volume_kms_key = volume_kms_key
        self.latest_transform_job: TransformJob | None = None
        self._session = sagemaker_session
        self._has_own_output = output_path is not None
        fill(self, TRANSFORM_JOB, defaults_of(sagemaker_session))

    @property
    def sagemaker_session(self) -> "Session":
        """The session, made when it is first needed."""
        if self._session is None:
            self._session = session_for(self.instance_type, None)
        return self._session

    def transform(
        self,
        data: str,
        data_type: str = "S3Prefix",
        content_type: str | None = None,
        compression_type: str | None = None,
        split_type: str | None = None,
        job_name: str | None = None,
        input_filter: str | None = None,
        output_filter: str | None = None,
        join_source: str | None = None,
        experiment_config: Mapping[str, str] | None = None,
        model_client_config: Mapping[str, Any] | None = None,
        batch_data_capture_config: Any = None,
        wait: bool = True,
        logs: bool = True,
    ) -> None:
        """Run the model over the data.

        Args:
            data: an S3 URI, a prefix or a manifest; or a local path, which is uploaded first.
            data_type: `S3Prefix` or `ManifestFile`.
            content_type: of each request.
            compression_type: `Gzip` where the data is.
            split_type: what separates records: `Line`, `RecordIO` or `TFRecord`.
            job_name: made from `base_transform_job_name` where `None`.
            input_filter: JSONPath to what of a record the model gets.
            output_filter: JSONPath to what of the joined record is kept.
            join_source: `Input` joins each result with its record.
            experiment_config: as CreateTransformJob takes it.
            model_client_config: as CreateTransformJob takes it.
            batch_data_capture_config: a `BatchDataCaptureConfig` of `intermodal.inputs`, or
                `DataCaptureConfig` as CreateTransformJob takes it.
            wait: until the job has ended.
            logs: whether status changes and log lines are shown meanwhile.

        Raises:
            InvalidArgumentsError: arguments that AWS would refuse; nothing was uploaded or started.
            JobFailedError: the job failed, and `wait` was asked for.
        """
        words = {
            "data_type": data_type,
            "compression_type": compression_type,
            "split_type": split_type,
            "join_source": join_source,
        }
        self._check(data, job_name, words)
        name = job_name or name_from_base(self.base_transform_job_name or self._model_base())
        if not self._has_own_output:
            self.output_path = self._default_output(name)
        source = {"S3DataType": data_type, "S3Uri": self._uploaded(data, name)}
        request = {
            **self._job(name),
            "TransformInput": _present(
                DataSource={"S3DataSource": source},
                ContentType=content_type,
                CompressionType=compression_type,
                SplitType=split_type,
            ),
            "DataProcessing": _present(
                InputFilter=input_filter, OutputFilter=output_filter, JoinSource=join_source
            ),
            "ExperimentConfig": experiment_config,
            "ModelClientConfig": model_client_config,
            "DataCaptureConfig": self._capture(batch_data_capture_config),
        }
        sent = {key: value for key, value in request.items() if value not in (None, {}, [])}
        self.sagemaker_session.sagemaker_client.create_transform_job(**sent)
        self.latest_transform_job = TransformJob(self.sagemaker_session, name)
        if wait:
            self.latest_transform_job.wait(logs=logs)

    def wait(self, logs: bool = True) -> None:
        """Wait until the latest job has ended.

        Raises:
            JobFailedError: it failed.
        """
        self._latest().wait(logs=logs)

    def stop_transform_job(self, wait: bool = True) -> None:
        """Stop the latest job, and wait until it has stopped."""
        self._latest().stop()
        if wait:
            self._latest().wait()

    def delete_model(self) -> None:
        """Delete the model."""
        self.sagemaker_session.delete_model(self.model_name)

    @classmethod
    def attach(cls, transform_job_name: str, sagemaker_session: "Session | None" = None) -> Self:
        """A transformer of a job that was started elsewhere."""
        session = session_for(None, sagemaker_session)
        job = TransformJob(session, transform_job_name)
        described = job.describe()
        resources, output = described["TransformResources"], described["TransformOutput"]
        transformer = cls(
            described["ModelName"],
            resources["InstanceCount"],
            resources["InstanceType"],
            described.get("BatchStrategy"),
            output.get("AssembleWith"),
            output["S3OutputPath"],
            output.get("KmsKeyId"),
            output.get("Accept"),
            described.get("MaxConcurrentTransforms"),
            described.get("MaxPayloadInMB"),
            base_transform_job_name=transform_job_name,
            sagemaker_session=session,
            volume_kms_key=resources.get("VolumeKmsKeyId"),
        )
        transformer.latest_transform_job = job
        return transformer

    # What AWS would refuse

    def _check(self, data: str, job_name: str | None, words: Mapping[str, str | None]) -> None:
        findings = Findings({})
        if not self.model_name:
            findings.add("model_name", "is missing: which model?")
        check_instances(findings, self.instance_count, self.instance_type, None)
        check_environment(findings, self.env or {}, "env")
        if job_name is not None:
            check_job_name(findings, "job_name", job_name)
        if self.output_path is not None and not self.output_path.startswith("s3://"):
            findings.add("output_path", f"{self.output_path!r} is no S3 URI; give s3://BUCKET/KEY")
        if not data.startswith("s3://") and not local_path(data).exists():
            findings.add("data", f"`{data}` is neither S3 URI nor path")
        if self.max_concurrent_transforms is not None:
            findings.at_least("max_concurrent_transforms", self.max_concurrent_transforms, 0)
        self._check_payload(findings)
        own = {"strategy": self.strategy, "assemble_with": self.assemble_with}
        for argument, value in {**own, **words}.items():
            if value is not None and value not in _WORDS[argument]:
                findings.add(argument, f"{value!r} is none of {', '.join(_WORDS[argument])}")
        if findings.problems:
            raise InvalidArgumentsError("Transformer.transform", findings.problems)

    def _check_payload(self, findings: Findings) -> None:
        if self.max_payload is None:
            return
        findings.at_least("max_payload", self.max_payload, 0)
        total = (self.max_concurrent_transforms or 1) * self.max_payload
        if total > PAYLOAD_LIMIT_MB:
            findings.add(
                "max_payload",
                f"with `max_concurrent_transforms` {total} MB at a time; "
                f"AWS takes {PAYLOAD_LIMIT_MB}",
            )

    # The request

    def _job(self, name: str) -> dict[str, Any]:
        kind = LOCAL_INSTANCE_TYPES.get(self.instance_type or "", self.instance_type)
        return {
            "TransformJobName": name,
            "ModelName": self.model_name,
            "MaxConcurrentTransforms": self.max_concurrent_transforms,
            "MaxPayloadInMB": self.max_payload,
            "BatchStrategy": self.strategy,
            "Environment": dict(self.env or {}),
            "TransformOutput": _present(
                S3OutputPath=self.output_path,
                AssembleWith=self.assemble_with,
                Accept=self.accept,
                KmsKeyId=self.output_kms_key,
            ),
            "TransformResources": _present(
                InstanceType=kind,
                InstanceCount=self.instance_count,
                VolumeKmsKeyId=self.volume_kms_key,
            ),
            "Tags": self.sagemaker_session.defaults.with_tags(tag_list(self.tags), "TransformJob"),
        }

    def _capture(self, config: Any) -> dict[str, Any] | None:
        """With the defaults' key where something is captured and none is given."""
        if not config:
            return None
        given = config.request() if hasattr(config, "request") else config
        defaults = self.sagemaker_session.defaults
        key = defaults.or_given(given.get("KmsKeyId"), *TRANSFORM_CAPTURE_KEY)
        return _present(**{**given, "KmsKeyId": key})

    def _default_output(self, job_name: str) -> str:
        session = self.sagemaker_session
        parts = [session.default_bucket(), session.default_bucket_prefix, job_name]
        return f"s3://{'/'.join(filter(None, parts))}"

    def _uploaded(self, data: str, job_name: str) -> str:
        if data.startswith("s3://"):
            return data
        path = Path(local_path(data))
        return self.sagemaker_session.upload_data(path, key_prefix=f"{job_name}/input/data")

    def _model_base(self) -> str:
        client = self.sagemaker_session.sagemaker_client
        described = client.describe_model(ModelName=self.model_name)
        containers = [described.get("PrimaryContainer"), *described.get("Containers", [])]
        images = [one["Image"] for one in containers if one and one.get("Image")]
        return base_name_from_image(images[0]) if images else self.model_name

    def _latest(self) -> TransformJob:
        if self.latest_transform_job is None:
            raise ValueError("no transform job was started yet; call transform() first")
        return self.latest_transform_job


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
