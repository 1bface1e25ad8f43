"""Search over training jobs and the model registry, by what Describe shows of them.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Search.html
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from intermodal_engine.lifecycle import training_instances
from intermodal_engine.services.answers import not_served, page_of
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.services.sagemaker import model_package_groups, model_packages
from intermodal_engine.services.sagemaker.resources import invalid
from intermodal_engine.services.sagemaker.training_jobs import describe_training_job
from intermodal_engine.store.records import Record

_Describe = Callable[[Call, Record], Parameters]


def search(call: Call, parameters: Parameters) -> Parameters:
    """What fits an expression, newest first unless asked otherwise."""
    kind, describe = _resource(parameters)
    expression = parameters.get("SearchExpression", {})
    found = [
        one
        for record in call.backends.records.all(kind)
        if _fits(one := _described(call, record, describe), expression)
    ]
    by = parameters.get("SortBy", "CreationTime")
    descending = parameters.get("SortOrder", "Descending") == "Descending"
    found.sort(key=lambda one: _order(_at(one, by)))
    if descending:
        found.reverse()
    limit = parameters.get("MaxResults", 10)
    page, more = page_of(found, parameters.get("NextToken"), limit, invalid)
    return {
        "Results": [{parameters["Resource"]: one} for one in page],
        "TotalHits": {"Value": len(found), "Relation": "EqualTo"},
        **more,
    }


OPERATIONS: dict[str, Operation] = {"Search": search}


def _resource(parameters: Parameters) -> tuple[str, _Describe]:
    if parameters.get("VisibilityConditions"):
        raise not_served("`VisibilityConditions` of a search", "leave it out")
    resources: Mapping[str, tuple[str, _Describe]] = {
        "TrainingJob": (
            training_instances.KIND,
            lambda call, one: describe_training_job(call, {"TrainingJobName": one.name}),
        ),
        "ModelPackage": (
            model_package_groups.PACKAGE_KIND,
            lambda _call, one: model_packages.described(one),
        ),
        "ModelPackageGroup": (
            model_package_groups.KIND,
            lambda _call, one: model_package_groups.described(one),
        ),
    }
    found = resources.get(parameters["Resource"])
    if found is None:
        raise not_served(
            f"a search for `{parameters['Resource']}`", f"it searches {', '.join(resources)}"
        )
    return found


def _described(call: Call, record: Record, describe: _Describe) -> Parameters:
    tags = call.backends.records.tags(record.arn)
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    return {**describe(call, record), "Tags": listed}


def _fits(one: Parameters, expression: Mapping[str, Any]) -> bool:
    if expression.get("NestedFilters"):
        raise not_served("`NestedFilters` of a search", "use `Filters`")
    parts = [
        *(_passes(one, condition) for condition in expression.get("Filters", [])),
        *(_fits(one, inner) for inner in expression.get("SubExpressions", [])),
    ]
    return any(parts) if parts and expression.get("Operator") == "Or" else all(parts)


def _passes(one: Parameters, condition: Mapping[str, str]) -> bool:
    value = _at(one, condition["Name"])
    operator = condition.get("Operator", "Equals")
    if operator in {"Exists", "NotExists"}:
        return (value is not None) == (operator == "Exists")
    wanted = condition.get("Value", "")
    if value is None:
        return operator == "NotEquals"
    return _OPERATORS[operator](value, wanted)


_OPERATORS: Mapping[str, Callable[[Any, str], bool]] = {
    "Equals": lambda value, wanted: _order(value) == _order(_like(value, wanted)),
    "NotEquals": lambda value, wanted: _order(value) != _order(_like(value, wanted)),
    "GreaterThan": lambda value, wanted: _order(value) > _order(_like(value, wanted)),
    "GreaterThanOrEqualTo": lambda value, wanted: _order(value) >= _order(_like(value, wanted)),
    "LessThan": lambda value, wanted: _order(value) < _order(_like(value, wanted)),
    "LessThanOrEqualTo": lambda value, wanted: _order(value) <= _order(_like(value, wanted)),
    "Contains": lambda value, wanted: wanted in str(value),
    "In": lambda value, wanted: any(
        _order(value) == _order(_like(value, one.strip())) for one in wanted.split(",")
    ),
}


def _at(one: Any, path: str) -> Any:
    """A property by its dotted name; `Tags.KEY` is a tag's value."""
    name, _, rest = path.partition(".")
    if name == "Tags" and rest:
        return next((tag["Value"] for tag in one["Tags"] if tag["Key"] == rest), None)
    value = one.get(name) if isinstance(one, dict) else None
    return _at(value, rest) if rest else value


def _like(value: Any, wanted: str) -> Any:
    """What a filter says, as the kind of thing that it is compared with.

    Raises:
        ServiceError: it is no such thing.
    """
    try:
        if isinstance(value, bool):
            return wanted.lower() == "true"
        if isinstance(value, (int, float)):
            return float(wanted)
        if isinstance(value, datetime):
            read = datetime.fromisoformat(wanted)
            return read if read.tzinfo else read.replace(tzinfo=UTC)
    except ValueError as error:
        raise invalid(f"The filter value {wanted!r} cannot be compared: {error}") from error
    return wanted


def _order(value: Any) -> tuple[int, Any]:
    """Something by which any two values can be sorted."""
    if isinstance(value, datetime):
        return (1, value.timestamp())
    if isinstance(value, (int, float)):
        return (1, float(value))
    return (0, "") if value is None else (2, str(value))
