"""What lies where below `/opt/ml` while a processing job runs.

AWS pages: build-your-own-processing-container (byoc-config, byoc-input-and-output, byoc-metadata).
"""

import codecs
import json
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from intermodal_contract.errors import IntermodalError
from intermodal_contract.training_files import ML_ROOT, ResourceConfig, resource_config_entries

EXIT_MESSAGE_LIMIT = 1024
"""So many bytes of the message files, one after the other, become the job's `ExitMessage`."""

PROCESSING_ROOT = PurePosixPath("/opt/ml/processing")
"""Every input's and every output's `LocalPath` lies below it."""


class InvalidLocalPathError(IntermodalError):
    """A `LocalPath` at which no input or output of a processing job can be."""


class ExitMessageError(IntermodalError):
    """A message file that holds no text."""


@dataclass(frozen=True, slots=True)
class ProcessingPaths:
    """Where each file of a processing job lies.

    Attributes:
        root: `/opt/ml`, or the folder that stands for it.
    """

    root: Path = ML_ROOT

    @property
    def config(self) -> Path:
        """Folder of the configuration files; not below `input`, as a training job's is."""
        return self.root / "config"

    @property
    def job_config_file(self) -> Path:
        """The job as it was asked for, in the words of CreateProcessingJob."""
        return self.config / "processingjobconfig.json"

    @property
    def resource_config_file(self) -> Path:
        """This host and all hosts."""
        return self.config / "resourceconfig.json"

    @property
    def processing(self) -> Path:
        """Inputs and outputs, at their local paths."""
        return self.root / "processing"

    @property
    def output(self) -> Path:
        """Folder of the message file."""
        return self.root / "output"

    @property
    def message_file(self) -> Path:
        """What the program says of itself; it becomes the job's `ExitMessage`."""
        return self.output / "message"

    def local(self, path: PurePosixPath) -> Path:
        """Where a local path of the request is."""
        return self.root / path.relative_to(ML_ROOT)


def parse_local_path(text: str) -> PurePosixPath:
    """A `LocalPath` of a request.

    Raises:
        InvalidLocalPathError: it is not below `/opt/ml/processing/`.
    """
    path = PurePosixPath(text)
    if PROCESSING_ROOT not in path.parents or ".." in path.parts:
        raise InvalidLocalPathError(
            f"`{text}` does not begin with `{PROCESSING_ROOT}/`",
            hint=f"name a folder below it, for example `{PROCESSING_ROOT}/input`",
        )
    return path


def write_processing_input(
    paths: ProcessingPaths, *, job: Mapping[str, Any], resources: ResourceConfig
) -> None:
    """Writes the files that a processing container starts from.

    Args:
        paths: where.
        job: content of processingjobconfig.json: the request, with the job's ARN.
        resources: the view of one instance.
    """
    for folder in (paths.config, paths.processing, paths.output):
        folder.mkdir(parents=True, exist_ok=True)
    for file, content in (
        (paths.job_config_file, dict(job)),
        (paths.resource_config_file, resource_config_entries(resources)),
    ):
        file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def read_exit_message(hosts: Sequence[ProcessingPaths]) -> str | None:
    """What the programs of all hosts left in their message files, one after the other.

    The files are the job's: each may be missing, or no file at all.

    Returns:
        At most EXIT_MESSAGE_LIMIT bytes of text, or None if no program said anything.

    Raises:
        ExitMessageError: a file is no UTF-8; the service fails such a job.
    """
    message = "".join(_read_message(paths.message_file) for paths in hosts)
    return _cut(message.encode()) or None


def _read_message(file: Path) -> str:
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(handle, "rb") as opened:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return ""
        data = opened.read(EXIT_MESSAGE_LIMIT)
    try:
        return _cut(data)
    except UnicodeDecodeError as error:
        raise ExitMessageError(
            "the exit message in `/opt/ml/output/message` is not UTF-8",
            hint="write it as text: `open(path, 'w', encoding='utf-8')`",
        ) from error


def _cut(data: bytes) -> str:
    """The whole characters among the first bytes."""
    return codecs.getincrementaldecoder("utf-8")().decode(data[:EXIT_MESSAGE_LIMIT])
