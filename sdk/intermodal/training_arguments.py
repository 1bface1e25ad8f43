"""What a user said about a training job, in names of v1 or v2, and what AWS would refuse of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intermodal.defaults import TRAINING_JOB, defaults_of, fill
from intermodal.errors import InvalidArgumentsError
from intermodal.inputs import Channel, Inputs, TrainingInput, channels
from intermodal.renamed import ESTIMATOR_NAMES, WrittenArguments, refuse_unknown
from intermodal.source import UserCode, as_code
from intermodal.training_options import (
    LOCAL_INSTANCE_TYPES,
    Findings,
    TrainingOptions,
    check_channel_names,
    check_hyperparameters,
    check_instances,
    check_job_name,
    check_options,
)
from intermodal.which_session import session_for

if TYPE_CHECKING:
    from intermodal.git_code import Clone
    from intermodal.session import Session

TOOLKIT_HYPERPARAMETERS = (
    "sagemaker_submit_directory",
    "sagemaker_program",
    "sagemaker_container_log_level",
    "sagemaker_job_name",
    "sagemaker_region",
)
"""What the training program is told about the script, beside the script's own hyperparameters."""

_OPTION_NAMES = tuple(field.name for field in fields(TrainingOptions))
_MODEL_CONTENT_TYPE = "application/x-sagemaker-model"


