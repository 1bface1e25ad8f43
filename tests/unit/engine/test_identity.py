"""The engine's key pair and the credentials of its jobs."""

from pathlib import Path

import pytest

from intermodal_contract.errors import IntermodalError
from intermodal_engine import identity
from intermodal_engine.home import prepare
from intermodal_engine.identity import TOKEN_HEADER, KeyRing
from intermodal_engine.settings import Settings
from intermodal_engine.wire.sigv4 import Credentials


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path / "home")
    prepare(settings)
    return settings


def test_the_key_pair_is_made_once_and_only_its_owner_can_read_it(settings: Settings) -> None:
    pair = identity.load(settings).engine.credentials
    assert identity.load(settings).engine.credentials == pair
    assert settings.credentials_file.stat().st_mode & 0o777 == 0o600
    assert settings.home.stat().st_mode & 0o777 == 0o700


def test_two_homes_have_two_key_pairs(settings: Settings, tmp_path: Path) -> None:
    other = Settings(home=tmp_path / "other")
    prepare(other)
    assert identity.load(settings).engine != identity.load(other).engine


def test_a_broken_key_file_is_named(settings: Settings) -> None:
    settings.credentials_file.write_text("{}")
    with pytest.raises(IntermodalError, match="holds no key pair"):
        identity.load(settings)


def test_a_jobs_credentials_are_known_to_the_next_engine_too(settings: Settings) -> None:
    issued = identity.load(settings).issue("training-job/digits", "trainer")
    token = {TOKEN_HEADER: issued.session_token or ""}
    caller = identity.load(settings).caller(issued.access_key_id, token, "")
    assert caller is not None
    assert caller.credentials == issued
    assert (caller.role, caller.session, caller.job) == (
        "trainer",
        "SageMaker",
        "training-job/digits",
    )


def test_two_jobs_have_two_credentials(settings: Settings) -> None:
    keys = identity.load(settings)
    assert (
        len({keys.issue("a", "r").secret_access_key, keys.issue("b", "r").secret_access_key}) == 2
    )


def test_a_token_in_a_presigned_query_is_heard(settings: Settings) -> None:
    from urllib.parse import urlencode

    keys = identity.load(settings)
    issued = keys.issue("job")
    query = urlencode({"X-Amz-Security-Token": issued.session_token})
    assert keys.caller(issued.access_key_id, {}, query) is not None


@pytest.mark.parametrize("edit", ["", "x", "!", ".", "é"])
def test_an_edited_token_is_nobodys(settings: Settings, edit: str) -> None:
    keys = identity.load(settings)
    issued = keys.issue("job")
    token = edit + (issued.session_token or "")[1:] if edit else ""
    assert keys.caller(issued.access_key_id, {TOKEN_HEADER: token}, "") is None


def test_the_token_of_another_engine_is_nobodys(settings: Settings) -> None:
    issued = KeyRing(Credentials("AKIAOTHER", "other")).issue("job")
    token = {TOKEN_HEADER: issued.session_token or ""}
    assert identity.load(settings).caller(issued.access_key_id, token, "") is None
