"""What a notebook shows of estimators, jobs, models and endpoints."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from intermodal import Model, Predictor, Session
from intermodal.clients import Clients
from intermodal.console import console_url
from intermodal.pytorch import PyTorch
from intermodal.serializers import CSVSerializer
from tests.helpers.fake_aws import REGION, ROLE_ARN, FakeAws

CONSOLE = f"https://{REGION}.console.aws.amazon.com/sagemaker/home?region={REGION}#"


def estimator(session: Session, script: Path) -> PyTorch:
    return PyTorch(
        str(script),
        framework_version="2.2.0",
        role=ROLE_ARN,
        instance_count=1,
        instance_type="ml.m5.large",
        hyperparameters={"tag": "<b>"},
        sagemaker_session=session,
    )


def test_an_estimator_shows_what_it_is_and_sends_nothing(
    aws: FakeAws, session: Session, script: Path
) -> None:
    job = estimator(session, script)
    assert repr(job).startswith(f"PyTorch(entry_point='{script}', instance_type='ml.m5.large'")
    assert "&lt;b&gt;" in job._repr_html_()
    assert "href" not in job._repr_html_()
    assert aws.calls == []


def test_a_job_links_to_its_page_in_the_console(session: Session, script: Path) -> None:
    trained = estimator(session, script)
    trained.fit(job_name="job", logs=False)
    job = trained.latest_training_job

    assert repr(job) == "TrainingJob(job_name='job', status='Completed')"
    assert job is not None
    assert f'href="{CONSOLE}/jobs/job"' in job._repr_html_()
    assert ">Completed<" in job._repr_html_()
    assert f'href="{CONSOLE}/jobs/job"' in trained._repr_html_()


def test_a_model_and_its_endpoint_link_to_their_pages(session: Session) -> None:
    model = Model("mine:1", "s3://mybucket/m.tar.gz", ROLE_ARN, sagemaker_session=session)
    assert "href" not in model._repr_html_()
    predictor = model.deploy(1, "ml.m5.large", endpoint_name="x", serializer=CSVSerializer())

    assert f'href="{CONSOLE}/models/{model.name}"' in model._repr_html_()
    assert repr(model).endswith("endpoint_name='x')")
    assert repr(predictor) == "Predictor(endpoint_name='x')"
    assert f'href="{CONSOLE}/endpoints/x"' in predictor._repr_html_()
    assert ">InService<" in predictor._repr_html_()
    assert ">text/csv<" in predictor._repr_html_()


def test_an_endpoint_that_may_not_be_described_is_shown_without_its_status(
    aws: FakeAws, session: Session
) -> None:
    aws.refused = {"DescribeEndpoint"}
    assert "EndpointStatus" not in Predictor("x", session)._repr_html_()


@pytest.mark.parametrize(
    ("region", "address", "console"),
    [
        ("eu-west-1", "api.sagemaker.eu-west-1.amazonaws.com", "eu-west-1.console.aws.amazon.com"),
        ("us-east-1", "sagemaker.us-east-1.api.aws", "us-east-1.console.aws.amazon.com"),
        ("us-gov-west-1", "api.sagemaker.x.amazonaws.com", "console.amazonaws-us-gov.com"),
        ("cn-north-1", "api.sagemaker.x.amazonaws.com.cn", "cn-north-1.console.amazonaws.cn"),
        ("us-west-2", "127.0.0.1:8765", None),
        ("us-iso-east-1", "api.sagemaker.us-iso-east-1.c2s.ic.gov", None),
        ("us-west-2", "amazonaws.com.evil.example", None),
    ],
)
def test_the_console_is_that_of_the_partition_and_of_nobody_else(
    region: str, address: str, console: str | None
) -> None:
    address = f"https://{address}"
    client: Any = SimpleNamespace(meta=SimpleNamespace(region_name=region, endpoint_url=address))
    url = console_url(Clients(None, None, {"sagemaker": client}), "jobs", "a/b")
    wanted = console and f"https://{console}/sagemaker/home?region={region}#/jobs/a%2Fb"
    assert url == wanted
