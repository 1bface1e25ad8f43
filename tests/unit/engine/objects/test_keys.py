import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermodal_engine.store.objects import keys
from intermodal_engine.store.objects.errors import InvalidKeyError, KeyTooLongError

ODD = st.sampled_from(["", ".", "..", "%~", "%~a%o", "%~a%m", "%", "%00", "\0", "a\0b", "é" * 200])
COMPONENTS = st.one_of(
    ODD, st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"))
)
KEYS = (
    st.lists(COMPONENTS, min_size=1, max_size=5)
    .map("/".join)
    .filter(lambda key: 0 < len(key.encode()) <= keys.KEY_LIMIT_BYTES)
)


def read_back(path: str) -> str:
    """The key that a walk would read from a path."""
    key, separator = "", ""
    for entry in path.split("/"):
        name = keys.read_name(entry)
        assert name is not None, entry
        key += separator + name.text
        separator = "" if name.continues else "/"
    return key


@given(KEYS)
def test_a_path_reads_back_as_its_key(key: str) -> None:
    assert read_back(keys.path_of(key)) == key
    assert read_back(keys.beside_path_of(key)) == key


@given(KEYS)
def test_no_path_leaves_its_bucket_or_holds_what_a_file_system_refuses(key: str) -> None:
    for path in (keys.path_of(key), keys.beside_path_of(key)):
        for name in path.split("/"):
            assert name not in {"", ".", ".."}
            assert "\0" not in name
            assert len(name.encode()) <= 255


@given(KEYS, KEYS)
def test_two_keys_never_share_a_path(first: str, second: str) -> None:
    paths = {keys.path_of(first), keys.beside_path_of(first)}
    others = {keys.path_of(second), keys.beside_path_of(second)}
    assert first == second or not paths & others


@given(st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=50))
def test_the_name_of_a_dropped_in_file_is_its_key_or_no_key_at_all(name: str) -> None:
    found = keys.read_name(name)
    if found is not None and not name.startswith("%~"):
        assert found.text == name
    if found is not None and not found.continues:
        path = keys.beside_path_of(found.text) if found.beside else keys.path_of(found.text)
        assert path == name or name in {".", ".."}


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("train/a.csv", "train/a.csv"),
        ("100%/a%20b", "100%/a%20b"),
        ("a/", "a/%~"),
        ("a//b", "a/%~/b"),
        ("../x", "%~../x"),
        ("%~x", "%~%25~x"),
    ],
)
def test_ordinary_components_stand_for_themselves(key: str, path: str) -> None:
    assert keys.path_of(key) == path


def test_a_component_over_255_bytes_becomes_nested_folders() -> None:
    path = keys.path_of("x" * 600)
    assert [len(name) for name in path.split("/")] == [244, 244, 120]


def test_keys_that_s3_refuses_are_refused() -> None:
    with pytest.raises(InvalidKeyError):
        keys.check_key("")
    with pytest.raises(InvalidKeyError):
        keys.check_key("\ud800")
    with pytest.raises(KeyTooLongError):
        keys.check_key("é" * 513)
    keys.check_key("é" * 512)


@pytest.mark.parametrize("name", ["abc", "my-bucket", "a.b-c.d", "1bucket", "x" * 63])
def test_bucket_names_that_s3_takes(name: str) -> None:
    assert keys.is_bucket_name(name)


@pytest.mark.parametrize(
    "name", ["", "ab", "x" * 64, "Upper", "a_b", "-ab", "ab-", "a..b", "10.0.0.1", "..", "xn--abc"]
)
def test_bucket_names_that_s3_refuses(name: str) -> None:
    assert not keys.is_bucket_name(name)
