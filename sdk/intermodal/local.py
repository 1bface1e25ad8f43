"""How the local engine is found and, where none runs, started.

The engine is another program, known by two files in its home: `engine.json`, `credentials.json`.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intermodal.errors import EngineUnavailableError
from intermodal.session import Session
from intermodal_contract.local_engine import HEALTH_PATH

ENGINE_PACKAGE = "intermodal_engine"
START_LIMIT_S = 60.0
ANSWER_LIMIT_S = 5.0
# A proxy is for the world outside, and so are these variants of AWS's addresses. Bodies for S3
# are held to their CRC32 and not signed, as boto3 has it towards AWS itself, over TLS: the SHA-256
# costs more than a second of processor time a gigabyte.
_ON_THIS_MACHINE = {
    "proxies": {},
    "use_dualstack_endpoint": False,
    "use_fips_endpoint": False,
    "s3": {"payload_signing_enabled": False},
}


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine, as its home tells.

    Attributes:
        endpoint_url: where every AWS service is answered.
        region: the region of its ARNs.
        access_key_id: its own key pair.
        secret_access_key: its own key pair.
    """

    endpoint_url: str
    region: str
    access_key_id: str
    secret_access_key: str


class LocalSession(Session):
    """A session with the local engine, which is started if none runs.

    Args:
        home: the engine's home; `$INTERMODAL_HOME`, else `~/.intermodal`, where `None`.
        default_bucket: as in `Session`.
        default_bucket_prefix: as in `Session`.

    Raises:
        EngineUnavailableError: the engine is not installed or does not start.
    """

    def __init__(
        self,
        home: str | Path | None = None,
        default_bucket: str | None = None,
        default_bucket_prefix: str | None = None,
    ) -> None:
        self.engine = running_engine(Path(home) if home else default_home())
        super().__init__(
            _boto_session(self.engine),
            default_bucket=default_bucket,
            default_bucket_prefix=default_bucket_prefix,
            endpoint_url=self.engine.endpoint_url,
            client_settings=_ON_THIS_MACHINE,
        )


def default_home() -> Path:
    """`$INTERMODAL_HOME`, else `~/.intermodal`."""
    return Path(os.environ.get("INTERMODAL_HOME") or Path.home() / ".intermodal").absolute()


def running_engine(home: Path) -> Engine:
    """The engine of that home, started if it does not run.

    Raises:
        EngineUnavailableError: it is not installed or does not start.
    """
    engine = find_engine(home)
    if engine is None:
        start_engine(home)
        engine = find_engine(home)
    if engine is None:
        raise EngineUnavailableError(
            f"the engine was started but does not answer; its home is `{home}`",
            hint=f"see `{home / 'engine.log'}`, or run `intermodal up` to watch it start",
        )
    return engine


def find_engine(home: Path) -> Engine | None:
    """The engine of that home if it answers; after its end, its port may be another program's."""
    try:
        state = json.loads((home / "engine.json").read_text())
        keys = json.loads((home / "credentials.json").read_text())
        engine = Engine(
            state["endpoint_url"],
            state.get("region") or "us-east-1",
            keys["access_key_id"],
            keys["secret_access_key"],
        )
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None
    return engine if _serves(engine.endpoint_url, str(state.get("home"))) else None


def start_engine(home: Path) -> None:
    """Run `intermodal up --detach` for that home and wait until it has returned.

    Raises:
        EngineUnavailableError: it is not installed, or it refused to start.
    """
    import subprocess
    import sys
    from importlib.util import find_spec

    if find_spec(ENGINE_PACKAGE) is None:
        raise EngineUnavailableError(
            "no local engine runs and none is installed",
            hint="pip install 'intermodal[engine]'",
        )
    command = [sys.executable, "-m", f"{ENGINE_PACKAGE}.cli", "up", "--detach"]
    environment = {**os.environ, "INTERMODAL_HOME": str(home)}
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=START_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineUnavailableError(
            f"`intermodal up --detach` did not return within {START_LIMIT_S:.0f} s",
            hint=f"see `{home / 'engine.log'}`",
        ) from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip() or "it said nothing"
        raise EngineUnavailableError(
            f"`intermodal up --detach` ended with exit code {done.returncode}: {said}",
            hint="start it yourself with the options that it needs; a session uses one that runs",
        )


def _boto_session(engine: Engine) -> Any:
    """A session with the engine's keys, which no profile or configuration file reaches."""
    import boto3
    import botocore.session

    nothing = (None, None, os.devnull, None)
    core = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": nothing,
            "credentials_file": nothing,
        }
    )
    return boto3.Session(
        aws_access_key_id=engine.access_key_id,
        aws_secret_access_key=engine.secret_access_key,
        region_name=engine.region,
        botocore_session=core,
    )


def _serves(endpoint_url: str, home: str) -> bool:
    """Whether the engine of that home, and no other program, answers there."""
    from http.client import HTTPConnection, HTTPException
    from urllib.parse import urlsplit

    parts = urlsplit(endpoint_url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_LIMIT_S)
    try:
        connection.request("GET", HEALTH_PATH)
        return bool(json.loads(connection.getresponse().read())["home"] == home)
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return False
    finally:
        connection.close()
