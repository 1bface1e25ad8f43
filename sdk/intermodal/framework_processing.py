"""Processing jobs in a framework's image, with a folder of code and its requirements."""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from intermodal.framework import Framework
from intermodal.names import name_from_base
from intermodal.processing_data import ProcessingInput, ProcessingOutput
from intermodal.script_processing import INPUT_FOLDER, ScriptProcessor
from intermodal.source import ARCHIVE_NAME, as_code
from intermodal.training_options import Findings
from intermodal_contract.channel import parse_s3_uri

_RUNNER = "runproc.sh"
_REPOSITORY_ARN = re.compile(r"arn:[^:]+:codeartifact:([^:]+):([^:]+):repository/([^/]+)/(.+)")


class FrameworkProcessor(ScriptProcessor):
    """Runs a script of yours, with its folder and requirements, in a framework's image.

    Args:
        estimator_cls: the framework's estimator class, as in `PyTorch`.
        framework_version: as in `2.2.0`.
        role: what the job runs as; a name or an ARN.
        instance_count: how many instances.
        instance_type: as in `ml.m5.xlarge`; `local` starts the local engine.
        py_version: as in `py310`; the one that fits the version where `None`.
        image_uri: an image of your own instead.
        command: what the script is given to; `["python"]` where `None`.
        code_location: S3 prefix for the code; the default bucket where `None`.
        options: everything else of `ScriptProcessor`.
    """

    code_input: ClassVar[str] = "entrypoint"

    def __init__(
        self,
        estimator_cls: type[Framework],
        framework_version: str | None = None,
        role: str | None = None,
        instance_count: int | None = None,
        instance_type: str | None = None,
        py_version: str | None = None,
        image_uri: str | None = None,
        command: Sequence[str] | None = None,
        *,
        code_location: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(role, image_uri, ["/bin/bash"], instance_count, instance_type, **options)
        self.estimator_cls = estimator_cls
        self.framework_version = framework_version
        self.py_version = py_version
        self.script_command = list(command or ["python"])
        self.code_location = code_location
        self.base_job_name = self.base_job_name or estimator_cls.framework

    def run(  # type: ignore[override]  # the vendor's order: the code first
        self,
        code: str,
        source_dir: str | None = None,
        dependencies: Sequence[str] | None = None,
        inputs: Sequence[ProcessingInput] | None = None,
        outputs: Sequence[ProcessingOutput] | None = None,
        arguments: Sequence[str] | None = None,
        wait: bool = True,
        logs: bool = True,
        job_name: str | None = None,
        experiment_config: Mapping[str, str] | None = None,
        kms_key: str | None = None,
        codeartifact_repo_arn: str | None = None,
    ) -> None:
        """Run the script; see `ScriptProcessor.run`.

        Args:
            code: the script, relative to `source_dir` where there is one; or, in S3, a shell
                script that does everything.
            source_dir: the folder that the script lies in; its `requirements.txt` is installed.
            dependencies: further files and folders that lie beside the script.
            inputs: what lies in the containers when the script starts.
            outputs: what is kept in S3 of what it leaves.
            arguments: of the script.
            wait: until the job has ended.
            logs: whether status changes and log lines are shown meanwhile.
            job_name: made from `base_job_name` or the framework's name where `None`.
            experiment_config: as CreateProcessingJob takes it.
            kms_key: encrypts what is uploaded.
            codeartifact_repo_arn: where requirements come from.

        Raises:
            InvalidArgumentsError: arguments that AWS would refuse; nothing was uploaded or started.
            JobFailedError: the job failed, and `wait` was asked for.
        """
        findings = self._checked(inputs or (), outputs or (), arguments, job_name, own_inputs=2)
        packed = None if code.startswith("s3://") else as_code(code, source_dir, dependencies)
        findings.problems += packed.problems() if packed else []
        login = _login(findings, codeartifact_repo_arn)
        self._refuse(findings)
        name = job_name or name_from_base(str(self.base_job_name))
        self.image_uri = self.image_uri or self._estimator().training_image_uri()
        given = list(inputs or ())
        if packed is not None:
            estimator = self._estimator(
                entry_point=code, source_dir=source_dir, dependencies=dependencies
            )
            uploaded = estimator.upload_code(name)
            given.append(ProcessingInput(uploaded.s3_prefix, f"{INPUT_FOLDER}/code/", "code"))
            runner = _runner(shlex.join([*self.script_command, uploaded.script_name]), login)
            place = parse_s3_uri(uploaded.s3_prefix.replace(ARCHIVE_NAME, _RUNNER))
            code = self.sagemaker_session.upload_string_as_file_body(
                runner, place.bucket, place.key, kms_key or self.output_kms_key
            )
        super().run(code, given, outputs, arguments, wait, logs, name, experiment_config, kms_key)

    def estimator_arguments(self) -> dict[str, Any]:
        """What tells the estimator class the image."""
        return {"framework_version": self.framework_version, "py_version": self.py_version}

    def _estimator(self, entry_point: Any = None, **code: Any) -> Framework:
        return self.estimator_cls(
            entry_point=entry_point,
            role=self.role,
            instance_count=1,
            instance_type=self.instance_type,
            image_uri=self.image_uri,
            code_location=self.code_location,
            output_kms_key=self.output_kms_key,
            sagemaker_session=self.sagemaker_session,
            **self.estimator_arguments(),
            **code,
        )

    def _check_image(self, findings: Findings) -> None:
        from intermodal_contract.instance import UnknownInstanceTypeError

        try:
            self._estimator().training_image_uri()
        except UnknownInstanceTypeError:
            # Said already, with the argument's name.
            return
        except ValueError as error:
            findings.problems.append(str(error))


def _login(findings: Findings, repository_arn: str | None) -> str:
    """The shell's line that lets pip in; nothing without a repository."""
    if repository_arn is None:
        return ""
    match = _REPOSITORY_ARN.fullmatch(repository_arn)
    if match is None:
        findings.add(
            "codeartifact_repo_arn", f"{repository_arn!r} is no ARN of a CodeArtifact repository"
        )
        return ""
    region, account, domain, repository = match.groups()
    words = ["--region", region, "--domain-owner", account, "--domain", domain]
    command = ["aws", "codeartifact", "login", "--tool", "pip", *words, "--repository", repository]
    return f"    {shlex.join(command)}\n"


def _runner(command: str, login: str) -> str:
    return f"""#!/bin/bash
# Unpacks the code, installs what it requires and runs it.
set -e
cd {INPUT_FOLDER}/code
tar -xzf {ARCHIVE_NAME}
if [ -f requirements.txt ]; then
{login}    python -m pip install -r requirements.txt
fi
exec {command} "$@"
"""
