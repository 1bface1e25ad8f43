"""Processors: what they refuse, what they send beside the recorded cases, what they say."""

from pathlib import Path

import pytest

from intermodal import Session
from intermodal.errors import InvalidArgumentsError, JobFailedError
from intermodal.processing import (
    FrameworkProcessor,
    ProcessingInput,
    ProcessingOutput,
    Processor,
    ScriptProcessor,
)
from intermodal.pytorch import PyTorch
from tests.helpers.fake_aws import ROLE_ARN, FakeAws

IMAGE = "123456789012.dkr.ecr.us-west-2.amazonaws.com/p:1"
FOLDER = "/opt/ml/processing"


def test_all_that_is_wrong_is_told_before_anything_is_sent(aws: FakeAws, session: Session) -> None:
    processor = ScriptProcessor(
        instance_count=0,
        instance_type="ml.nothing",
        volume_size_in_gb=0,
        max_runtime_in_seconds=0,
        env={"1A": "x"},
        sagemaker_session=session,
    )

    with pytest.raises(InvalidArgumentsError) as caught:
        processor.run(
            "nowhere.py",
            inputs=[
                ProcessingInput("nowhere", f"{FOLDER}/in", "a"),
                ProcessingInput("s3://b/k", "/elsewhere", "a"),
                ProcessingInput(input_name="empty"),
            ],
            outputs=[ProcessingOutput(), ProcessingOutput(f"{FOLDER}/o", "file:///tmp/o")],
            arguments=[1],  # type: ignore[list-item]
            job_name="no name",
        )

    said = "\n".join(caught.value.problems)
    for argument in (
        "role",
        "image_uri",
        "command",
        "instance_count",
        "instance_type",
        "volume_size_in_gb",
        "max_runtime_in_seconds",
        "env",
        "job_name",
        "code",
        "arguments",
    ):
        assert f"`{argument}`: " in said
    assert "`inputs`: `a`: `nowhere` is neither S3 URI nor path" in said
    assert "`inputs`: `a`: `/elsewhere` does not begin with `/opt/ml/processing/`" in said
    assert "`inputs`: `empty` needs `source` and `destination`" in said
    assert "`inputs`: two of them are called `a`" in said
    assert "`outputs`: `output-1` needs a `source`" in said
    assert "`outputs`: `output-2`: 'file:///tmp/o' is no S3 URI" in said
    assert aws.calls == []


def test_inputs_that_are_no_processing_inputs_are_refused(session: Session) -> None:
    processor = Processor(ROLE_ARN, IMAGE, 1, "ml.m5.large", sagemaker_session=session)

    with pytest.raises(InvalidArgumentsError, match=r"number 1 is a str(.|\n)*number 1 is a dict"):
        processor.run(inputs=["s3://b/k"], outputs=[{}])  # type: ignore[list-item]


def test_too_many_inputs_are_counted_with_those_of_the_code(session: Session, script: Path) -> None:
    processor = ScriptProcessor(
        ROLE_ARN, IMAGE, ["python3"], 1, "ml.m5.large", sagemaker_session=session
    )
    inputs = [ProcessingInput("s3://b/k", f"{FOLDER}/{index}") for index in range(10)]

    with pytest.raises(InvalidArgumentsError, match="11 of them with the code's own"):
        processor.run(str(script), inputs)


def test_a_framework_without_an_image_of_that_version_is_refused(
    aws: FakeAws, session: Session, script: Path
) -> None:
    processor = FrameworkProcessor(
        PyTorch, "0.1", ROLE_ARN, 1, "ml.m5.large", sagemaker_session=session
    )

    with pytest.raises(InvalidArgumentsError, match=r"pytorch 0\.1; known are 1\.2 and newer"):
        processor.run(str(script), codeartifact_repo_arn="arn:aws:s3:::x")
    assert aws.calls == []


def test_what_the_user_gave_is_left_as_it_was(session: Session, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1\n")
    given = ProcessingInput(str(tmp_path / "a.csv"), f"{FOLDER}/in")
    kept = ProcessingOutput(f"{FOLDER}/out")
    processor = Processor(ROLE_ARN, IMAGE, 1, "ml.m5.large", sagemaker_session=session)

    processor.run([given], [kept], job_name="j", wait=False)

    assert (given.source, given.input_name, kept.destination) == (
        str(tmp_path / "a.csv"),
        None,
        None,
    )
    job = processor.latest_job
    assert job is not None
    bucket = "s3://sagemaker-us-west-2-123456789012"
    assert job.inputs[0].source == f"{bucket}/j/input/input-1/a.csv"
    assert job.outputs[0].destination == f"{bucket}/j/output/output-1"


def test_pip_may_be_let_into_a_repository_of_codeartifact(
    aws: FakeAws, session: Session, script: Path
) -> None:
    processor = FrameworkProcessor(
        PyTorch, "2.2.0", ROLE_ARN, 1, "ml.m5.large", sagemaker_session=session
    )

    processor.run(
        str(script),
        job_name="j",
        wait=False,
        codeartifact_repo_arn="arn:aws:codeartifact:us-west-2:1:repository/d/r",
    )

    runner = aws.objects["sagemaker-us-west-2-123456789012", "j/source/runproc.sh"].decode()
    assert "aws codeartifact login --tool pip --region us-west-2 --domain-owner 1" in runner
    assert runner.endswith('exec python train.py "$@"\n')


def test_a_failed_job_says_why(aws: FakeAws, session: Session) -> None:
    aws.job_end, aws.job_reason = "Failed", "AlgorithmError: boom"
    processor = Processor(ROLE_ARN, IMAGE, 1, "ml.m5.large", sagemaker_session=session)

    with pytest.raises(JobFailedError, match="processing job `j` failed: AlgorithmError: boom"):
        processor.run(job_name="j")


def test_a_local_instance_has_a_name_on_the_wire(aws: FakeAws, session: Session) -> None:
    Processor(ROLE_ARN, IMAGE, 1, "local", sagemaker_session=session).run(wait=False)

    cluster = aws.params("CreateProcessingJob")["ProcessingResources"]["ClusterConfig"]
    assert cluster["InstanceType"] == "ml.m5.xlarge"


def test_whoever_presses_ctrl_c_is_told_that_the_job_goes_on(
    aws: FakeAws, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.faults.append(
        lambda operation: KeyboardInterrupt() if operation == "DescribeProcessingJob" else None
    )
    processor = Processor(ROLE_ARN, IMAGE, 1, "ml.m5.large", sagemaker_session=session)

    with pytest.raises(KeyboardInterrupt):
        processor.run(job_name="j")

    assert "Processing job `j` goes on without being watched" in capsys.readouterr().out
    assert "sagemaker.StopProcessingJob" not in aws.operations()
