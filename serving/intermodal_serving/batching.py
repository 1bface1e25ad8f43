"""Many requests as one call of the model, where that is proven to change nothing.

Requests whose arrays have the same type and the same inner shape are put together and the
prediction is taken apart again. Whether arrays are joined along their first axis (`[n, 64]` each)
or stacked along a new one (`[64]` each) is the model's business, and some models' answers depend on
what else is in the batch. So both are tried out first on requests that are answered one by one
anyway: what gives the same answers is used from then on, for that shape; if neither does, requests
of that shape stay alone.
"""

import logging
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from time import perf_counter
from typing import Any

from intermodal_serving.context import Context
from intermodal_serving.invocation import Invocation

logger = logging.getLogger("serve")

PROOFS = 3
"""So many batches of a shape must give the answers of single calls before single calls end."""

PLANS_LIMIT = 1024
"""So many shapes are told apart; requests of others stay alone."""

_RELATIVE, _ABSOLUTE = 1e-3, 1e-5
_GROW, _SHRINK = 1, 0.75

Key = tuple[str, Any, int, tuple[int, ...]]
Predict = Callable[[Any, Context], Any]


class Form(Enum):
    """How requests of one shape become one array."""

    JOIN = "joined along their first axis"
    STACK = "stacked along a new axis"


@dataclass(slots=True)
class _Plan:
    """What is known of one shape: the forms that may be right, and how often the first one was."""

    forms: list[Form]
    proofs: int = 0

    @property
    def is_proven(self) -> bool:
        return bool(self.forms) and self.proofs >= PROOFS


class Batcher:
    """Runs a model on batches.

    Args:
        predict: calls the model with data and the context of the first request.
        limit: most requests in a batch.
        goal_s: longest that a batch should take; None if only `limit` counts.
    """

    def __init__(self, predict: Predict, limit: int, goal_s: float | None) -> None:
        self._predict = predict
        self._most = limit
        self._goal_s = goal_s
        self._limit = float(limit if goal_s is None else 1)
        self._plans: dict[Key, _Plan] = {}
        self._begin: Callable[[], None] = lambda: None

    @property
    def limit(self) -> int:
        """How many requests the next batch may have; moves where there is a goal."""
        return int(self._limit)

    def predict(
        self, invocations: Sequence[Invocation], begin: Callable[[], None] = lambda: None
    ) -> None:
        """Give each invocation its prediction, or as outcome what was raised for it alone.

        Args:
            invocations: with their data.
            begin: called before each call of the model.
        """
        self._begin = begin
        groups: defaultdict[Key | None, list[Invocation]] = defaultdict(list)
        for invocation in invocations:
            groups[_key(invocation.data)].append(invocation)
        for key, group in groups.items():
            if key is None or len(group) == 1:
                self._one_by_one(group)
            else:
                self._together(key, group)

    def _together(self, key: Key, group: Sequence[Invocation]) -> None:
        plan = self._plans.get(key)
        if plan is None and len(self._plans) < PLANS_LIMIT:
            forms = [Form.JOIN, Form.STACK] if key[2] > 1 else [Form.STACK]
            plan = self._plans[key] = _Plan(forms)
        if plan is None or not plan.forms:
            self._one_by_one(group)
        elif plan.is_proven:
            self._as_batch(plan.forms[0], group)
        else:
            self._prove(key, plan, group)

    def _as_batch(self, form: Form, group: Sequence[Invocation]) -> None:
        try:
            started = perf_counter()
            predictions = self._call(form, [each.data for each in group], group[0].context)
            took_s = perf_counter() - started
        except BaseException:  # noqa: BLE001 - one by one, the culprit fails alone and is logged
            predictions = None
        if predictions is None:
            self._one_by_one(group)
            return
        for invocation, prediction in zip(group, predictions, strict=True):
            invocation.prediction, invocation.predict_s = prediction, took_s
        self._learn(len(group), took_s)

    def _prove(self, key: Key, plan: _Plan, group: Sequence[Invocation]) -> None:
        self._one_by_one(group)
        answered = [(each.data, each.prediction) for each in group if each.outcome is None]
        # Requests that are all alike say nothing of what one does to another, so that some more
        # that differ take part.
        try:
            others = _unlike(answered[0][0]) if answered else []
            answered += [(other, self._predict(other, group[0].context)) for other in others]
        except BaseException:  # noqa: BLE001 - the model takes no such data: try again with others
            return
        if not others:
            return
        arrays = [data for data, _ in answered]
        while plan.forms:
            try:
                predictions = self._call(plan.forms[0], arrays, group[0].context)
                is_right = predictions is not None and all(
                    _are_close(prediction, alone)
                    for prediction, (_, alone) in zip(predictions, answered, strict=True)
                )
            except BaseException:  # noqa: BLE001 - then this form is not the right one
                is_right = False
            if is_right:
                plan.proofs += 1
                if plan.is_proven:
                    logger.info("requests of shape %s are %s", key[3], plan.forms[0].value)
                return
            plan.forms.pop(0)
            plan.proofs = 0
        logger.warning(
            "requests of shape %s are not batched: the model's answers to a batch are not those "
            "to its requests alone",
            key[3],
        )

    def _one_by_one(self, group: Sequence[Invocation]) -> None:
        for invocation in group:
            if invocation.is_abandoned:
                continue
            self._begin()
            started = perf_counter()
            try:
                invocation.prediction = self._predict(invocation.data, invocation.context)
            except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
                invocation.outcome = error
            invocation.predict_s = perf_counter() - started
        if len(group) == 1:
            self._learn(1, group[0].predict_s)

    def _call(self, form: Form, arrays: Sequence[Any], context: Context) -> list[Any] | None:
        if form is Form.STACK:
            if any(array.shape != arrays[0].shape for array in arrays):
                return None
            lengths = [1] * len(arrays)
        else:
            lengths = [len(array) for array in arrays]
        result = self._predict(_combine(form, arrays), context)
        return _split(result, lengths, drop_axis=form is Form.STACK)

    def _learn(self, size: int, took_s: float) -> None:
        if self._goal_s is None:
            return
        if took_s > self._goal_s:
            self._limit = max(1.0, min(self._limit, size) * _SHRINK)
        elif size >= self.limit:
            self._limit = min(self._most, self._limit + _GROW)


