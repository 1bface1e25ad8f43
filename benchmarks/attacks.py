"""The same attacks on the engine and on moto's server, as a table: `python -m benchmarks.attacks`.

Installs nothing. The row of moto needs its server: `pip install "moto[server,s3]"` in some other
environment, and the path of its `moto_server` in `--moto`.
"""

import argparse
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

PATIENCE_S = 30.0
BUCKET = "attacked"


@dataclass
class Victim:
    """A server under attack.

    Attributes:
        name: for the table.
        port: where it listens.
        command: starts it.
        environment: of its process.
        keys: what an honest client signs with.
        folder: where it may keep files; anything outside is an escape.
    """

    name: str
    port: int
    command: list[str]
    environment: dict[str, str]
    folder: Path
    keys: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it; returns when it answers."""
        self.process = subprocess.Popen(
            self.command,
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise SystemExit(f"{self.name} does not answer on port {self.port}")

    def kill(self) -> None:
        """Ends it by SIGKILL."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def client(self, service: str, **keys: str) -> Any:
        """An honest client, or one with other keys."""
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name="us-east-1",
            config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}),
            **{**self.keys, **keys},
        )

    def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> int:
        """A request as it is; the status of its answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, dict(headers))
            return connection.getresponse().status
        finally:
            connection.close()


def unsigned_call(victim: Victim) -> str:
    """A call without a signature makes a bucket."""
    victim.send("PUT", "/unsigned", b"", {})
    return _verdict(_has_bucket(victim, "unsigned"), "the bucket is made", "refused")


def wrong_signature(victim: Victim) -> str:
    """A call that was signed with another secret makes a bucket."""
    try:
        victim.client("s3", aws_secret_access_key="guessed").create_bucket(Bucket="guessed")
    except ClientError as error:
        refusal = str(error.response["Error"]["Code"])
    else:
        refusal = "refused"
    return _verdict(_has_bucket(victim, "guessed"), "the bucket is made", refusal)


def path_escape(victim: Victim) -> str:
    """Keys that climb leave a file outside the server's folder."""
    name = f"escape-{secrets.token_hex(4)}"
    client = victim.client("s3")
    kept = 0
    for key in (f"../../../{name}", f"a/../../../../{name}", f"/{name}", f"..%2f..%2f{name}"):
        client.put_object(Bucket=BUCKET, Key=key, Body=b"x")
        kept += client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"x"
    found = [parent / name for parent in victim.folder.parents if (parent / name).exists()]
    return _verdict(bool(found), f"a file at {found}", f"none outside; {kept} of 4 keys read back")


def cross_site_form(victim: Victim) -> str:
    """A form on a foreign page stores an object; a browser asks nobody before it sends one."""
    lines = (
        '--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nform\r\n',
        '--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nevil\r\n--x--\r\n',
    )
    headers = {
        "Content-Type": "multipart/form-data; boundary=x",
        "Origin": "http://evil.example",
        "Referer": "http://evil.example/",
    }
    status = victim.send("POST", f"/{BUCKET}", "".join(lines).encode(), headers)
    return _verdict(_has_object(victim, "form"), "the object is stored", f"refused ({status})")


def reset_by_form(victim: Victim) -> str:
    """A form on a foreign page has the server forget everything, by its own paths."""
    victim.client("s3").put_object(Bucket=BUCKET, Key="mine", Body=b"x")
    for path in ("/moto-api/reset", "/_intermodal/reset", "/_localstack/state/reset"):
        victim.send("POST", path, b"", {"Origin": "http://evil.example"})
    lost = not _has_object(victim, "mine")
    return _verdict(lost, "everything is gone", "nothing is lost")


def rebound_name(victim: Victim) -> str:
    """A page whose DNS name was pointed to loopback reads an answer."""
    headers = {"Host": "evil.example", "Origin": "http://evil.example"}
    status = victim.send("GET", "/", b"", headers)
    return _verdict(status == 200, "it reads the answer", f"refused ({status})")


def kill_and_restart(victim: Victim) -> str:
    """What was acknowledged is there after kill -9 and a new start."""
    client = victim.client("s3")
    if not _has_bucket(victim, BUCKET):
        client.create_bucket(Bucket=BUCKET)
    client.put_object(Bucket=BUCKET, Key="acknowledged", Body=b"x" * 1000)
    victim.kill()
    victim.start()
    lost = not _has_object(victim, "acknowledged")
    return _verdict(lost, "buckets and objects are gone", "all there")


ATTACKS: tuple[tuple[str, Callable[[Victim], str]], ...] = (
    ("unsigned call", unsigned_call),
    ("wrong signature", wrong_signature),
    ("path escape", path_escape),
    ("cross-site form stores an object", cross_site_form),
    ("DNS rebinding: a page reads", rebound_name),
    ("cross-site form resets the server", reset_by_form),
    ("kill -9, then restart", kill_and_restart),
)


def main() -> int:
    """Attacks both and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks", description=__doc__)
    parser.add_argument("--moto", metavar="PATH", help="moto's program `moto_server`")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="intermodal-attacks-") as folder:
        victims = [_engine(Path(folder))]
        if options.moto:
            victims.append(_moto(Path(folder), options.moto))
        answers = [_attack(victim) for victim in victims]
    print("| attack | " + " | ".join(victim.name for victim in victims) + " |")
    print("|---|" + "---|" * len(victims))
    for place, (name, _) in enumerate(ATTACKS):
        print(f"| {name} | " + " | ".join(one[place] for one in answers) + " |")
    return 0


def _attack(victim: Victim) -> list[str]:
    victim.start()
    try:
        if victim.name == "intermodal":
            victim.keys = _engines_keys(victim.folder / "home")
        victim.client("s3").create_bucket(Bucket=BUCKET)
        return [attack(victim) for _, attack in ATTACKS]
    finally:
        victim.kill()


def _engine(folder: Path) -> Victim:
    port, inside = _free_port(), folder / "engine" / "a" / "b"
    inside.mkdir(parents=True)
    home = inside / "home"
    command = [sys.executable, "-m", "intermodal_engine.cli", "up", "--driver", "fake"]
    command += ["--port", str(port), "--home", str(home)]
    return Victim("intermodal", port, command, _scrubbed(), inside)


def _moto(folder: Path, program: str) -> Victim:
    port, inside = _free_port(), folder / "moto" / "a" / "b"
    inside.mkdir(parents=True)
    command = [program, "-H", "127.0.0.1", "-p", str(port)]
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return Victim("moto's server", port, command, _scrubbed(), inside, keys)


def _engines_keys(home: Path) -> dict[str, str]:
    pair = json.loads((home / "credentials.json").read_bytes())
    return {
        "aws_access_key_id": pair["access_key_id"],
        "aws_secret_access_key": pair["secret_access_key"],
    }


def _scrubbed() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _has_bucket(victim: Victim, bucket: str) -> bool:
    return bucket in {one["Name"] for one in victim.client("s3").list_buckets()["Buckets"]}


def _has_object(victim: Victim, key: str) -> bool:
    try:
        victim.client("s3").head_object(Bucket=BUCKET, Key=key)
    except (ClientError, BotoCoreError):
        return False
    return True


def _verdict(succeeded: bool, what: str, otherwise: str) -> str:
    return f"**succeeds**: {what}" if succeeded else otherwise


if __name__ == "__main__":
    sys.exit(main())
