"""Stateful sessions: opened, used from any worker, closed."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import botocore.session
import pytest

from intermodal_serving.errors import BadRequestError
from intermodal_serving.sessions import Sessions, expiry_text, is_session_id
from tests.helpers.serving_process import serving, write_code

REMEMBERING = """
    import datetime, os

    def model_fn(model_dir):
        return None

    def transform_fn(model, body, content_type, accept, context):
        if context.wants_session:
            chosen, _, until = body.partition(",")
            expires_at = datetime.datetime.fromisoformat(until) if until else None
            context.new_session(chosen or None, expires_at)
        history = context.session_dir / "history"
        with history.open("a") as file:
            file.write(body)
        said = history.read_text()
        if body == "close":
            context.close_session()
        return f"{os.getpid()} {said}", "text/plain"
"""


def header_pattern() -> str:
    model = botocore.session.get_session().get_service_model("sagemaker-runtime")
    return str(model.shape_for("NewSessionResponseHeader").metadata["pattern"])


def test_a_session_is_opened_used_from_every_worker_and_closed(tmp_path: Path) -> None:
    with serving(write_code(tmp_path, REMEMBERING), SAGEMAKER_MODEL_SERVER_WORKERS="2") as server:
        opened = server.invoke(b"", "text/csv", X_Amzn_SageMaker_Session_Id="NEW_SESSION")
        assert opened.status == 200
        named = opened.headers["x-amzn-sagemaker-new-session-id"]
        assert re.fullmatch(header_pattern(), named)
        session_id, _, until = named.partition("; Expires=")
        left_s = datetime.fromisoformat(until).timestamp() - time.time()
        assert 1190 < left_s <= 1200

        def say(word: bytes) -> tuple[str, str]:
            reply = server.invoke(word, "text/csv", X_Amzn_SageMaker_Session_Id=session_id)
            assert reply.status == 200
            worker, _, said = reply.body.decode().partition(" ")
            return worker, said

        workers: set[str] = set()
        length = 0
        deadline = time.monotonic() + 20
        with ThreadPoolExecutor(4) as clients:
            while len(workers) < 2 and time.monotonic() < deadline:
                answers = list(clients.map(say, [b"word"] * 4))
                length += 4 * len("word")
                workers |= {worker for worker, _ in answers}
                assert max(len(said) for _, said in answers) == length
        assert len(workers) == 2

        closed = server.invoke(b"close", "text/csv", X_Amzn_SageMaker_Session_Id=session_id)
        assert closed.headers["x-amzn-sagemaker-closed-session-id"] == session_id
        gone = server.invoke(b"word", "text/csv", X_Amzn_SageMaker_Session_Id=session_id)
        assert gone.status == 400
        assert gone.json["error"] == f"there is no session `{session_id}`, or its time is over"
        assert server.terminate() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_handler_chooses_id_and_end_and_the_folder_may_be_named(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    write_code(tmp_path, REMEMBERING)
    with serving(tmp_path, SAGEMAKER_SESSIONS_PATH=str(folder)) as server:

        def ask(body: bytes) -> dict[str, str]:
            reply = server.invoke(body, "text/csv", X_Amzn_SageMaker_Session_Id="NEW_SESSION")
            return {"status": str(reply.status), **reply.headers}

        named = ask(b"chat-1,2099-01-02T03:04:05")["x-amzn-sagemaker-new-session-id"]
        assert named == "chat-1; Expires=2099-01-02T03:04:05Z"
        assert (folder / "chat-1/history").exists()
        assert ask(b"chat-1,2099-01-02T03:04:05")["status"] == "500"
        assert ask(b"../chat")["status"] == "500"


@pytest.mark.parametrize("sent", ["", "../model", "a/b", ".", "-a", "a-", "x" * 257, "no-such"])
def test_a_session_that_is_none_is_refused(tmp_path: Path, sent: str) -> None:
    sessions = Sessions(tmp_path / "sessions", 10)
    sessions.open("another")
    assert not is_session_id(sent) or sent == "no-such"
    with pytest.raises(BadRequestError, match="there is no session"):
        sessions.find(sent)
    sessions.close(sent)
    assert sessions.find("another").is_dir()


def test_a_request_without_a_session_or_with_a_bad_one_gets_400(tmp_path: Path) -> None:
    with serving(write_code(tmp_path, REMEMBERING)) as server:
        without = server.invoke(b"word", "text/csv")
        assert (without.status, without.json["error"]) == (
            400,
            "the request belongs to no session",
        )
        bad = server.invoke(b"word", "text/csv", X_Amzn_SageMaker_Session_Id="../../etc")
        assert bad.status == 400
        assert "is no session id" in bad.json["error"]


def test_sessions_whose_time_is_over_are_gone_and_swept_away(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "sessions", 10)
    sessions.open("old", time.time() - 1)
    with pytest.raises(BadRequestError):
        sessions.find("old")
    new, ends_at_s = sessions.open()
    assert [path.name for path in (tmp_path / "sessions").iterdir()] == [new]
    assert abs(ends_at_s - time.time() - 10) < 2
    assert expiry_text(0) == datetime(1970, 1, 1, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("chosen", ["a b", "NEW_SESSION", "x" * 226, "../a", "a\n"])
def test_an_id_that_the_service_would_not_take_is_refused(tmp_path: Path, chosen: str) -> None:
    with pytest.raises(ValueError, match="is no session id"):
        Sessions(tmp_path, 10).open(chosen)
