"""The argument names of the vendor's SDK v1, and what they are called now.

A name of v1 is taken with a `DeprecationWarning` that shows the new name; both at once is an error.
"""

from collections.abc import Iterable, Mapping
from typing import Any

ESTIMATOR_NAMES: Mapping[str, str] = {
    "train_instance_count": "instance_count",
    "train_instance_type": "instance_type",
    "train_max_run": "max_run",
    "train_max_wait": "max_wait",
    "train_use_spot_instances": "use_spot_instances",
    "train_volume_size": "volume_size",
    "train_volume_kms_key": "volume_kms_key",
    "image_name": "image_uri",
    "distributions": "distribution",
}
MODEL_NAMES: Mapping[str, str] = {"image": "image_uri", "image_name": "image_uri"}
PREDICTOR_NAMES: Mapping[str, str] = {"endpoint": "endpoint_name"}


class WrittenArguments(dict[str, Any]):
    """Arguments under their present names, which remember how the user wrote them."""

    def __init__(self, given: Mapping[str, Any], renames: Mapping[str, str]) -> None:
        super().__init__()
        self.as_written: dict[str, str] = {}
        for name, value in given.items():
            present = renames.get(name, name)
            if present != name:
                _warn(name, present)
            if present in self:
                raise TypeError(
                    f"`{name}` and `{present}` are the same argument; give `{present}` only"
                )
            self[present] = value
            self.as_written[present] = name

    def take(self, name: str, value: Any) -> Any:
        """The named parameter's value: as given under its present name, else under its old one."""
        if name not in self:
            return value
        if value is not None:
            raise TypeError(
                f"`{self.as_written[name]}` and `{name}` are the same argument; give `{name}` only"
            )
        return self.pop(name)


def refuse_unknown(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise a `TypeError` that lists every unknown argument with the nearest known one."""
    import difflib

    known = list(known)
    unknown = [name for name in given if name not in known]
    if not unknown:
        return
    guesses = []
    for name in unknown:
        near = difflib.get_close_matches(name, known, n=1)
        guesses.append(f"`{name}`" + (f" (did you mean `{near[0]}`?)" if near else ""))
    raise TypeError(f"{what}() has no argument {', '.join(guesses)}")


def _warn(old: str, new: str) -> None:
    import warnings

    # The warning points at the first line outside this package, whatever the depth of subclasses.
    warnings.warn(
        f"`{old}` is the name of the vendor's SDK v1; write `{new}`",
        DeprecationWarning,
        stacklevel=_depth_of_caller(),
    )


def _depth_of_caller() -> int:
    import sys

    depth = 1
    frame = sys._getframe(1)
    while frame.f_back and str(frame.f_globals.get("__name__", "")).startswith("intermodal."):
        frame = frame.f_back
        depth += 1
    return depth
