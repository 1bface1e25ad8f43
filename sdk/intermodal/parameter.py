"""What a tuning job may choose a hyperparameter from."""

import json
from typing import Any, ClassVar


class ParameterRange:
    """Numbers between two bounds; subclasses say which.

    Args:
        min_value: the smallest.
        max_value: the largest.
        scaling_type: `Auto`, `Linear`, `Logarithmic` or `ReverseLogarithmic`.
    """

    kind: ClassVar[str]

    def __init__(self, min_value: float, max_value: float, scaling_type: str = "Auto") -> None:
        self.min_value = min_value
        self.max_value = max_value
        self.scaling_type = scaling_type

    def is_valid(self, value: Any) -> bool:
        """Whether the value lies in the range."""
        return bool(self.min_value <= value <= self.max_value)

    def problem(self) -> str | None:
        """Why AWS would refuse the range, or `None`."""
        if self.min_value > self.max_value:
            return f"its `min_value`, {self.min_value}, is above its `max_value`, {self.max_value}"
        return None

    def request(self, name: str, *, is_json: bool) -> dict[str, Any]:  # noqa: ARG002 - of numbers both are one
        """The entry as CreateHyperParameterTuningJob takes it.

        Args:
            name: the hyperparameter.
            is_json: whether the training program decodes values.
        """
        return {
            "Name": name,
            "MinValue": str(self.min_value),
            "MaxValue": str(self.max_value),
            "ScalingType": self.scaling_type,
        }


class ContinuousParameter(ParameterRange):
    """Any number between two bounds; see `ParameterRange`."""

    kind: ClassVar[str] = "Continuous"


class IntegerParameter(ParameterRange):
    """Whole numbers between two bounds; see `ParameterRange`."""

    kind: ClassVar[str] = "Integer"

    def problem(self) -> str | None:
        """Why AWS would refuse the range, or `None`."""
        for bound in (self.min_value, self.max_value):
            if not isinstance(bound, int):
                return f"{bound!r} is no whole number; take a `ContinuousParameter`"
        return super().problem()


class CategoricalParameter(ParameterRange):
    """One of several values.

    Args:
        values: all of them, or a single one.
    """

    kind: ClassVar[str] = "Categorical"

    def __init__(self, values: Any) -> None:
        given = values if isinstance(values, list) else [values]
        self.values = [str(value) for value in given]

    def is_valid(self, value: Any) -> bool:
        """Whether the value is one of them."""
        return value in self.values

    def problem(self) -> str | None:
        """Why AWS would refuse the values, or `None`."""
        return None if self.values else "it has no values"

    def request(self, name: str, *, is_json: bool) -> dict[str, Any]:
        """The entry as CreateHyperParameterTuningJob takes it; see `ParameterRange.request`."""
        values = [json.dumps(value) for value in self.values] if is_json else list(self.values)
        return {"Name": name, "Values": values}


KINDS: tuple[type[ParameterRange], ...] = (
    ContinuousParameter,
    CategoricalParameter,
    IntegerParameter,
)


def ranges_request(ranges: dict[str, ParameterRange], *, is_json: bool) -> dict[str, Any]:
    """`ParameterRanges` as CreateHyperParameterTuningJob takes it."""
    return {
        f"{kind.kind}ParameterRanges": [
            one.request(name, is_json=is_json)
            for name, one in ranges.items()
            if one.kind == kind.kind
        ]
        for kind in KINDS
    }


def described_ranges(described: dict[str, Any]) -> dict[str, ParameterRange]:
    """The ranges that DescribeHyperParameterTuningJob tells."""
    found: dict[str, ParameterRange] = {}
    for entry in described.get("CategoricalParameterRanges", []):
        found[entry["Name"]] = CategoricalParameter(list(entry["Values"]))
    for entry in described.get("ContinuousParameterRanges", []):
        bounds = float(entry["MinValue"]), float(entry["MaxValue"])
        found[entry["Name"]] = ContinuousParameter(*bounds, entry.get("ScalingType", "Auto"))
    for entry in described.get("IntegerParameterRanges", []):
        whole = int(entry["MinValue"]), int(entry["MaxValue"])
        found[entry["Name"]] = IntegerParameter(*whole, entry.get("ScalingType", "Auto"))
    return found
