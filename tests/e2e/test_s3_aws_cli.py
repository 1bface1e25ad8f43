"""The AWS CLI's own way with S3: mb, cp, sync, ls, rm, rb."""

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from tests.helpers.engine import RunningEngine

pytestmark = pytest.mark.e2e

# The CLI of this interpreter; its warnings about old Pythons are no business of ours.
CLI = (sys.executable, "-W", "ignore", "-m", "awscli", "s3")


def test_a_folder_goes_up_is_listed_synced_and_removed(
    engine: RunningEngine, tmp_path: Path
) -> None:
    bucket = f"s3://cli-{uuid.uuid4().hex}"

    def aws(*arguments: str) -> str:
        done = subprocess.run(
            [*CLI, *arguments],
            env=engine.environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    data = tmp_path / "data"
    (data / "deep").mkdir(parents=True)
    (data / "a b.csv").write_text("1,2")
    (data / "deep" / "é.bin").write_bytes(bytes(9 << 20))
    for file in (data / "a b.csv", data / "deep" / "é.bin"):
        # S3 keeps whole seconds, so a file of this very second looks newer than its object.
        os.utime(file, (time.time() - 10, time.time() - 10))
    aws("mb", bucket)
    aws("sync", "data", f"{bucket}/data")
    assert aws("sync", "data", f"{bucket}/data") == "", "nothing is new"
    listed = aws("ls", f"{bucket}/data/")
    assert "PRE deep/" in listed
    assert "a b.csv" in listed
    assert len(aws("ls", "--recursive", bucket).splitlines()) == 2
    aws("cp", f"{bucket}/data/deep/é.bin", "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == bytes(9 << 20)
    aws("cp", f"{bucket}/data/a b.csv", f"{bucket}/copy.csv")
    (data / "a b.csv").unlink()
    aws("sync", "--delete", "data", f"{bucket}/data")
    assert "a b.csv" not in aws("ls", "--recursive", bucket)
    aws("rm", "--recursive", f"{bucket}/data")
    aws("rb", "--force", bucket)
    assert bucket.removeprefix("s3://") not in aws("ls")
