"""Roles, buckets, files, and finding the local engine."""

import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ClientError
from urllib3 import HTTPResponse

from intermodal import LocalSession, Session, get_execution_role
from intermodal.errors import (
    BucketAccessError,
    EngineUnavailableError,
    InvalidArgumentsError,
    RoleNotFoundError,
)
from intermodal.local import find_engine
from intermodal.names import base_from_name, base_name_from_image, name_from_base, name_problem
from intermodal.s3 import S3Downloader, S3Uploader, s3_path_join
from intermodal.source import UserCode
from intermodal.which_session import session_for
from intermodal_contract.local_engine import HEALTH_PATH
from tests.helpers.fake_aws import ACCOUNT, FakeAws


def test_the_callers_role_becomes_the_execution_role(aws: FakeAws, session: Session) -> None:
    assert get_execution_role(session) == f"arn:aws:iam::{ACCOUNT}:role/SageMakerRole"


def test_a_user_has_no_execution_role(aws: FakeAws, session: Session) -> None:
    aws.caller_arn = f"arn:aws:iam::{ACCOUNT}:user/me"

    with pytest.raises(RoleNotFoundError, match="is no role"):
        get_execution_role(session)


def test_the_default_bucket_is_asked_for_once(aws: FakeAws, session: Session) -> None:
    session.default_bucket()
    session.default_bucket()

    assert aws.operations() == [
        "sts.GetCallerIdentity",
        "s3.HeadBucket",
        "s3.CreateBucket",
    ]


def test_a_bucket_of_ones_own_choice_is_created_where_it_is_missing(aws: FakeAws) -> None:
    session = Session(aws.boto_session(), default_bucket="own", default_bucket_prefix="team")

    assert session.upload_data(__file__) == "s3://own/team/data/test_sessions.py"
    assert "own" in aws.buckets


def test_what_was_uploaded_can_be_downloaded(
    aws: FakeAws, session: Session, tmp_path: Path
) -> None:
    source = tmp_path / "data"
    (source / "sub").mkdir(parents=True)
    (source / "a").write_text("1")
    (source / "sub" / "b").write_text("2")
    session.upload_data(source, "mybucket", "p")

    session.download_data(tmp_path / "back", "mybucket", "p")
    session.download_data(tmp_path / "one", "mybucket", "p/a")

    assert (tmp_path / "back" / "sub" / "b").read_text() == "2"
    assert (tmp_path / "one" / "a").read_text() == "1"
    assert session.list_s3_files("mybucket", "p") == ["p/a", "p/sub/b"]
    assert session.read_s3_file("mybucket", "p/a") == "1"


def test_a_prefix_that_is_no_folder_is_cut_at_its_last_one(
    aws: FakeAws, session: Session, tmp_path: Path
) -> None:
    for key in ("data/train/a", "data/test/b"):
        aws.objects["mybucket", key] = b"x"

    written = session.download_data(tmp_path, "mybucket", "data/t")

    assert written == [str(tmp_path / "test" / "b"), str(tmp_path / "train" / "a")]


