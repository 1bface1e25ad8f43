"""Archives: what is packed, and what is refused."""

import contextlib
import gzip
import io
import os
import socket
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermodal_contract.artifact import (
    ArchiveError,
    CorruptArchiveError,
    UnsafeArchiveError,
    pack,
    pack_files,
    unpack,
)

Tree = dict[str, bytes]

# File names that a file system holds, folders by slashes; a name is never also a folder of another.
names = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=20
).filter(lambda name: name not in {".", ".."} and len(name.encode()) < 100)
trees = st.dictionaries(
    st.lists(names.map(lambda name: f"d{name}"), max_size=3).flatmap(
        lambda folders: names.map(lambda name: "/".join([*folders, f"f{name}"]))
    ),
    st.binary(max_size=2000),
    max_size=6,
)


def write_tree(root: Path, tree: Tree) -> Path:
    root.mkdir(parents=True)
    for name, content in tree.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def read_tree(root: Path) -> Tree:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def hostile(*members: tuple[str, str, str | bytes | int]) -> io.BytesIO:
    """A .tar.gz of (kind, name, link target or content or claimed size)."""
    kinds = {
        "symlink": tarfile.SYMTYPE,
        "hardlink": tarfile.LNKTYPE,
        "folder": tarfile.DIRTYPE,
        "device": tarfile.CHRTYPE,
        "fifo": tarfile.FIFOTYPE,
    }
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for kind, name, extra in members:
            member = tarfile.TarInfo(name)
            member.type = kinds.get(kind, tarfile.REGTYPE)
            content = extra if isinstance(extra, bytes) else b""
            member.size = len(content)
            member.linkname = extra if isinstance(extra, str) else ""
            tar.addfile(member, io.BytesIO(content))
    archive.seek(0)
    return archive


@given(tree=trees)
def test_what_is_packed_comes_out_the_same(
    tmp_path_factory: pytest.TempPathFactory, tree: Tree
) -> None:
    folder = tmp_path_factory.mktemp("round")
    archive = folder / "a.tar.gz"
    pack(write_tree(folder / "in", tree), archive)
    unpack(archive, folder / "out")
    assert read_tree(folder / "out") == tree


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    tree = {"b": b"1", "a/x": b"2", "a/y": b"3"}
    one = write_tree(tmp_path / "one", tree)
    other = write_tree(tmp_path / "other", dict(reversed(tree.items())))
    os.utime(other / "b", (1, 1))
    (other / "b").chmod(0o600)
    (other / "a").chmod(0o700)
    pack(one, tmp_path / "1.tar.gz")
    pack(other, tmp_path / "2.tar.gz")
    assert (tmp_path / "1.tar.gz").read_bytes() == (tmp_path / "2.tar.gz").read_bytes()


def test_an_archive_says_nothing_of_who_made_it_and_when(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "in", {"run.sh": b"", "x": b""})
    (root / "run.sh").chmod(0o755)
    pack(root, tmp_path / "a.tar.gz")
    with tarfile.open(tmp_path / "a.tar.gz") as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == ["run.sh", "x"]
    assert [member.mode for member in members] == [0o755, 0o644]
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, 0, "", "")}


def test_only_executable_survives_of_the_permissions(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, mode in (("suid", 0o4777), ("closed", 0o000)):
            member = tarfile.TarInfo(name)
            member.mode = mode
            tar.addfile(member)
    archive.seek(0)
    unpack(archive, tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out/suid").stat().st_mode) & 0o7700 == 0o700
    assert (tmp_path / "out/closed").read_bytes() == b""


def test_a_file_comes_out_with_the_time_of_now(tmp_path: Path) -> None:
    pack(write_tree(tmp_path / "in", {"setup.py": b""}), tmp_path / "a.tar.gz")
    unpack(tmp_path / "a.tar.gz", tmp_path / "out")
    assert (tmp_path / "out/setup.py").stat().st_mtime > 1e9


def test_links_inside_stay_links(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "in", {"v1/weights": b"w", "deep/er/x": b""})
    (root / "current").symlink_to("v1")
    (root / "deep/er/weights").symlink_to("../../v1/weights")
    (root / "absolute").symlink_to(root / "v1/weights")
    pack(root, tmp_path / "a.tar.gz")
    unpack(tmp_path / "a.tar.gz", tmp_path / "out")
    assert (tmp_path / "out/current").readlink() == Path("v1")
    assert (tmp_path / "out/deep/er/weights").read_bytes() == b"w"
    assert (tmp_path / "out/absolute").readlink() == Path("v1/weights")


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "d/../../secret"])
def test_a_link_that_leaves_the_folder_is_not_packed_and_no_archive_is_left(
    tmp_path: Path, target: str
) -> None:
    root = write_tree(tmp_path / "in", {"d/x": b""})
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "leak").symlink_to(target)
    with pytest.raises(UnsafeArchiveError, match="`leak` is a link that leads out"):
        pack(root, tmp_path / "out/a.tar.gz")
    assert list((tmp_path / "out").iterdir()) == []


