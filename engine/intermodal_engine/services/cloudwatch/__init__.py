"""The CloudWatch API: metrics and alarms."""

from intermodal_engine.services.call import Operation
from intermodal_engine.services.cloudwatch import alarms, custom_metrics, metrics

OPERATIONS: dict[str, Operation] = {
    **metrics.OPERATIONS,
    **custom_metrics.OPERATIONS,
    **alarms.OPERATIONS,
}
