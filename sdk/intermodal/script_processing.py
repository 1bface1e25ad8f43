"""Processing jobs that run one script in an image."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, ClassVar

from intermodal.processing_base import Processor, check_words
from intermodal.processing_data import ProcessingInput, ProcessingOutput
from intermodal.source import local_path
from intermodal.training_options import Findings

INPUT_FOLDER = PurePosixPath("/opt/ml/processing/input")


class ScriptProcessor(Processor):
    """Runs a script of yours in an image as a processing job.

    Args:
        role: what the job runs as; a name or an ARN.
        image_uri: the image.
        command: what the script is given to, as in `["python3"]`.
        instance_count: how many instances.
        instance_type: as in `ml.m5.xlarge`; `local` starts the local engine.
        options: everything else of `Processor` but `entrypoint`.
    """

    code_input: ClassVar[str] = "code"

    def __init__(
        self,
        role: str | None = None,
        image_uri: str | None = None,
        command: Sequence[str] | None = None,
        instance_count: int | None = None,
        instance_type: str | None = None,
        volume_size_in_gb: int = 30,
        **options: Any,
    ) -> None:
        super().__init__(
            role,
            image_uri,
            instance_count,
            instance_type,
            volume_size_in_gb=volume_size_in_gb,
            **options,
        )
        self.command = command

    def run(  # type: ignore[override]  # the vendor's order: the script first
        self,
        code: str,
        inputs: Sequence[ProcessingInput] | None = None,
        outputs: Sequence[ProcessingOutput] | None = None,
        arguments: Sequence[str] | None = None,
        wait: bool = True,
        logs: bool = True,
        job_name: str | None = None,
        experiment_config: Mapping[str, str] | None = None,
        kms_key: str | None = None,
    ) -> None:
        """Run the script; see `Processor.run`.

        Args:
            code: the script: a local path, or an S3 URI.
            inputs: what lies in the containers when the script starts.
            outputs: what is kept in S3 of what it leaves.
            arguments: of the script.
            wait: until the job has ended.
            logs: whether status changes and log lines are shown meanwhile.
            job_name: made from `base_job_name` or the image's name where `None`.
            experiment_config: as CreateProcessingJob takes it.
            kms_key: encrypts what is uploaded.

        Raises:
            InvalidArgumentsError: arguments that AWS would refuse; nothing was uploaded or started.
            JobFailedError: the job failed, and `wait` was asked for.
        """
        findings = self._checked(inputs or (), outputs or (), arguments, job_name, own_inputs=1)
        check_words(findings, "command", self.command)
        if not self.command:
            findings.add("command", "is missing; give for example ['python3']")
        _check_code(findings, code)
        self._refuse(findings)
        name = self._name(job_name)
        uri = code
        if not code.startswith("s3://"):
            uri = self._upload(local_path(code), f"{name}/input/{self.code_input}", kms_key)
        with_code = [*(inputs or ()), self._code_input(uri)]
        self.entrypoint = [*(self.command or ()), self._script_path(uri)]
        self._start(
            name, with_code, outputs or (), arguments, experiment_config, kms_key, self.entrypoint
        )
        self._wait(wait=wait, logs=logs)

    def _code_input(self, uri: str) -> ProcessingInput:
        return ProcessingInput(uri, str(INPUT_FOLDER / self.code_input), self.code_input)

    def _script_path(self, uri: str) -> str:
        return str(INPUT_FOLDER / self.code_input / uri.rpartition("/")[2])


def _check_code(findings: Findings, code: str) -> None:
    if not code.startswith("s3://") and not local_path(code).is_file():
        findings.add("code", f"there is no file `{code}`; give a script here or in S3")
