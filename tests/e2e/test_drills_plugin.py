"""A user's own test, which pytest runs with nothing but `intermodal` installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.engine import RunningEngine, scrubbed_environment
from tests.helpers.script_mode import BUCKET, create_endpoint, settled_endpoint, store_model

pytestmark = pytest.mark.e2e

TEST = """
from intermodal.drills import Clients

CLIENTS = Clients(b"hello", "text/plain", before_s=0.5, after_s=0.5)

def test_clients_notice_nothing(drill, local_session):
    report = drill.instance("digits", clients=CLIENTS)
    assert report.during.failures == 0
    assert report.whole_s < 60
    assert report.cost_usd > 0
    assert "digits" in str(local_session.sagemaker_client.list_endpoints())

def test_clients_notice(drill):
    report = drill.errors("digits", fraction=1, seconds=1, clients=CLIENTS)
    assert report.during.failures == 0
"""


def test_drills_are_fixtures_of_pytest(engine: RunningEngine, tmp_path: Path) -> None:
    s3, sagemaker = engine.client("s3"), engine.client("sagemaker")
    s3.create_bucket(Bucket=BUCKET)
    create_endpoint(sagemaker, "digits", store_model(s3, "digits"), 2)
    assert settled_endpoint(sagemaker, "digits")["EndpointStatus"] == "InService"
    (tmp_path / "test_mine.py").write_text(TEST)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--drill-pages=pages"],
        cwd=tmp_path,
        env={**scrubbed_environment(), "INTERMODAL_HOME": str(engine.home)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "= drills =" in done.stdout
    assert "test_clients_notice_nothing: drill instance digits: whole again after" in done.stdout
    assert len(list((tmp_path / "pages").glob("*.html"))) == 2
