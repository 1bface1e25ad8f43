"""The SageMaker API: jobs, models, endpoint configurations, endpoints, tags."""

from intermodal_engine.services.call import Operation
from intermodal_engine.services.sagemaker import (
    endpoint_configs,
    endpoints,
    models,
    processing_jobs,
    tags,
    training_jobs,
    transform_jobs,
)

OPERATIONS: dict[str, Operation] = {
    **training_jobs.OPERATIONS,
    **processing_jobs.OPERATIONS,
    **transform_jobs.OPERATIONS,
    **models.OPERATIONS,
    **endpoint_configs.OPERATIONS,
    **endpoints.OPERATIONS,
    **tags.OPERATIONS,
}
