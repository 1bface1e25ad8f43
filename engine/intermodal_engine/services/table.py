"""Which operations the engine serves: service names as botocore's, to their operations."""

from collections.abc import Mapping

from intermodal_engine.services import (
    application_autoscaling,
    cloudwatch,
    ecr,
    iam,
    logs,
    s3,
    sagemaker,
    sagemaker_runtime,
    sns,
    sts,
)
from intermodal_engine.services.call import Operation
from intermodal_engine.wire.errors import ServiceError

TABLE: dict[str, Mapping[str, Operation]] = {
    "application-autoscaling": application_autoscaling.OPERATIONS,
    "cloudwatch": cloudwatch.OPERATIONS,
    "ecr": ecr.OPERATIONS,
    "iam": iam.OPERATIONS,
    "logs": logs.OPERATIONS,
    "s3": s3.OPERATIONS,
    "sagemaker": sagemaker.OPERATIONS,
    "sagemaker-runtime": sagemaker_runtime.OPERATIONS,
    "sns": sns.OPERATIONS,
    "sts": sts.OPERATIONS,
}


def find_operation(service_name: str, operation_name: str) -> Operation:
    """The function that serves an operation.

    Raises:
        ServiceError: `NotImplementedException`, naming the operation.
    """
    operation = TABLE.get(service_name, {}).get(operation_name)
    if operation is None:
        raise not_implemented(service_name, operation_name)
    return operation


def not_implemented(service_name: str, operation_name: str) -> ServiceError:
    """The answer to an operation that AWS has and the engine has not."""
    return ServiceError(
        "NotImplementedException",
        f"intermodal's engine does not serve `{service_name}.{operation_name}` yet. Nothing was "
        "done and nothing has changed; call AWS itself for it.",
        status=501,
    )
