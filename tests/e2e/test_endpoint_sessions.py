"""Stateful sessions of an endpoint of several instances, over a kill -9 of the engine."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import BUCKET, create_endpoint, settled_endpoint, store_model

pytestmark = pytest.mark.e2e

LETTERS = "abcd"
NOTES = """
def model_fn(model_dir):
    return None


def transform_fn(model, body, content_type, accept, context):
    if context.wants_session:
        context.new_session()
    notes = context.session_dir / "notes"
    with notes.open("ab") as file:
        file.write(body)
    said = notes.read_text()
    if body == b".":
        context.close_session()
    return said, "text/plain"
"""


def say(runtime: Any, session_id: str, text: str) -> dict[str, Any]:
    answer: dict[str, Any] = runtime.invoke_endpoint(
        EndpointName="notes", SessionId=session_id, Body=text.encode(), ContentType="text/plain"
    )
    return answer


def test_a_session_goes_on_after_a_kill_of_the_engine(engine: RunningEngine) -> None:
    s3, sagemaker = engine.client("s3"), engine.client("sagemaker")
    s3.create_bucket(Bucket=BUCKET)
    create_endpoint(sagemaker, "notes", store_model(s3, "notes", NOTES), 2)
    assert settled_endpoint(sagemaker, "notes")["EndpointStatus"] == "InService"
    runtime = engine.client("sagemaker-runtime")
    opened = [
        say(runtime, "NEW_SESSION", letter)["NewSessionId"].partition(";")[0] for letter in LETTERS
    ]

    engine.kill()
    engine.start()

    runtime = engine.client("sagemaker-runtime")
    for letter, session_id in zip(LETTERS, opened, strict=True):
        assert say(runtime, session_id, "!")["Body"].read().decode() == f"{letter}!"
    assert say(runtime, opened[0], ".")["ClosedSessionId"] == opened[0]
    with pytest.raises(ClientError, match="does not exist, has expired"):
        say(runtime, opened[0], "?")