def test_sockets_and_pipes_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_tree(tmp_path / "in", {"x": b"1"})
    os.mkfifo(root / "pipe")
    monkeypatch.chdir(root)  # a socket's path may not be long
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        pack(root, tmp_path / "a.tar.gz")
    unpack(tmp_path / "a.tar.gz", tmp_path / "out")
    assert read_tree(tmp_path / "out") == {"x": b"1"}


def test_chosen_files_get_the_names_that_were_chosen(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "in", {"train.py": b"t", "lib/a.py": b"a", "lib/b/c.py": b"c"})
    (root / "lib/link").symlink_to("a.py")
    files = {"train.py": root / "train.py", "vendor/lib": root / "lib"}
    pack_files(files, tmp_path / "a.tar.gz")
    unpack(tmp_path / "a.tar.gz", tmp_path / "out")
    assert read_tree(tmp_path / "out") == {
        "train.py": b"t",
        "vendor/lib/a.py": b"a",
        "vendor/lib/b/c.py": b"c",
        "vendor/lib/link": b"a",
    }
    (root / "lib/link").unlink()
    (root / "lib/link").symlink_to("../train.py")
    with pytest.raises(UnsafeArchiveError):
        pack_files(files, io.BytesIO())


def test_a_chosen_link_is_packed_as_the_file_that_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real.py").write_bytes(b"r")
    (tmp_path / "train.py").symlink_to("real.py")
    pack_files({"train.py": tmp_path / "train.py"}, tmp_path / "a.tar.gz")
    unpack(tmp_path / "a.tar.gz", tmp_path / "out")
    assert not (tmp_path / "out/train.py").is_symlink()
    assert (tmp_path / "out/train.py").read_bytes() == b"r"


def test_what_is_not_there_cannot_be_packed(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="is no folder"):
        pack(tmp_path / "none", io.BytesIO())
    with pytest.raises(ArchiveError, match="does not exist"):
        pack_files({"x": tmp_path / "none"}, io.BytesIO())
    with pytest.raises(UnsafeArchiveError):
        pack_files({"../x": tmp_path}, io.BytesIO())


@pytest.mark.parametrize(
    "members",
    [
        [("file", "../evil", b"x")],
        [("file", "a/../../evil", b"x")],
        [("file", "/evil", b"x")],
        [("folder", "../evil", "")],
        [("symlink", "l", "/etc")],
        [("symlink", "l", "")],
        [("symlink", "l", "..")],
        [("symlink", "a/l", "../../x")],
        [("symlink", "l", "../out/../evil")],
        [("symlink", "here", "."), ("symlink", "d/up", "../here/..")],
        [("symlink", "d", "."), ("file", "d/evil", b"x")],
        [("symlink", "a", "b"), ("symlink", "b", "c"), ("file", "a/evil", b"x")],
        [("symlink", "x", "d/e"), ("folder", "d/e", ""), ("symlink", "y", "x/../../..")],
        [("symlink", "x", "d"), ("folder", "d", ""), ("symlink", "d/z", "../x/../..")],
        [("hardlink", "l", "/etc/passwd")],
        [("hardlink", "l", "../secret")],
        [("hardlink", "l", "not-in-the-archive")],
        [("symlink", "s", "f"), ("hardlink", "l", "s")],
        [("device", "null", "")],
        [("fifo", "pipe", "")],
        [("folder", "d", ""), ("file", "d", b"x")],
        [("file", "f", b"x"), ("file", "f/evil", b"x")],
        [("file", ".", b"x")],
        [("file", "n" * 256, b"x")],
        [("folder", "n/" * 3000, "")],
        [("symlink", "n" * 256, "f")],
    ],
    ids=lambda members: "+".join(f"{m[0]}:{m[1][:40]}" for m in members),
)
def test_a_hostile_archive_is_refused_and_nothing_is_written_outside(
    tmp_path: Path, members: list[tuple[str, str, str | bytes | int]]
) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    with pytest.raises(UnsafeArchiveError):
        unpack(hostile(*members), tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"secret", "out"}
    assert (tmp_path / "secret").read_bytes() == b"secret"


steps = st.sampled_from(["a", "b", "c", ".", "..", ""])
paths = st.lists(steps, min_size=1, max_size=5).map("/".join)
hostile_members = st.lists(
    st.one_of(
        st.tuples(st.just("file"), paths, st.just(b"evil")),
        st.tuples(st.sampled_from(["symlink", "hardlink"]), paths, paths),
        st.tuples(st.just("folder"), paths, st.just("")),
    ),
    max_size=6,
)


@given(members=hostile_members)
def test_no_mix_of_files_and_links_ever_leaves_the_folder(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, str, str | bytes | int]]
) -> None:
    outer = tmp_path_factory.mktemp("outer")
    (outer / "a").write_bytes(b"mine")
    inner = outer / "b" / "c"
    with contextlib.suppress(ArchiveError):
        unpack(hostile(*members), inner)
    for path in inner.rglob("*"):
        assert os.path.realpath(path).startswith(str(inner.resolve()))
    assert {path.name for path in outer.iterdir()} == {"a", "b"}
    assert [path.name for path in (outer / "b").iterdir()] == ["c"]
    assert (outer / "a").read_bytes() == b"mine"


