import re
from pathlib import Path

import pytest

from intermodal_serving.errors import SettingError
from intermodal_serving.settings import read_settings

README = Path(__file__).parents[3] / "serving/README.md"


def test_an_empty_environment_gives_the_contract() -> None:
    settings = read_settings({})
    assert (settings.host, settings.port) == ("0.0.0.0", 8080)
    assert settings.model_dir == Path("/opt/ml/model")
    assert settings.timeout_s == 60
    assert settings.max_request_bytes == 25 * 2**20
    assert settings.workers is None
    assert settings.max_batch_size == 1
    assert not settings.allow_pickle
    assert settings.cpus >= 1


def test_every_variable_is_read() -> None:
    settings = read_settings(
        {
            "SAGEMAKER_BASE_DIR": "/data",
            "SAGEMAKER_BIND_TO_PORT": "9000",
            "SAGEMAKER_BIND_TO_HOST": "127.0.0.1",
            "SAGEMAKER_SAFE_PORT_RANGE": "7000-7100",
            "SAGEMAKER_PROGRAM": "train.py",
            "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
            "SAGEMAKER_CONTAINER_LOG_LEVEL": "10",
            "SAGEMAKER_MODEL_SERVER_TIMEOUT": "1.5",
            "INTERMODAL_STREAM_TIMEOUT": "90",
            "SAGEMAKER_SESSIONS_PATH": "/sessions",
            "SAGEMAKER_SESSIONS_EXPIRATION": "30",
            "SAGEMAKER_MAX_REQUEST_SIZE": "1000",
            "SAGEMAKER_ALLOW_PICKLE": "true",
            "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/CSV",
            "SAGEMAKER_MODEL_SERVER_WORKERS": "3",
            "SAGEMAKER_MULTI_MODEL": "true",
            "INTERMODAL_EVICT_MODELS": "true",
            "MAX_BATCH_SIZE": "32",
            "MAX_BATCH_DELAY_MS": "1.5",
            "INTERMODAL_BATCH_LATENCY_MS": "20",
            "INTERMODAL_ACCESS_LOG": "true",
            "INTERMODAL_SLOW_REQUEST_MS": "250",
            "SAGEMAKER_NUM_CPUS": "7",
        }
    )
    assert settings.model_dir == Path("/data/model")
    assert (settings.host, settings.port) == ("127.0.0.1", 9000)
    assert settings.safe_port_range == (7000, 7100)
    assert (settings.program, settings.submit_directory) == ("train.py", "/opt/ml/model/code")
    assert (settings.log_level, settings.timeout_s) == (10, 1.5)
    assert (settings.max_request_bytes, settings.allow_pickle) == (1000, True)
    assert settings.default_accept == "text/csv"
    assert (settings.workers, settings.cpus) == (3, 7)
    assert (settings.multi_model, settings.evict_models, settings.access_log) == (True, True, True)
    assert (settings.max_batch_size, settings.max_batch_delay_s) == (32, 0.0015)
    assert (settings.batch_latency_s, settings.slow_request_s) == (0.02, 0.25)
    assert settings.stream_timeout_s == 90
    assert (settings.sessions_dir, settings.session_s) == (Path("/sessions"), 30)


def test_a_stream_may_take_at_least_as_long_as_an_invocation() -> None:
    assert read_settings({}).stream_timeout_s == 480
    assert read_settings({"SAGEMAKER_MODEL_SERVER_TIMEOUT": "3600"}).stream_timeout_s == 3600


def test_an_empty_value_counts_as_none() -> None:
    assert read_settings({"SAGEMAKER_BIND_TO_PORT": "", "SAGEMAKER_PROGRAM": " "}).program is None


def test_batch_transforms_payload_limit_is_honoured_unless_a_size_in_bytes_is_given() -> None:
    megabytes = {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "100"}
    assert read_settings(megabytes).max_request_bytes == 100 * 2**20
    both = {**megabytes, "SAGEMAKER_MAX_REQUEST_SIZE": "5"}
    assert read_settings(both).max_request_bytes == 5


def test_a_payload_limit_of_0_mb_still_has_an_end() -> None:
    assert read_settings({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "0"}).max_request_bytes == 2**30


def test_a_log_level_may_be_a_name() -> None:
    assert read_settings({"SAGEMAKER_CONTAINER_LOG_LEVEL": "warning"}).log_level == 30


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAGEMAKER_BASE_DIR", "opt/ml"),
        ("SAGEMAKER_BIND_TO_PORT", "http"),
        ("SAGEMAKER_BIND_TO_PORT", "65536"),
        ("SAGEMAKER_BIND_TO_PORT", "-1"),
        ("SAGEMAKER_SAFE_PORT_RANGE", "7000"),
        ("SAGEMAKER_SAFE_PORT_RANGE", "7100-7000"),
        ("SAGEMAKER_CONTAINER_LOG_LEVEL", "loud"),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "0"),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "nan"),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "soon"),
        ("INTERMODAL_STREAM_TIMEOUT", "0"),
        ("SAGEMAKER_SESSIONS_PATH", "sessions"),
        ("SAGEMAKER_SESSIONS_EXPIRATION", "never"),
        ("SAGEMAKER_MAX_REQUEST_SIZE", "25MB"),
        ("SAGEMAKER_MAX_REQUEST_SIZE", "0"),
        ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "-6"),
        ("SAGEMAKER_ALLOW_PICKLE", "perhaps"),
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "0"),
        ("SAGEMAKER_MULTI_MODEL", "many"),
        ("MAX_BATCH_SIZE", "0"),
        ("MAX_BATCH_DELAY_MS", "-1"),
        ("MAX_BATCH_DELAY_MS", "soon"),
        ("INTERMODAL_BATCH_LATENCY_MS", "0"),
        ("SAGEMAKER_NUM_CPUS", "many"),
    ],
)
def test_a_bad_value_is_an_error_that_names_the_variable_and_the_value(
    name: str, value: str
) -> None:
    with pytest.raises(SettingError) as caught:
        read_settings({name: value})
    assert f"`{name}`" in str(caught.value)
    assert value in str(caught.value)


def test_every_variable_is_told_in_the_readme() -> None:
    asked: set[str] = set()

    class Recorder(dict[str, str]):
        def get(self, key: str, default: object = None) -> object:  # type: ignore[override]
            asked.add(key)
            return default

    read_settings(Recorder())
    told = re.findall(r"^\| `([A-Z_]+)` \|", README.read_text(), re.MULTILINE)
    assert sorted(told) == sorted(asked)
