"""Models and endpoints of training jobs, told by nothing but the job's name."""

from collections.abc import Mapping
from typing import Any

from intermodal.endpoints import Endpoints
from intermodal.production_variants import container_def
from intermodal.training_jobs import TrainingJobs, trained_model
from intermodal.training_options import Tags

VPC_CONFIG_DEFAULT = "VPC_CONFIG_DEFAULT"
"""The job's own VPC; `None` is none at all."""


class FromJobs(TrainingJobs, Endpoints):
    """What a session does with training jobs that have ended."""

    def create_model_from_job(
        self,
        training_job_name: str,
        name: str | None = None,
        role: str | None = None,
        image_uri: str | None = None,
        model_data_url: str | Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        enable_network_isolation: bool = False,
        vpc_config_override: Any = VPC_CONFIG_DEFAULT,
        tags: Tags | None = None,
    ) -> str:
        """Create a model of what a job has trained; what is not given is the job's.

        Returns:
            The model's name, the job's where `name` is `None`.

        Raises:
            ValueError: the job has left no model.
        """
        job = self.describe_training_job(training_job_name)
        image_uri = image_uri or job["AlgorithmSpecification"]["TrainingImage"]
        return self.create_model(
            name or training_job_name,
            role or job["RoleArn"],
            container_def(image_uri, model_data_url or _source(job), env),
            vpc_config=_vpc(job, vpc_config_override),
            enable_network_isolation=enable_network_isolation,
            tags=tags,
        )

    def endpoint_from_job(
        self,
        job_name: str,
        initial_instance_count: int,
        instance_type: str,
        image_uri: str | None = None,
        name: str | None = None,
        role: str | None = None,
        wait: bool = True,
        model_environment_vars: Mapping[str, str] | None = None,
        vpc_config_override: Any = VPC_CONFIG_DEFAULT,
    ) -> str:
        """Create model, endpoint configuration and endpoint of what a job has trained.

        Returns:
            The name of all three, the job's where `name` is `None`.

        Raises:
            ValueError: the job has left no model.
            EndpointFailedError: it did not come into service, and `wait` was asked for.
        """
        job = self.describe_training_job(job_name)
        return self.endpoint_from_model_data(
            _source(job),
            image_uri or job["AlgorithmSpecification"]["TrainingImage"],
            initial_instance_count,
            instance_type,
            name or job_name,
            role or job["RoleArn"],
            wait,
            model_environment_vars,
            _vpc(job, vpc_config_override),
        )


def _source(job: Mapping[str, Any]) -> dict[str, Any]:
    """The job's model as a `ModelDataSource`, which is what the vendor's sends here."""
    model = trained_model(job)
    if isinstance(model, dict):
        return model
    source = {"S3Uri": model, "S3DataType": "S3Object", "CompressionType": "Gzip"}
    return {"S3DataSource": source}


def _vpc(job: Mapping[str, Any], override: Any) -> Mapping[str, Any] | None:
    wanted = job.get("VpcConfig") if override == VPC_CONFIG_DEFAULT else override
    return dict(wanted) if wanted else None
