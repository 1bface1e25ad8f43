"""The program `train`, really run."""

import io
import json
import sys
import tarfile
from pathlib import Path

import pytest

from intermodal_contract import env
from intermodal_contract.artifact import pack, pack_files
from intermodal_contract.channel import Channel, S3Uri
from intermodal_contract.training_files import InstanceGroup, ResourceConfig
from intermodal_training.user_code import EntryKind, find_entry_point
from tests.helpers.train_program import TrainProgram

SHOW_ARGUMENTS = "import json, sys; print(json.dumps(sys.argv[1:]))"
SHOW_ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"


def test_a_script_runs_in_the_code_folder_and_leaves_the_success_file(train: TrainProgram) -> None:
    result = train.run({"train.py": "import os; print(os.getcwd(), __name__)"})
    assert (result.code, result.failure) == (0, None)
    assert result.out == f"{train.paths.code} __main__\n"
    assert result.err == ""
    assert train.paths.success_file.read_bytes() == b""


ENCODED = {
    "a-number": (3, "3"),
    "b-fraction": (0.001, "0.001"),
    "c-text": ("text", "text"),
    "d-empty": ("", ""),
    "e-true": (True, "True"),
    "f-false": (False, "False"),
    "g-none": (None, ""),
    "h-list": ([1, 2], "[1, 2]"),
    "i-object": ({"b": "x", "a": 1}, "a=1,b=x"),
    "j-unicode": ("ü 漢字 🚢", "ü 漢字 🚢"),
    "k-quotes": ("quote ' and \" and \\", "quote ' and \" and \\"),
    "l-lines": ("two\nlines\tand $HOME `id`", "two\nlines\tand $HOME `id`"),
    "m-minus": ("-1", "-1"),
    "z": (1, "1"),
}


def test_hyperparameters_become_arguments_whole(train: TrainProgram) -> None:
    values = {name: value for name, (value, _) in ENCODED.items()}
    result = train.run({"train.py": SHOW_ARGUMENTS}, values=values)
    expected = []
    for name, (_, argument) in ENCODED.items():
        expected += [f"-{name}" if len(name) == 1 else f"--{name}", argument]
    assert json.loads(result.out) == expected


def test_raw_values_are_json_where_they_can_be_and_stay_where_not(train: TrainProgram) -> None:
    folder = train.source({"train.py": SHOW_ARGUMENTS})
    train.prepare("train.py", str(folder), {})
    sent = json.loads(train.paths.hyperparameters_file.read_text())
    sent |= {"rate": "1e-3", "id": "007", "word": "abc", "broken": "[1", "d": '{"a": 1, "b": "x"}'}
    train.paths.hyperparameters_file.write_text(json.dumps(sent))
    result = train.finish(train.start_prepared())
    assert json.loads(result.out) == [
        *("--broken", "[1", "-d", "a=1,b=x", "--id", "007", "--rate", "0.001", "--word", "abc"),
    ]


def test_platform_hyperparameters_are_no_arguments(train: TrainProgram) -> None:
    values = {
        "epochs": 1,
        "x": 2,
        "sagemaker_region": "eu-west-1",
        "sagemaker_job_name": "job",
        "sagemaker_container_log_level": 10,
        "sagemaker_enable_cloudwatch_metrics": False,
        "sagemaker_custom": 1,
        "_tuning_objective_metric": "loss",
    }
    result = train.run({"train.py": SHOW_ARGUMENTS}, values=values)
    assert json.loads(result.out) == ["--epochs", "1", "-x", "2"]


