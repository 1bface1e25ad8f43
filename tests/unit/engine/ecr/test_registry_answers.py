"""Registries that answer what none should, that are gone, or that speak TLS."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intermodal_engine.services.call import Parameters
from intermodal_engine.settings import Settings
from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.route import named
from intermodal_engine.wire.serialize import serialize
from tests.helpers.fake_registry import IMAGE, INDEX, FakeRegistry, fake_registry
from tests.helpers.lifecycle import World, make_world

JSON = "application/json"
NAMES = ("tags", "config", "layers", "manifests", "size", "digest", "mediaType")
WEIRD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=8,
)
# What is asked for tags and for manifests gets the same answer.
TAGGED = st.dictionaries(st.sampled_from(NAMES), WEIRD).map(lambda one: one | {"tags": ["1"]})


def asked(world: World, operation: str = "DescribeImages", **more: Any) -> Parameters:
    """The answer of an operation, as it could be sent."""
    answer = world.call(operation, "ecr", repositoryName="demo", **more)
    serialize(named("ecr", operation), answer, "request-1")
    return answer


def refusal(world: World, operation: str = "DescribeImages") -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        asked(world, operation)
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b"", "wants a login (401)"),
        (403, b"", "wants a login (403)"),
        (307, b"", "answers 307, not as a registry does"),
        (500, b"oops", "answers 500, not as a registry does: 'oops'"),
        (200, b"<html>", "not as a registry does: '<html>'"),
        (200, b"[]", "not as a registry does"),
        (200, b'{"tags":[1,{}]}', "not as a registry does"),
        (200, b'{"tags":5}', "not as a registry does"),
        (200, b" " * (5 << 20), "not as a registry does"),
    ],
)
def test_an_answer_that_is_no_registrys_is_told(
    world: World, registry: FakeRegistry, status: int, body: bytes, words: str
) -> None:
    registry.answer = (status, JSON, body)
    error = refusal(world)
    assert (error.code, error.status) == ("ServerException", 424)
    assert f"the registry at {registry.host}" in error.message
    assert words in error.message


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"config": None},
        {"config": {"mediaType": "x", "size": 1}},
        {"config": {"mediaType": 1, "size": 1}, "layers": []},
        {"config": {"mediaType": "x", "size": 1}, "layers": [{"size": -1}]},
        {"config": {"mediaType": "x", "size": 1.5}, "layers": []},
    ],
)
def test_a_manifest_that_is_none_is_told(
    world: World, registry: FakeRegistry, document: dict[str, Any]
) -> None:
    registry.put("demo", "1", IMAGE, document)
    assert "not as a registry does" in refusal(world).message


def test_an_index_that_lists_itself_or_nothing_weighs_nothing(
    world: World, registry: FakeRegistry
) -> None:
    inner = registry.push_index("demo", "inner")
    registry.push_index("demo", "outer", inner, "sha256:" + "0" * 64)
    assert [one["imageSizeInBytes"] for one in asked(world)["imageDetails"]] == [0, 0]


def test_a_listing_whose_next_page_is_always_the_same_ends(
    world: World, registry: FakeRegistry
) -> None:
    registry.push("demo", "1", 10)
    registry.repeats = True
    assert len(asked(world)["imageDetails"]) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=WEIRD | TAGGED, media_type=st.sampled_from([JSON, IMAGE, INDEX]))
def test_whatever_a_registry_answers_there_is_an_answer_or_an_error_of_ecr(
    world: World, registry: FakeRegistry, document: Any, media_type: str
) -> None:
    registry.answer = (200, media_type, json.dumps(document).encode())
    code = ""
    try:
        asked(world)
    except ServiceError as error:
        code = error.code
    assert code in ("", "ServerException")


def test_a_registry_that_is_gone_is_told_with_a_way_to_have_one(tmp_path: Path) -> None:
    with fake_registry() as registry:
        world = world_behind(tmp_path, registry)
    error = refusal(world)
    assert error.code == "ServerException"
    assert f"the registry at {registry.host} does not answer: [Errno 111]" in error.message
    assert "`intermodal up --registry HOST:PORT`" in error.message


def test_a_registry_with_tls_is_trusted_by_its_authority_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    with fake_registry(certificate) as registry:
        digest = registry.push("demo", "1", 10)
        world = world_behind(tmp_path, registry)
        assert "certificate" in refusal(world).message
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        (image,) = asked(world)["imageDetails"]
    assert image["imageDigest"] == digest


def world_behind(home: Path, registry: FakeRegistry) -> World:
    world = make_world(home, settings=Settings(home=home, driver="fake", registry=registry.url))
    world.call("CreateRepository", "ecr", repositoryName="demo")
    return world


def make_certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that is its own authority, with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl: registries with TLS are UNTESTED")
    path = folder / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", path, "-out", path.with_suffix(".crt")),
        ],
        check=True,
        capture_output=True,
    )
    with path.open("ab") as file:
        file.write(path.with_suffix(".crt").read_bytes())
    return path
