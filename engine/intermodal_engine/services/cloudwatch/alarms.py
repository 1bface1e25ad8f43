"""Alarms: Put, Describe, Delete, their states, actions and history.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
"""

import json
import re
from typing import Any

from intermodal_engine.lifecycle.alarms import COMPARISONS, KIND, AlarmState
from intermodal_engine.services.answers import not_served, when
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.services.cloudwatch.statistics import is_period, statistic
from intermodal_engine.store.records import Event, Record, RecordNotFoundError
from intermodal_engine.wire.errors import ServiceError

PAGE_LIMIT = 100
SCALING_POLICY = re.compile(r"arn:aws:autoscaling:[^:]*:\d{12}:scalingPolicy:")
"""The actions that the engine does."""

LONGEST_WINDOW_S = 86_400
_TOKEN = re.compile(r"\d{1,9}", re.ASCII)
_TREATMENTS = ("breaching", "notBreaching", "ignore", "missing")
_SEVERAL = ("Metrics", "ThresholdMetricId", "EvaluationCriteria", "EvaluationWindow")
_DESCRIBED = (
    "AlarmName",
    "AlarmDescription",
    "MetricName",
    "Namespace",
    "Statistic",
    "ExtendedStatistic",
    "Dimensions",
    "Period",
    "Unit",
    "EvaluationPeriods",
    "DatapointsToAlarm",
    "Threshold",
    "ComparisonOperator",
    "TreatMissingData",
)
_ACTIONS = ("OKActions", "AlarmActions", "InsufficientDataActions")


def put_metric_alarm(call: Call, parameters: Parameters) -> Parameters:
    """Makes an alarm or changes it; it is looked at at once, and again in each of its periods."""
    _check(parameters)
    request = {name: one for name, one in parameters.items() if name != "Tags"}
    tags = {tag["Key"]: tag["Value"] for tag in parameters.get("Tags", [])}
    call.backends.alarms.put(request, arn=alarm_arn(call, parameters["AlarmName"]), tags=tags)
    return {}


def describe_alarms(call: Call, parameters: Parameters) -> Parameters:
    """Alarms of one metric each, by name."""
    for member in ("ChildrenOfAlarmName", "ParentsOfAlarmName"):
        if member in parameters:
            raise not_served(f"`{member}`", "the engine has no composite alarms")
    alarms = [one for one in _all(call) if _fits(one, parameters)]
    if "MetricAlarm" not in parameters.get("AlarmTypes", ["MetricAlarm"]):
        alarms = []
    limit = min(parameters.get("MaxRecords", PAGE_LIMIT), PAGE_LIMIT)
    after = parameters.get("NextToken", "")
    rest = [one for one in alarms if one.name > after]
    result: Parameters = {
        "MetricAlarms": [described(one) for one in rest[:limit]],
        "CompositeAlarms": [],
    }
    if len(rest) > limit:
        result["NextToken"] = rest[limit - 1].name
    return result


def describe_alarms_for_metric(call: Call, parameters: Parameters) -> Parameters:
    """The alarms that look at one metric."""
    wanted = {
        name: parameters[name]
        for name in ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period", "Unit")
        if name in parameters
    }
    dimensions = _dimensions(parameters)
    found = [
        described(one)
        for one in _all(call)
        if all(one.request.get(name) == value for name, value in wanted.items())
        and _dimensions(one.request) == dimensions
    ]
    return {"MetricAlarms": found}


def delete_alarms(call: Call, parameters: Parameters) -> Parameters:
    """Deletes alarms; of one that there is not nothing is said, unless it is the only one."""
    records = call.backends.records
    names = parameters["AlarmNames"]
    there = [name for name in names if records.find(KIND, name) is not None]
    if len(names) == 1 and not there:
        raise _not_found(names[0])
    for name in there:
        records.delete(KIND, name)
    return {}


def set_alarm_state(call: Call, parameters: Parameters) -> Parameters:
    """Sets the state until the alarm is looked at again; its actions are done."""
    if "StateReasonData" in parameters:
        try:
            json.loads(parameters["StateReasonData"])
        except ValueError as error:
            raise ServiceError("InvalidFormat", f"StateReasonData is no JSON: {error}") from error
    try:
        call.backends.alarms.set_state(
            parameters["AlarmName"], AlarmState(parameters["StateValue"]), parameters["StateReason"]
        )
    except RecordNotFoundError as error:
        raise _not_found(parameters["AlarmName"]) from error
    return {}


def enable_alarm_actions(call: Call, parameters: Parameters) -> Parameters:
    """Has alarms do their actions."""
    for name in parameters["AlarmNames"]:
        call.backends.alarms.enable_actions(name, enabled=True)
    return {}


def disable_alarm_actions(call: Call, parameters: Parameters) -> Parameters:
    """Has alarms do nothing; their states go on changing."""
    for name in parameters["AlarmNames"]:
        call.backends.alarms.enable_actions(name, enabled=False)
    return {}


def describe_alarm_history(call: Call, parameters: Parameters) -> Parameters:
    """What happened to alarms, newest first unless asked otherwise."""
    wanted = parameters.get("AlarmName")
    items = [
        _history(record, event)
        for record in _all(call)
        if wanted in (None, record.name)
        for event in call.backends.records.events(KIND, record.name)
        if event.type in ("StateUpdate", "ConfigurationUpdate")
    ]
    kind = parameters.get("HistoryItemType")
    fitting = [
        one
        for one in items
        if kind in (None, one["HistoryItemType"])
        and one["Timestamp"] >= parameters.get("StartDate", one["Timestamp"])
        and one["Timestamp"] <= parameters.get("EndDate", one["Timestamp"])
    ]
    newest_first = parameters.get("ScanBy") != "TimestampAscending"
    fitting.sort(key=lambda one: one["Timestamp"], reverse=newest_first)
    begin = _read_token(parameters.get("NextToken"))
    limit = min(parameters.get("MaxRecords", PAGE_LIMIT), PAGE_LIMIT)
    result: Parameters = {"AlarmHistoryItems": fitting[begin : begin + limit]}
    if len(fitting) > begin + limit:
        result["NextToken"] = str(begin + limit)
    return result


