"""The CloudWatch API: metrics."""

from intermodal_engine.services.call import Operation
from intermodal_engine.services.cloudwatch import metrics

OPERATIONS: dict[str, Operation] = metrics.OPERATIONS
