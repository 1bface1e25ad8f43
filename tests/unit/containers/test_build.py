"""Why a build failed, in words that say what to do."""

import pytest

from containers.build import explain, main

OWN = """\
#9 [system 2/2] RUN --mount=type=bind,source=containers/system.sh
#9 0.412 error: the base image lacks python3.11, and has no apt-get to install that with
#9 0.412 hint: name a base on Debian or Ubuntu with BASE_IMAGE=...
#9 ERROR: executor failed running [/bin/sh -c ...]: exit code: 1
"""


def test_what_our_own_steps_say_is_the_message() -> None:
    error = explain(OWN.splitlines())
    assert error.message.startswith("the base image lacks python3.11")
    assert error.hint == "name a base on Debian or Ubuntu with BASE_IMAGE=..."


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        (
            "#12 3.1 write /opt/venv/lib/x: no space left on device",
            "the disk is full: write /opt/venv/lib/x: no space left on device",
            "docker builder prune",
        ),
        (
            "#5 0.2 exec /bin/sh: exec format error",
            "for another kind of CPU",
            "BASE_IMAGE",
        ),
        (
            "#8 2.2   x No solution found when resolving dependencies:",
            "cannot be had together",
            "containers/lock.py",
        ),
        (
            "failed to solve: debian:none: failed to resolve source metadata",
            "the base image cannot be pulled",
            ".ci/stand-in-base",
        ),
        (
            "failed to do request: Head: dial tcp: lookup registry: no such host",
            "the base image cannot be pulled",
            ".ci/stand-in-base",
        ),
    ],
)
def test_what_docker_says_is_explained(said: str, message: str, hint: str) -> None:
    error = explain(["#1 [internal] load build definition", said])
    assert message in error.message
    assert hint in str(error.hint)


FULL = """\
#9 12.1 error: Failed to install: mxnet-1.9.1-py3-none-manylinux2014_x86_64.whl
#9 12.1   Caused by: No space left on device (os error 28)
#9 ERROR: executor failed running [/bin/sh -c sh /build/install.sh framework]: exit code: 2
------
 > [framework 1/2] RUN sh /build/install.sh framework:


executor failed running [/bin/sh -c sh /build/install.sh framework]: exit code: 2
"""


def test_a_full_disk_is_told_whoever_met_it() -> None:
    error = explain(FULL.splitlines())
    assert error.message.startswith("the disk is full: Caused by: No space left on device")


def test_what_nobody_foresaw_is_shown_and_not_what_docker_repeats() -> None:
    said = ["#1 0.1 something", "#1 0.2 went wrong", "#1 0.3 ", "------", " > [a 1/2] RUN b:", ""]
    error = explain([*said, "executor failed running [/bin/sh -c b]: exit code: 1"])
    assert error.message.endswith("docker said:\nsomething\nwent wrong")


def test_without_docker_there_is_one_clear_message(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from containers.docker_cli import find_docker

    find_docker.cache_clear()
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("DOCKER", raising=False)
    assert main(["training"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 2
    assert "there is no `docker` on the PATH" in said
    assert "hint: install docker" in said


def test_a_wrong_choice_is_told_before_docker_is_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["training", "--framework", "jax"]) == 1
    assert "no release of jax" in capsys.readouterr().err
    assert main(["training", "--code", "/nonexistent"]) == 1
    assert "`/nonexistent` is no folder" in capsys.readouterr().err