OPERATIONS: dict[str, Operation] = {
    "DeleteAlarms": delete_alarms,
    "DescribeAlarmHistory": describe_alarm_history,
    "DescribeAlarms": describe_alarms,
    "DescribeAlarmsForMetric": describe_alarms_for_metric,
    "DisableAlarmActions": disable_alarm_actions,
    "EnableAlarmActions": enable_alarm_actions,
    "PutMetricAlarm": put_metric_alarm,
    "SetAlarmState": set_alarm_state,
}
"""Operations by name."""


def _read_token(token: str | None) -> int:
    if token is not None and not _TOKEN.fullmatch(token):
        raise ServiceError("InvalidNextToken", "The next token specified is invalid.")
    return int(token or 0)


def alarm_arn(call: Call, name: str) -> str:
    """The ARN of an alarm."""
    return f"arn:aws:cloudwatch:{call.region}:{call.account_id}:alarm:{name}"


def described(record: Record) -> Parameters:
    """An alarm as it is described."""
    request, state = record.request, record.state
    return {
        **{name: request[name] for name in _DESCRIBED if name in request},
        "AlarmArn": record.arn,
        "ActionsEnabled": request.get("ActionsEnabled", True),
        **{name: request.get(name, []) for name in _ACTIONS},
        "StateValue": record.status,
        "StateReason": state["reason"],
        "StateUpdatedTimestamp": when(state["updated_at"]),
        "StateTransitionedTimestamp": when(state["changed_at"]),
        "AlarmConfigurationUpdatedTimestamp": when(state["configured_at"]),
    }


def _check(parameters: Parameters) -> None:
    for member in _SEVERAL:
        if member in parameters:
            raise not_served(f"`{member}` of an alarm", "name one metric with `MetricName`")
    required = ("MetricName", "Namespace", "Period", "EvaluationPeriods", "Threshold")
    missing = [name for name in (*required, "ComparisonOperator") if name not in parameters]
    if missing:
        raise _invalid(f"The parameter {missing[0]} is required.", "MissingParameter")
    if ("Statistic" in parameters) == ("ExtendedStatistic" in parameters):
        raise _invalid(
            "Exactly one of Statistic and ExtendedStatistic must be given.",
            "InvalidParameterCombination",
        )
    function = parameters.get("Statistic") or parameters["ExtendedStatistic"]
    if statistic(function) is None:
        raise _invalid(f"The value {function} for parameter ExtendedStatistic is not supported.")
    if parameters["ComparisonOperator"] not in COMPARISONS:
        raise not_served(f"`{parameters['ComparisonOperator']}`", "compare with a threshold")
    if parameters.get("TreatMissingData", "missing") not in _TREATMENTS:
        raise _invalid(f"TreatMissingData must be one of {', '.join(_TREATMENTS)}.")
    _check_window(parameters)
    for arn in (arn for name in _ACTIONS for arn in parameters.get(name, [])):
        if not SCALING_POLICY.match(arn):
            raise not_served(f"the alarm action `{arn}`", "scaling policies are what it acts on")


def _check_window(parameters: Parameters) -> None:
    period_s, count = parameters["Period"], parameters["EvaluationPeriods"]
    if not is_period(period_s):
        raise _invalid(f"Period is {period_s}: it must be 10, 20, 30 or a multiple of 60.")
    if period_s * count > LONGEST_WINDOW_S:
        raise _invalid(
            f"Period times EvaluationPeriods must not exceed {LONGEST_WINDOW_S} seconds: it is "
            f"{period_s * count}."
        )
    if parameters.get("DatapointsToAlarm", 1) > count:
        raise _invalid("DatapointsToAlarm must not exceed EvaluationPeriods.")


def _all(call: Call) -> list[Record]:
    return sorted(call.backends.records.all(KIND), key=lambda one: one.name)


def _fits(record: Record, parameters: Parameters) -> bool:
    names = parameters.get("AlarmNames")
    actions = [arn for name in _ACTIONS for arn in record.request.get(name, [])]
    prefix = parameters.get("ActionPrefix")
    return (
        (not names or record.name in names)
        and record.name.startswith(parameters.get("AlarmNamePrefix", ""))
        and parameters.get("StateValue", record.status) == record.status
        and (prefix is None or any(arn.startswith(prefix) for arn in actions))
    )


def _dimensions(parameters: dict[str, Any]) -> dict[str, str]:
    return {one["Name"]: one["Value"] for one in parameters.get("Dimensions", [])}


def _history(record: Record, event: Event) -> Parameters:
    data = event.data
    summary = "Alarm updated"
    if event.type == "StateUpdate":
        summary = f"Alarm updated from {data['before']} to {data['after']}"
    return {
        "AlarmName": record.name,
        "AlarmType": "MetricAlarm",
        "Timestamp": when(event.at),
        "HistoryItemType": event.type,
        "HistorySummary": summary,
        "HistoryData": json.dumps(data),
    }


def _not_found(name: str) -> ServiceError:
    return ServiceError("ResourceNotFound", f"Alarm {name} does not exist", status=404)


def _invalid(message: str, code: str = "InvalidParameterValue") -> ServiceError:
    return ServiceError(code, message)
