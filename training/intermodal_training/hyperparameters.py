"""How hyperparameters travel: strings in a file, Python values, arguments of the script.

The encoding of arguments is the vendor's, so that a script's `argparse` needs no change.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from intermodal_training.errors import HyperparameterError

PROGRAM = "sagemaker_program"
SUBMIT_DIRECTORY = "sagemaker_submit_directory"
REGION = "sagemaker_region"
JOB_NAME = "sagemaker_job_name"
LOG_LEVEL = "sagemaker_container_log_level"

_PLATFORM_PREFIX = "sagemaker_"
_PLATFORM = frozenset(
    {
        PROGRAM,
        SUBMIT_DIRECTORY,
        REGION,
        JOB_NAME,
        LOG_LEVEL,
        "sagemaker_enable_cloudwatch_metrics",
        "sagemaker_s3_output",
        "default_user_module_name",
        "_tuning_objective_metric",
    }
)


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """The decoded hyperparameters, by whom they are for.

    Attributes:
        user: for the script.
        framework: `sagemaker_…` ones that choose and tune a launcher.
        platform: `sagemaker_…` ones for `train` itself: program, submit directory, ….
    """

    user: Mapping[str, Any]
    framework: Mapping[str, Any]
    platform: Mapping[str, Any]


def decode(sent: Mapping[str, str]) -> Hyperparameters:
    """Decodes each value as JSON where it is JSON, keeps it as it is where not, and sorts them.

    Raises:
        HyperparameterError: a script cannot be given one.
    """
    for name, text in sent.items():
        # JSON may spell it out: the script's arguments and variables have the decoded value.
        unfit = _unfit(name + _text(_value(text)))
        if unfit is not None:
            raise HyperparameterError(
                f"the hyperparameter {name!r} has {unfit} in it, which neither an "
                "argument nor an environment variable can hold",
                hint="encode the value, for example as base64, or put it into a channel",
            )
    values = {name: _value(text) for name, text in sent.items()}
    framework = {
        name: value
        for name, value in values.items()
        if name.startswith(_PLATFORM_PREFIX) and name not in _PLATFORM
    }
    return Hyperparameters(
        user={n: v for n, v in values.items() if n not in _PLATFORM and n not in framework},
        framework=framework,
        platform={n: v for n, v in values.items() if n in _PLATFORM},
    )


def to_arguments(hyperparameters: Mapping[str, Any]) -> list[str]:
    """Turns hyperparameters into the script's arguments.

    Sorted by name: `--epochs 3`, `-x 1` for a name of one letter, `--flag True` for `true`,
    `--none ''` for `null`, `--list '[1, 2]'`, `--dict a=1,b=x` with sorted keys.
    """
    arguments: list[str] = []
    for name in sorted(hyperparameters):
        arguments += [f"-{name}" if len(name) == 1 else f"--{name}", _text(hyperparameters[name])]
    return arguments


def _unfit(text: str) -> str | None:
    """What of a text no program can be given; None where all is well."""
    if "\0" in text:
        return "a NUL character (\\x00)"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"{text[error.start]!r}, half a pair of surrogates,"
    return None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # the latter of brackets within brackets without end
        return text


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return ",".join(f"{key}={value[key]}" for key in sorted(value))
    return str(value)