def test_s3_is_read_and_written_by_uris_too(aws: FakeAws, session: Session, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    there: dict[str, Any] = {"sagemaker_session": session}

    uri = S3Uploader.upload(tmp_path / "a.txt", "s3://mybucket/p", "key", **there)
    assert aws.params("PutObject")["SSEKMSKeyId"] == "key"
    S3Uploader.upload_string_as_file_body("b", "s3://mybucket/p/b.txt", **there)
    S3Uploader.upload_bytes(b"c", "s3://mybucket/p/c.txt", **there)

    assert uri == "s3://mybucket/p/a.txt"
    assert S3Downloader.list("s3://mybucket/p/", session) == [
        f"s3://mybucket/p/{name}.txt" for name in "abc"
    ]
    assert S3Downloader.read_file("s3://mybucket/p/b.txt", session) == "b"
    assert S3Downloader.read_bytes("s3://mybucket/p/c.txt", session) == b"c"
    S3Downloader.download("s3://mybucket/p", tmp_path / "back", **there)
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == [
        "a.txt",
        "b.txt",
        "c.txt",
    ]
    with pytest.raises(ValueError, match="'/p' is no S3 URI"):
        S3Downloader.list("/p", session)


def test_parts_of_an_s3_path_have_one_slash_between_them() -> None:
    assert s3_path_join("s3://", "bucket", None, "/a/", "b//c/") == "s3://bucket/a/b/c"
    assert s3_path_join("a", "", "b", with_end_slash=True) == "a/b/"
    assert s3_path_join("/a", "b") == "a/b"


def test_a_key_that_leads_out_of_the_folder_is_not_written(
    aws: FakeAws, session: Session, tmp_path: Path
) -> None:
    aws.objects["mybucket", "p/../../evil"] = b"x"

    with pytest.raises(BucketAccessError, match="outside"):
        session.download_data(tmp_path / "back", "mybucket", "p")


def test_uploading_what_is_not_there_is_refused(session: Session) -> None:
    with pytest.raises(InvalidArgumentsError, match="no file or folder `nowhere`"):
        session.upload_data("nowhere", "mybucket")


def test_local_inputs_are_uploaded_below_the_job(
    aws: FakeAws, session: Session, script: Path
) -> None:
    from intermodal.estimator import Estimator

    estimator = Estimator("image:1", "SageMakerRole", 1, "ml.m5.large", sagemaker_session=session)
    estimator.fit({"a": str(script.parent), "b": f"file://{script}"}, job_name="job", wait=False)

    bucket = f"s3://sagemaker-us-west-2-{ACCOUNT}"
    uris = [
        channel["DataSource"]["S3DataSource"]["S3Uri"]
        for channel in aws.params("CreateTrainingJob")["InputDataConfig"]
    ]
    assert uris == [f"{bucket}/job/input/a", f"{bucket}/job/input/b/train.py"]


def test_the_same_source_gives_the_same_archive_whatever_python_left_in_it(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    for folder in (first, second):
        folder.mkdir()
        (folder / "train.py").write_text("x = 1\n")
    (second / "__pycache__").mkdir()
    (second / "__pycache__" / "train.pyc").write_bytes(b"x")

    archives = [UserCode("train.py", str(folder)).archive() for folder in (first, second)]

    assert archives[0] == archives[1]


def test_names_carry_the_time_and_fit_into_63_characters() -> None:
    name = name_from_base("a" * 80, 1_700_000_000.1234)

    assert name.endswith("-2023-11-14-22-13-20-123")
    assert len(name) == 63
    assert base_from_name(name) == "a" * 39
    assert base_name_from_image("1.dkr.ecr.x.amazonaws.com/team/my_train:1.0") == "my-train"
    assert base_name_from_image("my-train@sha256:abc") == "my-train"
    assert name_problem("a-1") is None
    assert name_problem("a_1") is not None


class _Refuses(BaseHTTPRequestHandler):
    home = ""

    def do_GET(self) -> None:
        is_health = self.path == HEALTH_PATH
        body = json.dumps({"home": self.home}).encode() if is_health else b""
        self.send_response(200 if is_health else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """The home of an engine that answers."""
    handler = type("Engine", (_Refuses,), {"home": str(tmp_path)})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    state = {"endpoint_url": url, "region": "eu-west-1", "home": str(tmp_path)}
    (tmp_path / "engine.json").write_text(json.dumps(state))
    (tmp_path / "credentials.json").write_text(
        json.dumps({"access_key_id": "AKIDLOCAL", "secret_access_key": "s"})
    )
    yield tmp_path
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_running_engine_is_found_by_its_home(home: Path) -> None:
    session = LocalSession(home)

    assert session.boto_region_name == "eu-west-1"
    client = session.client("s3")
    assert (
        client.meta.endpoint_url == json.loads((home / "engine.json").read_text())["endpoint_url"]
    )
    assert session.boto_session.get_credentials().access_key == "AKIDLOCAL"


def test_the_local_engine_is_reached_past_proxies_and_profiles(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = "http://127.0.0.1:9"
    for name, value in (
        ("AWS_PROFILE", "no-such-profile"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "true"),
        ("AWS_ENDPOINT_URL_S3", nobody),
        ("HTTP_PROXY", nobody),
        ("NO_PROXY", ""),
    ):
        monkeypatch.setenv(name, value)

    with pytest.raises(ClientError) as raised:
        LocalSession(home).client("s3").list_buckets()

    # It is the engine's stand-in that refuses, not the proxy.
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_bodies_for_the_local_engine_carry_a_checksum_and_no_signature(home: Path) -> None:
    client = LocalSession(home).client("s3")
    sent: list[AWSPreparedRequest] = []

    def answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        sent.append(request)
        return AWSResponse(request.url, 200, {}, HTTPResponse(io.BytesIO(), preload_content=False))

    client.meta.events.register("before-send.s3", answer)
    client.put_object(Bucket="bucket", Key="key", Body=b"body")

    assert sent[0].headers["X-Amz-Content-SHA256"] == b"UNSIGNED-PAYLOAD"
    assert sent[0].headers["x-amz-checksum-crc32"] == b"26gLsg=="


def test_instance_type_local_means_the_local_engine(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERMODAL_HOME", str(home))

    assert isinstance(session_for("local", None), LocalSession)


def test_an_engine_that_does_not_answer_is_not_taken_for_running(tmp_path: Path) -> None:
    (tmp_path / "engine.json").write_text('{"endpoint_url": "http://127.0.0.1:9"}')
    (tmp_path / "credentials.json").write_text('{"access_key_id": "a", "secret_access_key": "s"}')

    assert find_engine(tmp_path) is None


def test_another_homes_engine_on_the_port_of_a_dead_one_is_not_taken_for_it(home: Path) -> None:
    assert find_engine(home) is not None
    state = json.loads((home / "engine.json").read_text())
    (home / "engine.json").write_text(json.dumps({**state, "home": "/another/home"}))
    assert find_engine(home) is None


def test_an_engine_that_is_not_installed_is_said_to_be(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "sys.path = [p for p in sys.path if not os.path.exists(f'{p}/intermodal_engine')]\n"
        "from intermodal import LocalSession\n"
        "from intermodal.errors import EngineUnavailableError\n"
        "try: LocalSession(sys.argv[1])\n"
        "except EngineUnavailableError as error: print(error)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )

    assert done.stdout == (
        "no local engine runs and none is installed\nhint: pip install 'intermodal[engine]'\n"
    )


def test_an_engine_that_refuses_to_start_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "other" / "intermodal_engine"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "cli.py").write_text("import sys\nsys.exit('the port is taken')\n")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))

    with pytest.raises(EngineUnavailableError, match="exit code 1: the port is taken") as raised:
        LocalSession(tmp_path / "home")
    assert "start it yourself" in (raised.value.hint or "")


def test_importing_takes_neither_boto3_nor_numpy() -> None:
    program = (
        "import sys, intermodal\nfrom intermodal.pytorch import PyTorch\n"
        "print({'boto3', 'botocore', 'numpy', 'intermodal_engine'} & set(sys.modules))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout == "set()\n"