def test_the_environment_tells_the_whole_job(train: TrainProgram) -> None:
    train.resources = ResourceConfig(
        current_host="algo-1",
        hosts=("algo-1",),
        current_instance_type="ml.m5.xlarge",
        current_group_name="workers",
        instance_groups=(InstanceGroup("workers", "ml.m5.xlarge", ("algo-1",)),),
    )
    train.channels = [
        Channel("train", S3Uri("bucket", "a"), content_type="text/csv"),
        Channel("test-set", S3Uri("bucket", "b")),
    ]
    train.environment |= {"MINE": "kept", "TRAINING_JOB_NAME": "by-service", "SM_MODEL_DIR": "/x"}
    values = {
        "epochs": 3,
        "learning-rate": 0.1,
        "note": 'it\'s "quoted"\nhere',
        "none": None,
        "sagemaker_region": "eu-west-1",
        "sagemaker_other": [1],
    }
    result = train.run({"train.py": SHOW_ENVIRONMENT}, values=values)
    seen = json.loads(result.out)
    expected = {
        "MINE": "kept",
        "SM_MODEL_DIR": str(train.paths.model),
        "SM_OUTPUT_DATA_DIR": str(train.paths.output_data),
        "SM_CHANNELS": '["test-set","train"]',
        "SM_CHANNEL_TRAIN": str(train.paths.channel("train")),
        "SM_CHANNEL_TEST-SET": str(train.paths.channel("test-set")),
        "SM_CHANNEL_TEST_SET": str(train.paths.channel("test-set")),
        "SM_HP_EPOCHS": "3",
        "SM_HP_LEARNING-RATE": "0.1",
        "SM_HP_LEARNING_RATE": "0.1",
        "SM_HP_NOTE": 'it\'s "quoted"\nhere',
        "SM_HP_NONE": "",
        "SM_FRAMEWORK_PARAMS": '{"sagemaker_other":[1]}',
        "SM_CURRENT_HOST": "algo-1",
        "SM_HOSTS": '["algo-1"]',
        "SM_CURRENT_INSTANCE_TYPE": "ml.m5.xlarge",
        "SM_CURRENT_INSTANCE_GROUP": "workers",
        "SM_CURRENT_INSTANCE_GROUP_HOSTS": '["algo-1"]',
        "SM_IS_HETERO": "false",
        "SM_USER_ENTRY_POINT": "train.py",
        "SM_MODULE_NAME": "train",
        "SM_LOG_LEVEL": "20",
        "SAGEMAKER_REGION": "eu-west-1",
        "SAGEMAKER_JOB_NAME": "by-service",
        "PYTHONUNBUFFERED": "1",
    }
    assert {name: seen[name] for name in expected} == expected
    assert json.loads(seen["SM_HPS"])["note"] == values["note"]
    assert json.loads(seen["SM_USER_ARGS"])[:2] == ["--epochs", "3"]
    assert json.loads(seen["SM_INPUT_DATA_CONFIG"])["train"]["ContentType"] == "text/csv"
    assert json.loads(seen["SM_TRAINING_ENV"])["hyperparameters"]["learning-rate"] == 0.1
    assert int(seen["SM_NUM_CPUS"]) >= 1
    assert seen["PYTHONPATH"].split(":")[0] == str(train.paths.code)
    assert "SM_TOPOLOGY" not in seen
    assert env.WARM_POOL_CACHE not in seen


def test_a_warm_pools_cache_is_where_opt_ml_is(train: TrainProgram) -> None:
    train.environment[env.WARM_POOL_CACHE] = "/opt/ml/sagemaker/warmpoolcache"
    seen = json.loads(train.run({"train.py": SHOW_ENVIRONMENT}).out)
    assert seen[env.WARM_POOL_CACHE] == str(train.paths.root / "sagemaker" / "warmpoolcache")


def test_what_the_job_sets_for_its_libraries_is_kept(train: TrainProgram) -> None:
    train.environment |= {
        "MASTER_PORT": "1234",
        "NCCL_DEBUG": "INFO",
        "PYTHONUNBUFFERED": "0",
        "PYTHONPATH": "/extra",
    }
    seen = json.loads(train.run({"train.py": SHOW_ENVIRONMENT}).out)
    assert (seen["MASTER_PORT"], seen["NCCL_DEBUG"]) == ("1234", "INFO")
    assert seen["PYTHONUNBUFFERED"] == "0"
    assert seen["PYTHONPATH"] == f"{train.paths.code}:/extra"


def test_a_shell_script_gets_its_arguments_whole(train: TrainProgram) -> None:
    script = 'for argument in "$@"; do printf "<%s>" "$argument"; done; echo " $SM_HP_A"'
    values = {"a": "it's $HOME\nhere", "b": ""}
    result = train.run({"run.sh": script}, program="run.sh", values=values)
    assert result.code == 0
    assert result.out == "<-a><it's $HOME\nhere><-b><> it's $HOME\nhere\n"


def test_a_shell_script_keeps_its_own_interpreter(train: TrainProgram) -> None:
    script = "#!/usr/bin/env bash\n[[ x == x ]] && echo $BASH_VERSION | grep -c ."
    assert train.run({"run.sh": script}, program="run.sh").out == "1\n"


def test_a_script_whose_interpreter_is_missing_says_so(train: TrainProgram) -> None:
    result = train.run({"run.sh": "#!/bin/bash\r\necho hi\r\n"}, program="run.sh")
    assert result.code == 1
    assert result.failure is not None
    assert result.failure.startswith("`run.sh` cannot be started")
    assert "carriage return" in result.failure


