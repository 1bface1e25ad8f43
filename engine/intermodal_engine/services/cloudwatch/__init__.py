"""The CloudWatch API: metrics."""

from intermodal_engine.services.call import Operation
from intermodal_engine.services.cloudwatch import custom_metrics, metrics

OPERATIONS: dict[str, Operation] = {**metrics.OPERATIONS, **custom_metrics.OPERATIONS}
