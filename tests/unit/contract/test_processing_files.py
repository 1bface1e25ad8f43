"""What lies below /opt/ml while a processing job runs."""

import json
import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermodal_contract.processing_files import (
    EXIT_MESSAGE_LIMIT,
    ExitMessageError,
    InvalidLocalPathError,
    ProcessingPaths,
    parse_local_path,
    read_exit_message,
    write_processing_input,
)
from intermodal_contract.training_files import ResourceConfig


@pytest.fixture
def paths(tmp_path: Path) -> ProcessingPaths:
    paths = ProcessingPaths(tmp_path / "ml")
    write_processing_input(
        paths,
        job={"ProcessingJobName": "clean", "AppSpecification": {"ImageUri": "é:1"}},
        resources=ResourceConfig("algo-2", ("algo-1", "algo-2")),
    )
    return paths


def test_the_layout_is_the_services() -> None:
    paths = ProcessingPaths()
    assert str(paths.job_config_file) == "/opt/ml/config/processingjobconfig.json"
    assert str(paths.resource_config_file) == "/opt/ml/config/resourceconfig.json"
    assert str(paths.message_file) == "/opt/ml/output/message"
    assert str(paths.local(PurePosixPath("/opt/ml/processing/a/b"))) == "/opt/ml/processing/a/b"


def test_the_container_finds_the_job_and_its_hosts(paths: ProcessingPaths) -> None:
    job = json.loads(paths.job_config_file.read_text(encoding="utf-8"))
    assert job == {"ProcessingJobName": "clean", "AppSpecification": {"ImageUri": "é:1"}}
    resources = json.loads(paths.resource_config_file.read_text())
    assert resources["current_host"] == "algo-2"
    assert resources["hosts"] == ["algo-1", "algo-2"]
    assert paths.processing.is_dir()
    assert paths.output.is_dir()


def test_a_local_path_is_a_folder_below_processing() -> None:
    assert parse_local_path("/opt/ml/processing/in/") == PurePosixPath("/opt/ml/processing/in")


@pytest.mark.parametrize(
    "text",
    ["", "in", "/", "/opt/ml/processing", "/opt/ml/input/data", "/opt/ml/processing/../model"],
)
def test_a_local_path_anywhere_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidLocalPathError, match="does not begin with `/opt/ml/processing/`"):
        parse_local_path(text)


def test_the_messages_of_all_hosts_are_joined_in_order(tmp_path: Path) -> None:
    hosts = [ProcessingPaths(tmp_path / name) for name in ("one", "two", "three")]
    for paths, text in zip(hosts, ("first ", None, "third"), strict=True):
        paths.output.mkdir(parents=True)
        if text is not None:
            paths.message_file.write_text(text)
    assert read_exit_message(hosts) == "first third"


def test_without_any_message_there_is_none(paths: ProcessingPaths) -> None:
    assert read_exit_message([paths]) is None
    paths.message_file.write_text("")
    assert read_exit_message([paths]) is None


@given(text=st.text(min_size=1, max_size=EXIT_MESSAGE_LIMIT + 9))
def test_a_message_is_cut_at_a_kilobyte_between_characters(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    paths = ProcessingPaths(tmp_path_factory.mktemp("ml"))
    paths.output.mkdir()
    paths.message_file.write_bytes(text.encode())
    message = read_exit_message([paths])
    assert message is not None
    assert text.startswith(message)
    assert EXIT_MESSAGE_LIMIT - 4 < len(message.encode()) <= EXIT_MESSAGE_LIMIT or message == text


def test_a_message_that_is_no_text_is_an_error_that_says_so(paths: ProcessingPaths) -> None:
    paths.message_file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ExitMessageError, match="not UTF-8"):
        read_exit_message([paths])


def test_a_message_that_is_no_plain_file_is_not_read(
    paths: ProcessingPaths, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    paths.message_file.symlink_to(tmp_path / "secret")
    assert read_exit_message([paths]) is None
    paths.message_file.unlink()
    os.mkfifo(paths.message_file)
    assert read_exit_message([paths]) is None
