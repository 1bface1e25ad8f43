"""Code out of a git repository: a real one, on this machine's disk."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from intermodal import Session
from intermodal.errors import CodeFetchError, InvalidArgumentsError, MissingDependencyError
from intermodal.git_code import Clone, git_problems
from intermodal.model import Model
from intermodal.pytorch import PyTorch
from tests.helpers.fake_aws import ROLE_ARN, FakeAws, tar_gz


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """With a branch `main` of two commits, and a branch `other`."""
    folder = tmp_path / "repository"
    (folder / "src").mkdir(parents=True)
    (folder / "lib").mkdir()
    git(folder, "init", "--quiet")
    for content in ("first", "second"):
        (folder / "src" / "train.py").write_text(f"print('{content}')\n")
        (folder / "lib" / "more.py").write_text("x = 1\n")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", content)
    git(folder, "checkout", "--quiet", "-b", "other")
    (folder / "src" / "train.py").write_text("print('other')\n")
    git(folder, "commit", "--quiet", "-a", "-m", "other")
    git(folder, "checkout", "--quiet", "main")
    return folder


def estimator(session: Session, repository: Path, **git_config: Any) -> PyTorch:
    return PyTorch(
        "train.py",
        framework_version="2.2.0",
        role=ROLE_ARN,
        instance_count=1,
        instance_type="ml.m5.large",
        source_dir="src",
        dependencies=["lib"],
        git_config={"repo": f"file://{repository}", **git_config},
        sagemaker_session=session,
    )


def packed(aws: FakeAws) -> dict[str, bytes]:
    key = next(key for _, key in aws.objects if key.endswith("sourcedir.tar.gz"))
    return aws.archive("sagemaker-us-west-2-123456789012", key)


@pytest.mark.parametrize(("branch", "content"), [(None, "second"), ("other", "other")])
def test_a_branch_is_fetched_and_packed(
    aws: FakeAws, session: Session, repository: Path, branch: str | None, content: str
) -> None:
    which = {"branch": branch} if branch else {}

    estimator(session, repository, **which).fit(wait=False)

    files = packed(aws)
    assert files["train.py"] == f"print('{content}')\n".encode()
    assert sorted(files) == ["lib/more.py", "train.py"]
    sent = aws.params("CreateTrainingJob")["HyperParameters"]
    assert sent["sagemaker_program"] == '"train.py"'


def test_a_commit_is_found_wherever_it_lies(
    aws: FakeAws, session: Session, repository: Path
) -> None:
    first = git(repository, "rev-list", "--max-parents=0", "main")

    estimator(session, repository, branch="other", commit=first).fit(wait=False)

    assert packed(aws)["train.py"] == b"print('first')\n"


def test_a_models_code_may_come_from_a_repository(
    aws: FakeAws, session: Session, repository: Path
) -> None:
    aws.objects["mybucket", "m.tar.gz"] = tar_gz({"model.pt": b"m"})
    model = Model(
        "image",
        "s3://mybucket/m.tar.gz",
        ROLE_ARN,
        entry_point="src/train.py",
        git_config={"repo": f"file://{repository}"},
        name="m",
        sagemaker_session=session,
    )

    model.create()

    files = aws.archive("sagemaker-us-west-2-123456789012", "m/model.tar.gz")
    assert sorted(files) == ["code/train.py", "model.pt"]


def test_what_git_says_is_told_and_nothing_is_sent(
    aws: FakeAws, session: Session, repository: Path
) -> None:
    with pytest.raises(CodeFetchError, match="Remote branch nowhere not found") as raised:
        estimator(session, repository, branch="nowhere").fit(wait=False)
    assert "see `repo`, `branch` and `commit`" in (raised.value.hint or "")
    assert aws.calls == []


def test_a_script_that_the_repository_has_not_is_named(
    aws: FakeAws, session: Session, repository: Path
) -> None:
    wanted = estimator(session, repository)
    wanted.entry_point = "nowhere.py"

    with pytest.raises(InvalidArgumentsError, match="`entry_point`: there is no file"):
        wanted.fit(wait=False)
    assert aws.calls == []


def test_a_link_that_leads_out_of_the_repository_is_not_followed(
    aws: FakeAws, session: Session, repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("s")
    (repository / "src" / "link").symlink_to(tmp_path / "secret")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "link")

    with pytest.raises(CodeFetchError, match="`src/link` leads out of the repository"):
        estimator(session, repository).fit(wait=False)
    assert aws.calls == []


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "`repo` is missing"),
        ({"repo": "/here"}, "`repo` has to begin with one of https://"),
        ({"repo": "https://x", "branch": "--upload-pack=x"}, "`branch` has to be text"),
        ({"repo": "https://x", "brunch": "x"}, "`brunch` is none of repo"),
        ({"repo": "https://x", "2FA_enabled": True, "password": "p"}, "give a `token`"),
        ("https://x", "a str; give a dictionary"),
    ],
)
def test_what_is_wrong_with_a_git_config_is_told(config: Any, words: str) -> None:
    assert words in " ".join(git_problems(config, "train.py"))


@pytest.mark.parametrize(
    ("given", "credentials"),
    [
        ({"token": "T"}, "eC1hY2Nlc3MtdG9rZW46VA=="),
        ({"username": "u", "password": "p"}, "dTpw"),
    ],
)
def test_secrets_reach_git_in_its_environment_alone(
    given: dict[str, str], credentials: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "git"
    program.write_text(
        '#!/bin/sh\necho "$GIT_CONFIG_KEY_0 $GIT_CONFIG_VALUE_0 $GIT_TERMINAL_PROMPT" >&2\nexit 1\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    with pytest.raises(CodeFetchError) as raised:
        Clone({"repo": "https://user:old@host/x", **given}).fetch()

    said = str(raised.value)
    assert f"http.https://host/.extraHeader Authorization: Basic {credentials} 0" in said
    assert "git could not fetch `https://host/x`" in said


def test_without_git_it_is_said_what_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(MissingDependencyError, match="the program `git` is needed"):
        Clone({"repo": "https://host/x"}).fetch()
