"""Runs the program `train` for real, in a folder that stands for `/opt/ml`."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from intermodal_contract.channel import Channel
from intermodal_contract.training_files import (
    ResourceConfig,
    TrainingPaths,
    write_training_input,
)

MODULE = "intermodal_training.cli"


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    code: int
    out: str
    err: str
    failure: str | None


@dataclass
class TrainProgram:
    """One job on one host."""

    root: Path
    resources: ResourceConfig = field(default_factory=ResourceConfig)
    channels: list[Channel] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    python: str = sys.executable

    @property
    def paths(self) -> TrainingPaths:
        return TrainingPaths(self.root)

    def source(self, files: Mapping[str, str], folder: str = "source") -> Path:
        """Writes source files into a folder beside what `train` uses."""
        for name, text in files.items():
            path = self.root / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return self.root / folder

    def prepare(self, program: str | None, source: str | None, values: Mapping[str, Any]) -> None:
        sent = {name: json.dumps(value) for name, value in values.items()}
        if program is not None:
            sent["sagemaker_program"] = json.dumps(program)
        if source is not None:
            sent["sagemaker_submit_directory"] = json.dumps(source)
        write_training_input(
            self.paths,
            hyperparameters=sent,
            channels=self.channels,
            resources=self.resources,
        )

    def start(
        self,
        files: Mapping[str, str],
        program: str | None = "train.py",
        values: Mapping[str, Any] | None = None,
        source: str | None = None,
    ) -> "subprocess.Popen[str]":
        folder = self.source(files) if files else None
        self.prepare(program, source or (str(folder) if folder else None), values or {})
        return self.start_prepared()

    def start_prepared(self) -> "subprocess.Popen[str]":
        """Starts with the files as they are."""
        return subprocess.Popen(
            [self.python, "-m", MODULE],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process: "subprocess.Popen[str]") -> Result:
        out, err = process.communicate(timeout=60)
        file = self.paths.failure_file
        return Result(process.returncode, out, err, file.read_text() if file.exists() else None)

    def run(
        self,
        files: Mapping[str, str],
        program: str | None = "train.py",
        values: Mapping[str, Any] | None = None,
        source: str | None = None,
    ) -> Result:
        return self.finish(self.start(files, program, values, source))

    def _environment(self) -> dict[str, str]:
        # A clean start: nothing of the developer's own account or job.
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "SM_", "SAGEMAKER_", "PIP_", "TRAINING_", "PYTHON"))
        }
        return {**kept, "SAGEMAKER_BASE_DIR": str(self.root), **self.environment}