def _key(data: Any) -> Key | None:
    """What requests must share to be one batch; None for data that is no array."""
    shape = getattr(data, "shape", None)
    if shape is None or not len(shape) or not hasattr(data, "dtype"):
        return None
    kind = type(data).__module__.partition(".")[0]
    if kind not in {"torch", "numpy"} or 0 in shape:
        return None
    inner = tuple(shape) if len(shape) == 1 else tuple(shape[1:])
    return kind, (data.dtype, getattr(data, "device", None)), len(shape), inner


def _combine(form: Form, arrays: Sequence[Any]) -> Any:
    library = sys.modules[type(arrays[0]).__module__.partition(".")[0]]
    if form is Form.STACK:
        return library.stack(arrays)
    return library.cat(arrays) if library.__name__ == "torch" else library.concatenate(arrays)


def _split(result: Any, lengths: Sequence[int], *, drop_axis: bool) -> list[Any] | None:
    """The parts of a batch's prediction; None if it cannot be told which part is whose."""
    if isinstance(result, dict):
        parts = {
            name: _split(value, lengths, drop_axis=drop_axis) for name, value in result.items()
        }
        if any(part is None for part in parts.values()):
            return None
        return [
            {name: part[place] for name, part in parts.items() if part is not None}
            for place in range(len(lengths))
        ]
    if isinstance(result, tuple):
        columns = [_split(value, lengths, drop_axis=drop_axis) for value in result]
        if any(column is None for column in columns):
            return None
        return [
            tuple(column[place] for column in columns if column is not None)
            for place in range(len(lengths))
        ]
    shape = getattr(result, "shape", None)
    size = len(result) if isinstance(result, list) else shape[0] if shape else -1
    if size != sum(lengths):
        return None
    kind = type(result).__module__.partition(".")[0]
    if not isinstance(result, list) and kind not in {"torch", "numpy"}:
        return None
    if drop_axis:
        return list(result)
    ends, end = [], 0
    for length in lengths:
        end += length
        ends.append((end - length, end))
    return [result[start:stop] for start, stop in ends]


def _unlike(data: Any) -> list[Any]:
    """Data of the same shape and range that differs, in what it adds up to and in its order.

    A model whose answers depend on its neighbours could be blind to one of the two.
    """
    library = sys.modules[type(data).__module__.partition(".")[0]]
    least = library.full_like(data, data.min())
    made = [least, library.flip(data, (-1,)), library.zeros_like(data), library.ones_like(data)]
    return [other for other in made if not bool((other == data).all())][:2]


def _are_close(one: Any, other: Any) -> bool:
    """Whether two predictions are the same but for rounding."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_are_close(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_are_close, one, other))
    if not hasattr(one, "shape"):
        return bool(one == other)
    if tuple(one.shape) != tuple(getattr(other, "shape", (None,))):
        return False
    if getattr(one, "dtype", None) is not None and "float" not in str(one.dtype):
        return bool((one == other).all())
    tolerance = abs(other) * _RELATIVE + _ABSOLUTE
    both_nan = (one != one) & (other != other)
    return bool((both_nan | (abs(one - other) <= tolerance)).all())
