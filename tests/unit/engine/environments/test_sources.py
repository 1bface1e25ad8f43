"""What uv is told about where packages come from."""

import os
from pathlib import Path

import pytest

from intermodal_engine.drivers.environment_sources import (
    own_packages,
    pip_options,
    uv_options,
    uv_variables,
)

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize(
    ("option", "value", "variable", "told"),
    [
        ("index-url", "https://a/simple", "UV_DEFAULT_INDEX", "https://a/simple"),
        ("extra-index-url", "https://a\nhttps://b", "UV_INDEX", "https://a https://b"),
        ("find-links", "/a https://b/c", "UV_FIND_LINKS", "/a,https://b/c"),
        ("cert", "/ca.pem", "SSL_CERT_FILE", "/ca.pem"),
        ("trusted-host", "a b", "UV_INSECURE_HOST", "a b"),
        ("constraint", "/c.txt", "UV_CONSTRAINT", "/c.txt"),
        ("default-timeout", "180", "UV_HTTP_TIMEOUT", "180"),
    ],
)
def test_what_pip_is_told_uv_is_told(option: str, value: str, variable: str, told: str) -> None:
    variables = uv_variables({}, {option: value})
    assert variables == {variable: told, "UV_INDEX_STRATEGY": "unsafe-best-match"}


def test_uvs_own_variables_win() -> None:
    engine = {"UV_INDEX_URL": "https://uv", "UV_INDEX_STRATEGY": "first-index"}
    told = {"index-url": "https://pip", "no-index": "1", "cert": "/ca.pem"}
    assert uv_variables(engine, told) == {**engine, "SSL_CERT_FILE": "/ca.pem"}
    assert uv_options(engine, told) == ()


@pytest.mark.parametrize(
    ("value", "options"), [("1", ("--no-index",)), ("true", ("--no-index",)), ("0", ()), ("", ())]
)
def test_that_there_is_no_index_uv_is_told_by_an_option(
    value: str, options: tuple[str, ...]
) -> None:
    assert uv_options({}, {"no-index": value}) == options


def test_without_a_word_from_pip_uv_does_as_uv_does() -> None:
    assert uv_variables({"UV_INDEX": "https://a"}, {}) == {"UV_INDEX": "https://a"}


def test_a_folder_that_is_named_relatively_is_the_one_where_the_engine_runs() -> None:
    variables = uv_variables({}, {"find-links": "wheels"})
    assert variables["UV_FIND_LINKS"] == str(Path.cwd() / "wheels")


def test_what_would_send_packages_elsewhere_is_dropped() -> None:
    assert uv_variables({"VIRTUAL_ENV": "/a", "PYTHONPATH": "/b", "UV_TARGET": "/c"}, {}) == {}


def test_pips_files_and_variables_are_read_and_variables_win(tmp_path: Path) -> None:
    configuration = tmp_path / "pip.conf"
    configuration.write_text(
        "[global]\nindex-url = https://file\nextra-index-url = https://a\n  https://b\n"
        "[install]\nfind-links = /file\n"
    )
    engine = {"PIP_CONFIG_FILE": str(configuration), "PIP_FIND_LINKS": "/variable"}
    options = pip_options({"PATH": os.environ["PATH"], **engine})
    assert options["index-url"] == "https://file"
    assert options["extra-index-url"].split() == ["https://a", "https://b"]
    assert options["find-links"] == "/variable"


def test_an_engine_from_a_source_checkout_brings_the_programs_of_that_checkout() -> None:
    parts = [ROOT / part for part in ("contract", "training", "serving")]
    assert own_packages() == tuple(word for part in parts for word in ("--editable", str(part)))
