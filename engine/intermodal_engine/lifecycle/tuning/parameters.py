"""What is tuned: ranges, their scales, and the text that a training job gets. Without effects.

Every strategy works on the unit interval: 0 is a range's least value, 1 its greatest, on its scale.
https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-define-ranges.html
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

_WIDE = 1000.0
"""A range of `Auto` scale whose ends are so far apart is tried by orders of magnitude."""


_EXACT = 1 << 53
"""Beyond it not every integer is a float."""


class InvalidRangeError(ValueError):
    """A range is none; the message is the service's refusal."""


class Parameter(Protocol):
    """One hyperparameter that is tuned."""

    @property
    def name(self) -> str:
        """The hyperparameter's name."""

    def text_at(self, place: float) -> str:
        """The value at a place of the unit interval, as the training job gets it."""

    def place_of(self, text: str) -> float | None:
        """Where a value lies; None outside the range."""


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of some words."""

    name: str
    values: tuple[str, ...]

    def text_at(self, place: float) -> str:
        """Each value has an equal part of the interval."""
        return self.values[min(int(place * len(self.values)), len(self.values) - 1)]

    def place_of(self, text: str) -> float | None:
        """The middle of the value's part."""
        if text not in self.values:
            return None
        return (self.values.index(text) + 0.5) / len(self.values)


@dataclass(frozen=True, slots=True)
class Numeric:
    """A number between two, both included.

    Attributes:
        name: the hyperparameter's name.
        least: smallest value.
        greatest: largest value.
        scale: `Linear`, `Logarithmic` or `ReverseLogarithmic`.
        is_whole: only integers.
    """

    name: str
    least: float
    greatest: float
    scale: str = "Linear"
    is_whole: bool = False

    def text_at(self, place: float) -> str:
        """The value on the range's scale."""
        low, high = self._ends()
        value = self._unscaled(low + place * (high - low))
        if self.is_whole:
            return str(min(int(self.greatest), max(int(self.least), round(value))))
        return repr(min(self.greatest, max(self.least, value)))

    def place_of(self, text: str) -> float | None:
        """The value's place on the range's scale."""
        try:
            value = float(text)
        except ValueError:
            return None
        if not self.least <= value <= self.greatest:
            return None
        low, high = self._ends()
        return (self._scaled(value) - low) / (high - low)

    def _ends(self) -> tuple[float, float]:
        """On the scale; half an integer more on each side, so that all are as likely."""
        if self.is_whole and self.scale == "Linear":
            return self.least - 0.5, self.greatest + 0.5
        return self._scaled(self.least), self._scaled(self.greatest)

    def _scaled(self, value: float) -> float:
        if self.scale == "Logarithmic":
            return math.log(value)
        if self.scale == "ReverseLogarithmic":
            return -math.log1p(-value)
        return value

    def _unscaled(self, value: float) -> float:
        if self.scale == "Logarithmic":
            return math.exp(value)
        if self.scale == "ReverseLogarithmic":
            return -math.expm1(-value)
        return value


def parameters_of(ranges: Mapping[str, Any]) -> list[Parameter]:
    """The parameters of `ParameterRanges`.

    Raises:
        InvalidRangeError: one is none, or two have one name.
    """
    found: list[Parameter] = [
        *(_numeric(one, is_whole=True) for one in ranges.get("IntegerParameterRanges", [])),
        *(_numeric(one, is_whole=False) for one in ranges.get("ContinuousParameterRanges", [])),
        *(_categorical(one) for one in ranges.get("CategoricalParameterRanges", [])),
    ]
    names = [one.name for one in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidRangeError(f"Hyperparameters are tuned twice: {', '.join(twice)}")
    if not found:
        raise InvalidRangeError("There is no range: at least one hyperparameter must be tuned")
    return found


def _categorical(entry: Mapping[str, Any]) -> Categorical:
    values = tuple(entry["Values"])
    if len(set(values)) < len(values):
        raise InvalidRangeError(f"Values of {entry['Name']} must be unique: {', '.join(values)}")
    return Categorical(entry["Name"], values)


def _numeric(entry: Mapping[str, str], *, is_whole: bool) -> Numeric:
    name = entry["Name"]
    kind = int if is_whole else float
    try:
        least, greatest = kind(entry["MinValue"]), kind(entry["MaxValue"])
    except ValueError:
        word = "an integer" if is_whole else "a number"
        raise InvalidRangeError(
            f"MinValue and MaxValue of {name} must each be {word}: {entry['MinValue']!r}, "
            f"{entry['MaxValue']!r}"
        ) from None
    if is_whole and max(-least, greatest) > _EXACT:
        raise InvalidRangeError(f"MinValue and MaxValue of {name} must be within 2^53 of 0")
    if not math.isfinite(greatest - least) or least >= greatest:
        raise InvalidRangeError(
            f"MinValue of {name} must be less than its MaxValue, and by a finite number: "
            f"{entry['MinValue']}, {entry['MaxValue']}"
        )
    scale = entry.get("ScalingType", "Auto")
    if scale == "Logarithmic" and least <= 0:
        raise InvalidRangeError(f"A Logarithmic range must be greater than 0: {name}")
    if scale == "ReverseLogarithmic" and (is_whole or least < 0 or greatest >= 1):
        raise InvalidRangeError(
            f"A ReverseLogarithmic range must be continuous and within 0 and 1 (1 excluded): {name}"
        )
    if scale == "Auto":
        scale = "Logarithmic" if least > 0 and greatest / least >= _WIDE else "Linear"
    return Numeric(name, least, greatest, scale, is_whole=is_whole)