def test_an_executable_runs(train: TrainProgram) -> None:
    program = f"#!{sys.executable}\n{SHOW_ARGUMENTS}"
    result = train.run({"tools/learn": program}, program="tools/learn", values={"k": "v"})
    assert json.loads(result.out) == ["-k", "v"]


def test_a_module_of_the_source_runs(train: TrainProgram) -> None:
    files = {"model/__init__.py": "", "model/learn.py": "print(__package__, __name__)"}
    assert train.run(files, program="model.learn").out == "model __main__\n"


@pytest.mark.parametrize(
    ("name", "files", "found"),
    [
        ("train.py", ["train.py"], (EntryKind.SCRIPT, "train.py", False)),
        ("a/train.py", ["a/train.py"], (EntryKind.SCRIPT, "a/train.py", False)),
        ("run.sh", ["run.sh", "setup.py"], (EntryKind.SHELL, "run.sh", False)),
        ("learn", ["learn"], (EntryKind.EXECUTABLE, "learn", False)),
        ("train.py", ["train.py", "setup.py"], (EntryKind.MODULE, "train", True)),
        ("a/train.py", ["a/train.py", "setup.py"], (EntryKind.MODULE, "a.train", True)),
        ("train.py", ["train.py", "pyproject.toml"], (EntryKind.SCRIPT, "train.py", False)),
        ("a.train", ["pyproject.toml"], (EntryKind.MODULE, "a.train", True)),
        ("a", ["a/__main__.py"], (EntryKind.MODULE, "a", False)),
        ("a.train", ["a/train.py"], (EntryKind.MODULE, "a.train", False)),
    ],
)
def test_the_source_says_how_an_entry_point_is_run(
    tmp_path: Path, name: str, files: list[str], found: tuple[EntryKind, str, bool]
) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    entry_point = find_entry_point(tmp_path, name)
    assert (entry_point.kind, entry_point.name, entry_point.is_package) == found


def test_a_script_in_a_folder_runs_from_the_root_of_the_source(train: TrainProgram) -> None:
    files = {"src/train.py": "import shared; print(shared.NAME)", "shared.py": "NAME = 'root'"}
    assert train.run(files, program="src/train.py").out == "root\n"


@pytest.mark.parametrize("kind", ["folder", "archive", "file-uri"])
def test_the_source_comes_from_a_folder_or_an_archive(train: TrainProgram, kind: str) -> None:
    folder = train.source({"train.py": "print('submitted')", "lib/a.py": ""})
    archive = train.root / "sourcedir.tar.gz"
    pack(folder, archive)
    source = {"folder": str(folder), "archive": str(archive), "file-uri": f"file://{folder}"}[kind]
    assert train.run({}, source=source).out == "submitted\n"
    assert (train.paths.code / "lib/a.py").is_file()
    assert not [path for path in train.paths.code.iterdir() if path.name.startswith(".")]


def test_a_source_below_opt_ml_is_found_where_opt_ml_is_re_rooted(train: TrainProgram) -> None:
    folder = train.source({"train.py": "print('isolated')"})
    archive = train.root / "input/data/code/sourcedir.tar.gz"
    pack_files({"train.py": folder / "train.py"}, archive)
    result = train.run({}, source="/opt/ml/input/data/code/sourcedir.tar.gz")
    assert result.out == "isolated\n"


def test_submitted_source_wins_over_what_lies_in_the_code_folder(train: TrainProgram) -> None:
    stale = {"train.py": "print('stale')", "old.py": "", "folder/old.py": "", "lib/__init__.py": ""}
    train.source(stale, folder="code")
    (train.paths.code / "link").symlink_to("folder")
    files = {"train.py": "import lib; print('fresh', lib.__file__)", "lib.py": ""}
    result = train.run(files)
    assert result.out == f"fresh {train.paths.code}/lib.py\n"
    assert {path.name for path in train.paths.code.iterdir()} - {"__pycache__"} == {
        "train.py",
        "lib.py",
    }


def test_without_submitted_source_the_image_s_own_runs(train: TrainProgram) -> None:
    train.source({"train.py": "print('baked')"}, folder="code")
    assert train.run({}).out == "baked\n"
    train.environment["SAGEMAKER_SUBMIT_DIRECTORY"] = "/opt/ml/code"
    train.environment["SAGEMAKER_PROGRAM"] = "train.py"
    assert train.run({}, program=None).out == "baked\n"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("/nowhere/sourcedir.tar.gz", "the submitted source `/nowhere/sourcedir.tar.gz` does not"),
        ("s3://B/x", "the submitted source `s3://B/x` names no possible bucket"),
        (None, "no source was submitted and"),
    ],
)
def test_a_source_that_cannot_be_had_is_named(
    train: TrainProgram, source: str | None, message: str
) -> None:
    result = train.run({}, source=source)
    assert result.code == 1
    assert result.failure is not None
    assert result.failure.startswith(message)
    assert f"train: {message}" in result.err