def test_a_link_that_was_in_the_folder_before_is_not_written_through(tmp_path: Path) -> None:
    outside = write_tree(tmp_path / "outside", {"x": b"mine"})
    out = write_tree(tmp_path / "out", {})
    (out / "d").symlink_to(outside)
    with pytest.raises(UnsafeArchiveError):
        unpack(hostile(("file", "d/x", b"evil")), out)
    (out / "d").unlink()
    (out / "x").symlink_to(outside / "x")
    unpack(hostile(("file", "x", b"new")), out)
    assert (out / "x").read_bytes() == b"new"
    assert (outside / "x").read_bytes() == b"mine"


def test_hard_links_within_an_archive_come_out(tmp_path: Path) -> None:
    unpack(hostile(("file", "a", b"x"), ("hardlink", "d/b", "a")), tmp_path / "out")
    assert read_tree(tmp_path / "out") == {"a": b"x", "d/b": b"x"}


def test_of_a_member_that_comes_twice_the_last_stays(tmp_path: Path) -> None:
    unpack(
        hostile(
            ("file", "a", b"1"), ("file", "a", b"2"), ("symlink", "l", "x"), ("symlink", "l", "a")
        ),
        tmp_path / "out",
    )
    assert (tmp_path / "out/a").read_bytes() == b"2"
    assert (tmp_path / "out/l").read_bytes() == b"2"


class Counting(io.BytesIO):
    """Tells how much was read."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def test_a_gzip_bomb_is_stopped_while_it_unpacks(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "in", {f"f{number}": bytes(2**20) for number in range(20)})
    packed = io.BytesIO()
    pack(source, packed)
    archive = Counting(packed.getvalue())
    with pytest.raises(UnsafeArchiveError, match="more than 3145728 bytes"):
        unpack(archive, tmp_path / "out", limit_bytes=3 * 2**20)
    written = sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert written <= 3 * 2**20
    assert archive.taken < len(packed.getvalue())


def test_a_header_as_long_as_the_memory_is_stopped(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with gzip.GzipFile(fileobj=archive, mode="wb") as file:
        header = tarfile.TarInfo("pax")
        header.type, header.size = tarfile.XHDTYPE, 2**32
        file.write(header.tobuf())
        for _ in range(64):
            file.write(bytes(2**20))
    archive.seek(0)
    with pytest.raises(UnsafeArchiveError, match="between two members"):
        unpack(archive, tmp_path / "out")


def test_what_follows_the_end_of_the_archive_is_limited_too(tmp_path: Path) -> None:
    archive = io.BytesIO(hostile(("file", "a", b"x")).getvalue() + gzip.compress(bytes(2**23)))
    with pytest.raises(UnsafeArchiveError):
        unpack(archive, tmp_path / "out")


def test_too_many_members_are_stopped(tmp_path: Path) -> None:
    archive = hostile(*[("file", str(number), b"") for number in range(11)])
    with pytest.raises(UnsafeArchiveError, match="more than 10 members"):
        unpack(archive, tmp_path / "out", limit_members=10)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"no archive at all, just some text that is long enough" * 20,
        lambda data: data[: len(data) // 2],
        lambda data: data[:-4],
        lambda data: data[:-8] + bytes(8),
        lambda data: gzip.compress(b"not a tar" * 200),
        lambda data: gzip.compress(gzip.decompress(data)[:700]),
    ],
    ids=["empty", "text", "half", "no-length", "bad-checksum", "gzipped-text", "cut-tar"],
)
def test_a_damaged_archive_is_named_and_refused(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    pack(write_tree(tmp_path / "in", {"x": os.urandom(5000)}), tmp_path / "model.tar.gz")
    damaged = tmp_path / "damaged.tar.gz"
    damaged.write_bytes(damage((tmp_path / "model.tar.gz").read_bytes()))
    with pytest.raises(CorruptArchiveError):
        unpack(damaged, tmp_path / "out")


@given(st.binary(max_size=3000))
def test_any_bytes_are_unpacked_or_refused_cleanly(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    with contextlib.suppress(ArchiveError):
        unpack(io.BytesIO(data), tmp_path_factory.getbasetemp() / "any")


def test_a_plain_tar_and_a_stream_without_seeking_are_taken(tmp_path: Path) -> None:
    plain = io.BytesIO(gzip.decompress(hostile(("file", "a", b"x")).getvalue()))
    unpack(plain, tmp_path / "plain")
    assert read_tree(tmp_path / "plain") == {"a": b"x"}
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(hostile(("file", "a", b"x")).getvalue())
    with os.fdopen(reader, "rb") as pipe_end:
        unpack(pipe_end, tmp_path / "piped")
    assert read_tree(tmp_path / "piped") == {"a": b"x"}
