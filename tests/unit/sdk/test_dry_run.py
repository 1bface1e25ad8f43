"""`fit(dry_run=True)` and `deploy(dry_run=True)`: the exact requests, and nothing sent."""

import json
from pathlib import Path
from typing import Any

import pytest

from intermodal import Model, Session
from intermodal.dry_run import DryRun
from intermodal.errors import InvalidArgumentsError
from intermodal.pytorch import PyTorch
from intermodal_contract.instance import INSTANCE_TYPES
from intermodal_contract.prices import HOURLY_USD
from tests.helpers.fake_aws import ACCOUNT, REGION, ROLE_ARN, FakeAws, tar_gz


def estimator(session: Session, script: Path, **more: Any) -> PyTorch:
    arguments: dict[str, Any] = {
        "instance_count": 2,
        "instance_type": "ml.p3.2xlarge",
        "role": ROLE_ARN,
        "max_run": 7200,
        "hyperparameters": {"epochs": 3},
        **more,
    }
    return PyTorch(str(script), framework_version="2.2.0", sagemaker_session=session, **arguments)


@pytest.fixture
def data(tmp_path: Path) -> str:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("1,2")
    return str(tmp_path / "data")


def planned(shown: Any) -> DryRun:
    assert isinstance(shown, DryRun)
    return shown


def test_it_shows_the_request_that_fit_then_sends(
    aws: FakeAws, session: Session, script: Path, data: str
) -> None:
    job = estimator(session, script)
    inputs = {"train": data, "more": "s3://mybucket/x"}
    dry_run = planned(job.fit(inputs, job_name="job", dry_run=True))
    assert aws.calls == []
    assert job.latest_training_job is None
    assert job.uploaded_code is None

    job.fit(inputs, job_name="job", wait=False)

    assert dry_run.request == aws.params("CreateTrainingJob")
    shown, _, rest = str(dry_run).removeprefix("CreateTrainingJob ").partition("\n\n")
    assert json.loads(shown) == dry_run.request
    assert rest.endswith("Nothing was sent or uploaded.")


def test_a_role_that_is_only_named_is_looked_up_and_nothing_else(
    aws: FakeAws, session: Session, script: Path
) -> None:
    dry_run = planned(estimator(session, script, role="SageMakerRole").fit(dry_run=True))

    assert aws.operations() == ["iam.GetRole"]
    assert dry_run.request["RoleArn"] == ROLE_ARN
    bucket = f"s3://sagemaker-{REGION}-{ACCOUNT}/"
    assert dry_run.request["OutputDataConfig"]["S3OutputPath"] == bucket


def test_it_says_what_the_instances_cost_and_how_old_the_price_is(
    session: Session, script: Path
) -> None:
    cost = planned(estimator(session, script).fit(dry_run=True)).cost.splitlines()

    assert cost == [
        "2 x ml.p3.2xlarge: 7.65 USD an hour (us-east-1, on demand, as of January 2025)",
        "  at most 15.30 USD, when it runs for max_run=7200 seconds",
        "us-west-2 may differ; storage and transfer come on top: "
        "https://aws.amazon.com/sagemaker/ai/pricing/",
    ]


def test_a_price_that_is_not_known_is_said_to_be_unknown(session: Session, script: Path) -> None:
    job = estimator(session, script, instance_type="ml.p5.48xlarge")
    assert "2 x ml.p5.48xlarge: the price is not known here" in str(job.fit(dry_run=True))


def test_arguments_that_aws_would_refuse_are_refused(session: Session, script: Path) -> None:
    with pytest.raises(InvalidArgumentsError, match="`instance_count`"):
        estimator(session, script, instance_count=0).fit(dry_run=True)


def test_in_a_notebook_it_is_escaped(session: Session, script: Path) -> None:
    job = estimator(session, script, environment={"X": "<script>"})
    html = planned(job.fit(dry_run=True))._repr_html_()
    assert "&lt;script&gt;" in html
    assert "<script>" not in html


def test_a_deployment_shows_its_three_requests(
    aws: FakeAws, session: Session, script: Path
) -> None:
    aws.objects["mybucket", "model.tar.gz"] = tar_gz({"model.pth": b"m"})
    model = Model(
        "123456789012.dkr.ecr.us-west-2.amazonaws.com/mine:1",
        "s3://mybucket/model.tar.gz",
        ROLE_ARN,
        entry_point=str(script),
        sagemaker_session=session,
        name="model",
    )
    dry_run = planned(model.deploy(2, "ml.m5.xlarge", endpoint_name="endpoint", dry_run=True))
    assert set(aws.operations()) <= {"s3.GetObject", "s3.HeadObject"}
    assert model.endpoint_name is None

    model.deploy(2, "ml.m5.xlarge", endpoint_name="endpoint")

    assert list(dry_run.requests) == ["CreateModel", "CreateEndpointConfig", "CreateEndpoint"]
    for operation, request in dry_run.requests.items():
        assert request == aws.params(operation)
    assert "2 x ml.m5.xlarge: 0.46 USD an hour" in dry_run.cost


def test_an_estimators_deployment_too(aws: FakeAws, session: Session, script: Path) -> None:
    job = estimator(session, script)
    job.fit(logs=False)
    aws.calls.clear()

    dry_run = planned(job.deploy(1, "ml.m5.xlarge", dry_run=True))

    assert "sagemaker.CreateModel" not in aws.operations()
    assert "s3.PutObject" not in aws.operations()
    assert "CreateModel" in dry_run.requests


def test_every_price_is_of_an_instance_type_that_there_is() -> None:
    assert set(HOURLY_USD) <= set(INSTANCE_TYPES)