def test_a_broken_or_hostile_archive_is_refused(train: TrainProgram) -> None:
    train.root.mkdir()
    archive = train.root / "sourcedir.tar.gz"
    archive.write_bytes(b"not an archive at all, whatever it is called")
    result = train.run({}, source=str(archive))
    assert result.failure is not None
    assert f"`{archive}` cannot be unpacked" in result.failure
    with tarfile.open(archive, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../../evil"), io.BytesIO())
    result = train.run({}, source=str(archive))
    assert result.failure is not None
    assert "`../../evil` would lie outside" in result.failure
    assert not (train.root / "evil").exists()


@pytest.mark.parametrize("program", ["trian.py", "trian", "missing.sh"])
def test_a_missing_entry_point_is_named_with_what_is_there(
    train: TrainProgram, program: str
) -> None:
    result = train.run({"train.py": "", "lib/net.py": "", "notes.txt": ""}, program=program)
    assert result.code == 1
    assert result.failure is not None
    assert f"`{program}` is not in the source" in result.failure
    assert "`lib/net.py`, `notes.txt`, `train.py`" in result.failure


def test_an_entry_point_outside_the_source_is_refused(train: TrainProgram) -> None:
    (train.root).mkdir()
    (train.root / "evil.py").write_text("print('ran')")
    result = train.run({"train.py": ""}, program="../evil.py")
    assert (result.code, result.out) == (1, "")
    assert result.failure is not None
    assert "outside the source" in result.failure


def test_a_job_that_says_nowhere_what_shall_run_is_told_how_to(train: TrainProgram) -> None:
    result = train.run({"train.py": ""}, program=None)
    assert result.code == 1
    assert result.failure is not None
    assert "hint: set the hyperparameter `sagemaker_program`" in result.failure


def test_a_broken_configuration_file_is_the_platforms_fault(train: TrainProgram) -> None:
    train.source({"train.py": ""}, folder="code")
    train.prepare("train.py", None, {})
    train.paths.resource_config_file.write_text("{broken")
    result = train.finish(train.start_prepared())
    assert result.code == 1
    assert result.failure is not None
    assert "resourceconfig.json` is broken" in result.failure
    assert "the platform writes this file, not your code" in result.failure


def test_a_distributed_launcher_that_is_not_there_fails_at_once(train: TrainProgram) -> None:
    values = {"sagemaker_pytorch_ddp_enabled": True}
    result = train.run({"train.py": "print('ran')"}, values=values)
    assert (result.code, result.out) == (1, "")
    assert result.failure is not None
    assert "`sagemaker_pytorch_ddp_enabled`" in result.failure
    values["sagemaker_pytorch_ddp_enabled"] = False
    assert train.run({"train.py": "print('ran')"}, values=values).out == "ran\n"


def test_hosts_without_an_address_are_named_and_given_up_in_time(train: TrainProgram) -> None:
    train.resources = ResourceConfig(hosts=("algo-1", "gone.invalid"))
    train.environment["INTERMODAL_HOST_WAIT_S"] = "0.3"
    result = train.run({"train.py": "print('ran')"})
    assert (result.code, result.out) == (1, "")
    assert result.failure is not None
    assert "`gone.invalid`" in result.failure
    assert "INTERMODAL_HOST_WAIT_S" in result.failure
    train.environment["SM_STUDIO_LOCAL_MODE"] = "true"
    assert train.run({"train.py": "print('ran')"}).out == "ran\n"


def test_a_code_folder_that_cannot_be_written_is_named(train: TrainProgram) -> None:
    train.source({"train.py": ""})
    train.paths.code.write_text("a file where the code folder must be")
    result = train.run({"train.py": ""})
    assert result.code == 1
    assert result.failure is not None
    assert result.failure.startswith(f"`{train.paths.code}` cannot be written")


def test_a_fault_of_train_itself_is_not_blamed_on_the_script(train: TrainProgram) -> None:
    train.paths.hyperparameters_file.mkdir(parents=True)
    result = train.finish(train.start_prepared())
    assert result.code == 1
    assert result.failure is not None
    assert result.failure.startswith("`train` itself failed, not your script: IsADirectoryError")
    assert "Traceback" in result.err


def test_the_console_script_is_installed() -> None:
    assert Path(sys.executable).with_name("train").is_file()
