"""`intermodal logs` and `prune` on a home without an engine."""

import json
import threading
import time
from pathlib import Path

import pytest

from intermodal_contract.statuses import TrainingJobStatus
from intermodal_engine.cli import main
from intermodal_engine.clock import SystemClock
from intermodal_engine.settings import Settings
from intermodal_engine.store.database import Database
from intermodal_engine.store.log_streams import LogStreams
from intermodal_engine.store.records import Records

JOBS = "/aws/sagemaker/TrainingJobs"


class Home:
    """A home with records and logs."""

    def __init__(self, path: Path) -> None:
        self.settings = Settings(home=path)
        self.database = Database(self.settings.database_file)
        self.records = Records(self.database, SystemClock())

    def add_job(self, name: str, status: str) -> None:
        self.records.insert(
            "training-job", name, arn=name, request={}, status=status, state={}, tags={}
        )

    def write(self, group: str, stream: str, *lines: str) -> None:
        path = LogStreams(self.settings.logs_folder).path(group, stream)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    def run(self, *arguments: str) -> int:
        return main([*arguments, "--home", str(self.settings.home)])


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_the_log_of_one_instance_is_printed_as_it_was_written(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.add_job("digits", TrainingJobStatus.COMPLETED)
    home.write(JOBS, "digits/algo-1-1", "1000 epoch 1", "1001 epoch 2")
    home.write(JOBS, "digits-2/algo-1-1", "1000 another job")
    assert home.run("logs", "digits") == 0
    assert capsys.readouterr().out == "epoch 1\nepoch 2\n"


def test_the_logs_of_several_instances_are_merged_by_time(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.write("/aws/sagemaker/Endpoints/web", "main/i-1", "1000 a", "1003 d")
    home.write("/aws/sagemaker/Endpoints/web", "main/i-2", "1001 b", "1002 c")
    assert home.run("logs", "web") == 0
    assert capsys.readouterr().out == "i-1 | a\ni-2 | b\ni-2 | c\ni-1 | d\n"


def test_a_name_that_is_not_there_is_named(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert home.run("logs", "nobody") == 1
    assert "no job or endpoint `nobody`" in capsys.readouterr().err


def test_follow_goes_on_until_the_job_has_ended(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.add_job("digits", TrainingJobStatus.IN_PROGRESS)
    codes: list[int] = []
    follower = threading.Thread(target=lambda: codes.append(home.run("logs", "digits", "--follow")))
    follower.start()
    for number in range(3):
        home.write(JOBS, "digits/algo-1-1", f"{1000 + number} line {number}")
        time.sleep(0.1)
    assert follower.is_alive()
    home.write(JOBS, "digits/algo-1-1", "1009 last words")
    with home.records.edit("training-job", "digits") as draft:
        draft.status = TrainingJobStatus.FAILED
    follower.join(10)
    assert codes == [0]
    shown = capsys.readouterr()
    assert shown.out == "line 0\nline 1\nline 2\nlast words\n"
    assert "`digits` has ended: Failed" in shown.err


def test_prune_frees_ended_jobs_only(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    for name, status in (
        ("ended", TrainingJobStatus.COMPLETED),
        ("runs", TrainingJobStatus.IN_PROGRESS),
    ):
        home.add_job(name, status)
        folder = home.settings.instances_folder / "training-job" / name
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
    assert home.run("prune", "--older-than", "0s", "--dry-run") == 0
    assert "would be freed" in capsys.readouterr().err
    assert home.run("prune", "--older-than", "0s", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["what"], Path(row["path"]).name) == ("instance", "ended")
    left = home.settings.instances_folder / "training-job"
    assert [one.name for one in left.iterdir()] == ["runs"]


def test_prune_of_an_empty_home_frees_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prune", "--home", str(tmp_path)]) == 0
    assert "in 0 places" in capsys.readouterr().err


@pytest.mark.parametrize("age", ["5", "h", "-1d", "1.5h", ""])
def test_an_age_that_is_none_is_a_usage_error(age: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["prune", f"--older-than={age}"])
    assert caught.value.code == 2
