"""Transformers: what they refuse, attach to, wait for and stop."""

from pathlib import Path

import pytest

from intermodal import Session
from intermodal.errors import InvalidArgumentsError, JobFailedError
from intermodal.model import Model
from intermodal.transformer import Transformer
from tests.helpers.fake_aws import ROLE_ARN, FakeAws

DATA = "s3://mybucket/d"


def test_all_that_is_wrong_is_told_before_anything_is_sent(aws: FakeAws, session: Session) -> None:
    transformer = Transformer(
        "",
        0,
        "ml.nothing",
        strategy="Some",
        assemble_with="Comma",
        output_path="/tmp/out",
        max_concurrent_transforms=60,
        max_payload=2,
        env={"A": 1},  # type: ignore[dict-item]
        sagemaker_session=session,
    )

    with pytest.raises(InvalidArgumentsError) as caught:
        transformer.transform(
            "nowhere", "Folder", split_type="Word", join_source="Output", job_name="no name"
        )

    named = [problem.split("`")[1] for problem in caught.value.problems]
    assert named == [
        "model_name",
        "instance_count",
        "instance_type",
        "env",
        "job_name",
        "output_path",
        "data",
        "max_payload",
        "strategy",
        "assemble_with",
        "data_type",
        "split_type",
        "join_source",
    ]
    assert aws.calls == []


def test_each_job_without_an_output_path_gets_one_of_its_own(
    aws: FakeAws, session: Session
) -> None:
    transformer = Transformer("m", 1, "ml.m5.large", sagemaker_session=session)

    for name in ("one", "two"):
        transformer.transform(DATA, job_name=name, wait=False)

        output = aws.params("CreateTransformJob")["TransformOutput"]["S3OutputPath"]
        assert output == f"s3://sagemaker-us-west-2-123456789012/{name}"


def test_local_data_is_uploaded_first(aws: FakeAws, session: Session, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("1\n")
    transformer = Transformer("m", 1, "ml.m5.large", sagemaker_session=session)

    transformer.transform(str(tmp_path / "rows.csv"), job_name="j", wait=False)

    source = aws.params("CreateTransformJob")["TransformInput"]["DataSource"]["S3DataSource"]
    bucket = "sagemaker-us-west-2-123456789012"
    assert source["S3Uri"] == f"s3://{bucket}/j/input/data/rows.csv"
    assert aws.objects[bucket, "j/input/data/rows.csv"] == b"1\n"


def test_a_failed_job_says_why(aws: FakeAws, session: Session) -> None:
    aws.job_end, aws.job_reason = "Failed", "ClientError: bad rows"
    transformer = Transformer("m", 1, "ml.m5.large", sagemaker_session=session)

    with pytest.raises(JobFailedError, match="transform job `j` failed: ClientError: bad rows"):
        transformer.transform(DATA, job_name="j")


def test_a_job_is_attached_to_and_stopped(aws: FakeAws, session: Session) -> None:
    started = Transformer(
        "m", 2, "ml.m5.large", "SingleRecord", "Line", accept="text/csv", sagemaker_session=session
    )
    started.transform(DATA, job_name="j", wait=False)

    found = Transformer.attach("j", session)

    assert (found.model_name, found.instance_count, found.strategy) == ("m", 2, "SingleRecord")
    assert (found.assemble_with, found.accept) == ("Line", "text/csv")
    found.stop_transform_job()
    assert "sagemaker.StopTransformJob" in aws.operations()


def test_without_a_job_there_is_nothing_to_wait_for(session: Session) -> None:
    with pytest.raises(ValueError, match=r"call transform\(\) first"):
        Transformer("m", 1, "ml.m5.large", sagemaker_session=session).wait()


def test_a_model_that_is_isolated_gets_no_further_variables(session: Session) -> None:
    model = Model(
        "img", "s3://b/m.tar.gz", ROLE_ARN, enable_network_isolation=True, sagemaker_session=session
    )

    assert model.transformer(1, "ml.m5.large", env={"A": "1"}).env is None