class TrainingArguments(TrainingOptions):
    """What a user said about a training job.

    Args:
        role: what the job runs as; a name or an ARN.
        instance_count: how many instances.
        instance_type: as in `ml.p3.2xlarge`; `local` or `local_gpu` start the local engine.
        image_uri: the training image.
        sagemaker_session: boto3's own resolution where `None`.
        hyperparameters: the script's arguments.
        entry_point: the script.
        source_dir: the folder that the script lies in, or an `s3://…/sourcedir.tar.gz`.
        dependencies: further files and folders that lie beside the script in the container.
        git_config: the repository that the code's paths are in; see `git_code`.
        code_location: S3 prefix for the code; the output's bucket where `None`.
        container_log_level: of the training program, as Python's `logging` counts.
        options: see `TrainingOptions`; the names of the vendor's SDK v1 are taken with a warning.
    """

    def __init__(
        self,
        role: str | None = None,
        instance_count: int | None = None,
        instance_type: str | None = None,
        *,
        image_uri: str | None = None,
        sagemaker_session: "Session | None" = None,
        hyperparameters: Mapping[str, Any] | None = None,
        entry_point: str | Path | None = None,
        source_dir: str | Path | None = None,
        dependencies: Sequence[str | Path] | None = None,
        git_config: Mapping[str, Any] | None = None,
        code_location: str | None = None,
        container_log_level: int = 20,
        **options: Any,
    ) -> None:
        written = WrittenArguments(options, ESTIMATOR_NAMES)
        self.instance_count: int | None = written.take("instance_count", instance_count)
        self.instance_type: str | None = written.take("instance_type", instance_type)
        self.image_uri: str | None = written.take("image_uri", image_uri)
        refuse_unknown(type(self).__name__, written, _OPTION_NAMES)
        super().__init__(**written)
        self._as_written = written.as_written
        self._session = sagemaker_session
        self._hyperparameters: Any = {} if hyperparameters is None else hyperparameters
        self.role = role
        self.entry_point = entry_point
        self.source_dir = source_dir
        self.dependencies = list(dependencies or [])
        self.git_config = git_config
        self._clone: Clone | None = None
        self.code_location = code_location
        self.container_log_level = container_log_level
        fill(self, TRAINING_JOB, defaults_of(sagemaker_session))

    @property
    def sagemaker_session(self) -> "Session":
        """The session, made when it is first needed."""
        if self._session is None:
            self._session = session_for(self.instance_type, None)
        return self._session

    @sagemaker_session.setter
    def sagemaker_session(self, session: "Session") -> None:
        self._session = session

    @property
    def wire_instance_type(self) -> str | None:
        """The instance type as requests name it: `local` has a name there too."""
        return LOCAL_INSTANCE_TYPES.get(self.instance_type or "", self.instance_type)

    @property
    def code(self) -> UserCode | None:
        """The user's code, or `None` for an image that brings its own.

        Raises:
            CodeFetchError: git could not fetch it.
        """
        if self.git_config is None or self.entry_point is None:
            return as_code(self.entry_point, self.source_dir, self.dependencies)
        if self._clone is None or self._clone.config != self.git_config:
            from intermodal.git_code import cloned

            self._clone = cloned(self.git_config)
        return self._clone.code(self.entry_point, self.source_dir, self.dependencies)

    def set_hyperparameters(self, **values: Any) -> None:
        """Add or replace hyperparameters."""
        self._hyperparameters = {**self._hyperparameters, **values}

    def hyperparameters(self) -> dict[str, Any]:
        """The hyperparameters as the user gave them."""
        return dict(self._hyperparameters)

    # What subclasses say

    def training_image_uri(self) -> str:
        """The training image.

        Raises:
            ValueError: it cannot be told.
        """
        if not self.image_uri:
            raise ValueError("`image_uri` is missing: which training image?")
        return self.image_uri

    def launch_hyperparameters(self) -> dict[str, Any]:
        """What tells the training program how to launch the script on several hosts or devices."""
        return {}

    def wants_metrics(self) -> bool | None:
        """Whether metrics are kept as a time series; `None` says nothing about it."""
        return self.enable_sagemaker_metrics

    # What AWS would refuse

    def checked_channels(self, inputs: Inputs | None, job_name: str | None) -> list[Channel]:
        """The channels that `fit(inputs)` means.

        Raises:
            InvalidArgumentsError: with everything that is wrong with the job.
        """
        findings = Findings(self._as_written)
        if not self.role:
            findings.add("role", "is missing; give a role's name or ARN, or get_execution_role()")
        if job_name is not None:
            check_job_name(findings, "job_name", job_name)
        self._check_instances(findings)
        check_options(findings, self)
        self._check_code_and_image(findings)
        self._check_hyperparameters(findings)
        wanted = self._check_inputs(findings, inputs)
        if findings.problems:
            raise InvalidArgumentsError(f"{type(self).__name__}.fit", findings.problems)
        return wanted

    def _check_instances(self, findings: Findings) -> None:
        check_instances(findings, self.instance_count, self.instance_type, self.instance_groups)

    def _check_code_and_image(self, findings: Findings) -> None:
        if self.git_config is not None:
            from intermodal.git_code import git_problems

            problems = git_problems(self.git_config, self.entry_point)
            findings.problems += problems
            if problems:
                return
        code = self.code
        if code is not None:
            findings.problems += code.problems()
        elif self.source_dir is not None:
            findings.add("entry_point", "is missing: which script of `source_dir`?")
        from intermodal_contract.instance import UnknownInstanceTypeError

        try:
            self.training_image_uri()
        except UnknownInstanceTypeError:
            # Said already, with the argument's name.
            return
        except ValueError as error:
            findings.problems.append(str(error))

    def _check_hyperparameters(self, findings: Findings) -> None:
        values = self._hyperparameters
        if not findings.is_of("hyperparameters", values, Mapping, "a dictionary"):
            return
        unfit = [(name, value) for name, value in values.items() if not _is_json(value)]
        if self.entry_point is not None and unfit:
            for name, value in unfit:
                kind = type(value).__name__
                findings.add(
                    "hyperparameters",
                    f"`{name}` is a {kind}, which JSON cannot hold; give a number, text or list",
                )
            return
        sent = {str(name): str(value) for name, value in values.items()}
        if self.entry_point is not None:
            sent = {str(name): json.dumps(value) for name, value in values.items()}
            sent |= dict.fromkeys([*TOOLKIT_HYPERPARAMETERS, *self.launch_hyperparameters()], "")
        check_hyperparameters(findings, sent)

    def _check_inputs(self, findings: Findings, inputs: Inputs | None) -> list[Channel]:
        try:
            wanted = channels(inputs)
        except TypeError as error:
            findings.problems.append(str(error))
            return []
        if self.model_uri:
            pretrained = TrainingInput(
                self.model_uri, content_type=_MODEL_CONTENT_TYPE, input_mode="File"
            )
            wanted += channels({self.model_channel_name: pretrained})
        check_channel_names(findings, [channel.name for channel in wanted])
        for channel in wanted:
            if channel.local_path is not None and not Path(channel.local_path).exists():
                findings.add(
                    "inputs",
                    f"channel `{channel.name}`: `{channel.local_path}` is neither S3 URI nor path",
                )
        return wanted


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
