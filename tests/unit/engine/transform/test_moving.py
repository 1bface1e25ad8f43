"""One mover against an instance over HTTP: order, retries, what an earlier run has finished."""

import io
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from intermodal_engine.lifecycle.transform.plan import ObjectPart, Plan, write_objects
from intermodal_engine.lifecycle.transform.program.client import InstanceLostError, NotHealthyError
from intermodal_engine.lifecycle.transform.program.moving import Mover, tune


class Instance:
    """A container that counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.answer: Callable[[bytes], tuple[int, bytes]] = lambda body: (200, body.upper())
        self.wishes: dict[str, Any] | None = None
        self.is_healthy = True
        instance = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/ping":
                    self._send(200 if instance.is_healthy else 503, b"")
                elif instance.wishes is None:
                    self._send(404, b"")
                else:
                    self._send(200, json.dumps(instance.wishes).encode())

            def do_POST(self) -> None:
                body = self._body()
                instance.asked.append(body)
                self._send(*instance.answer(body))

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers["Content-Length"]))
                body = io.BytesIO()
                while size := int(self.rfile.readline(), 16):
                    body.write(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return body.getvalue()

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def instance() -> Iterator[Instance]:
    instance = Instance()
    yield instance
    instance.server.shutdown()
    instance.server.server_close()


class Share:
    """An instance's share of objects in a folder."""

    def __init__(self, folder: Path, instance: Instance) -> None:
        self.folder = folder / "moved"
        self.folder.mkdir()
        self._data = folder / "data"
        self._data.mkdir()
        self._instance = instance

    def holds(self, *contents: bytes) -> None:
        parts = []
        for number, content in enumerate(contents):
            path = self._data / str(number)
            path.write_bytes(content)
            status = path.stat()
            version = (status.st_size, status.st_mtime_ns, status.st_ino)
            parts.append(ObjectPart(number, str(path), f"s3://b/{number}", *version, f"{number}"))
        write_objects(self.folder, parts)

    def plan(self, **changes: Any) -> Plan:
        usual: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self._instance.server.server_address[1],
            "log": str(self.folder / "log"),
            "health_timeout_s": 0.2,
            "content_type": "text/csv",
            "accept": None,
            "is_gzip": False,
            "split_type": "Line",
            "strategy": "SingleRecord",
            "max_payload_mb": 1,
            "concurrency": 4,
            "assemble_with": "Line",
            "input_filter": "$",
            "output_filter": "$",
            "join_source": "None",
            "timeout_s": 2.0,
            "retries": 1,
        }
        return Plan(**{**usual, **changes})

    def moves(self, **changes: Any) -> None:
        Mover(self.plan(**changes), self.folder).run()

    def made(self) -> dict[str, bytes]:
        names = ("out", "failed")
        return {
            path.name: path.read_bytes()
            for path in sorted(self.folder.iterdir())
            if path.name.rpartition(".")[2] in names
        }


@pytest.fixture
def share(tmp_path: Path, instance: Instance) -> Share:
    return Share(tmp_path, instance)


def test_answers_come_in_the_order_of_the_records_however_many_are_asked_at_once(
    share: Share, instance: Instance
) -> None:
    lines = [f"a{number}" for number in range(40)]
    share.holds("\n".join(lines).encode(), b"", b"z\n")
    share.moves()
    assert share.made() == {
        "0.out": "".join(f"A{number}\n" for number in range(40)).encode(),
        "1.out": b"",
        "2.out": b"Z\n",
    }
    assert len(instance.asked) == 41


def test_what_an_earlier_run_finished_is_not_done_again(share: Share, instance: Instance) -> None:
    share.holds(b"a", b"b", b"c", b"d")
    (share.folder / "0.out").write_bytes(b"whole")
    (share.folder / "1.failed").write_bytes(b"why")
    (share.folder / "2.published").touch()
    (share.folder / "3.new").write_bytes(b"half")
    share.moves()
    assert share.made() == {"0.out": b"whole", "1.failed": b"why", "3.out": b"D\n"}
    assert instance.asked == [b"d"]


def test_a_refusal_is_final_and_a_server_error_is_not(share: Share, instance: Instance) -> None:
    def answer(body: bytes) -> tuple[int, bytes]:
        if body == b"bad":
            return 400, b"no such thing"
        return (200, b"ok") if instance.asked.count(body) > 1 else (500, b"busy")

    instance.answer = answer
    share.holds(b"fine\n", b"good\nbad\n", b"late\n")
    share.moves(concurrency=1)
    made = share.made()
    assert made["0.out"] == made["2.out"] == b"ok\n"
    assert b"AlgorithmError: s3://b/1, byte 5: " in made["1.failed"]
    assert b"status 400: no such thing" in made["1.failed"]
    assert instance.asked.count(b"bad") == 1
    assert "no such thing" in (share.folder / "log").read_text()


def test_what_fails_again_and_again_is_told_with_the_number_of_tries(
    share: Share, instance: Instance
) -> None:
    instance.answer = lambda _: (503, b"never")
    share.holds(b"a\n")
    share.moves()
    assert b"after 2 tries: status 503: never" in share.made()["0.failed"]


def test_an_object_that_was_replaced_meanwhile_fails(share: Share) -> None:
    share.holds(b"a\n", b"b\n")
    (share.folder.parent / "data" / "0").write_bytes(b"other\n")
    share.moves()
    assert b"replaced after the job had started" in share.made()["0.failed"]
    assert share.made()["1.out"] == b"B\n"


def test_an_object_that_is_no_gzip_file_fails(share: Share) -> None:
    share.holds(b"plain\n")
    share.moves(is_gzip=True)
    assert b"s3://b/0: Not a gzipped file" in share.made()["0.failed"]


def test_a_container_that_is_never_healthy_or_gone_ends_the_run(
    share: Share, instance: Instance
) -> None:
    share.holds(b"a\n")
    instance.is_healthy = False
    with pytest.raises(NotHealthyError, match="did not pass the ping health check"):
        share.moves()
    instance.is_healthy = True

    def die(_body: bytes) -> tuple[int, bytes]:
        instance.server.shutdown()
        instance.server.server_close()
        raise ConnectionError

    instance.answer = die
    with pytest.raises(InstanceLostError):
        share.moves(retries=3)
    assert share.made() == {}


def test_an_object_without_a_limit_is_sent_in_chunks(share: Share, instance: Instance) -> None:
    content = b"abc\n" * 1_000_000
    share.holds(content)
    share.moves(split_type="None", max_payload_mb=0, strategy=None)
    assert instance.asked == [content]
    assert share.made()["0.out"] == content.upper()


def test_the_request_wins_over_the_container_which_wins_over_the_defaults(share: Share) -> None:
    wishes = {"MaxConcurrentTransforms": 7, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 3}
    silent = share.plan(strategy=None, max_payload_mb=None, concurrency=None)
    tuned = tune(silent, wishes, looks_inside=False)
    assert (tuned.concurrency, tuned.splitting.is_multi_record) == (7, False)
    assert tuned.splitting.limit_bytes == 3 << 20
    usual = tune(silent, {"MaxPayloadInMB": "much"}, looks_inside=False)
    assert (usual.concurrency, usual.splitting.is_multi_record) == (1, True)
    assert usual.splitting.limit_bytes == 6 << 20
    asked = tune(share.plan(), wishes, looks_inside=False)
    assert (asked.concurrency, asked.splitting.limit_bytes) == (4, 1 << 20)
