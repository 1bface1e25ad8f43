"""The SageMaker API: jobs, models, endpoint configurations, endpoints, tags."""

from intermodal_engine.services.call import Operation
from intermodal_engine.services.sagemaker import (
    endpoint_configs,
    endpoints,
    inference_components,
    model_package_groups,
    model_packages,
    models,
    processing_jobs,
    search,
    tags,
    training_jobs,
    transform_jobs,
    tuning_jobs,
)

OPERATIONS: dict[str, Operation] = {
    **training_jobs.OPERATIONS,
    **processing_jobs.OPERATIONS,
    **transform_jobs.OPERATIONS,
    **tuning_jobs.OPERATIONS,
    **models.OPERATIONS,
    **model_package_groups.OPERATIONS,
    **model_packages.OPERATIONS,
    **endpoint_configs.OPERATIONS,
    **endpoints.OPERATIONS,
    **inference_components.OPERATIONS,
    **search.OPERATIONS,
    **tags.OPERATIONS,
}
