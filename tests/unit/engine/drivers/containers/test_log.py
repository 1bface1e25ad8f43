"""The log has every line once, whenever engines die and whoever else writes into it."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from intermodal_engine.drivers.containers.frames import Message
from intermodal_engine.drivers.containers.log import ContainerLog
from tests.helpers.docker_logs import DaemonLog, frames

AT_NS = 1_764_000_000_000_000_000
NEVER_S = 1e9

messages = st.lists(
    st.builds(
        Message,
        stream=st.sampled_from([1, 2]),
        # Out of order by less than a second, as two streams are, or minutes apart.
        time_ns=st.integers(0, 900).map(lambda ms: ms * 1_000_000),
        text=st.sampled_from([b"a\n", b"same\n", b"piece ", "ü".encode(), b"\n"]),
    ),
    max_size=30,
)
gaps = st.lists(st.integers(0, 30_000_000_000), min_size=30, max_size=30)


@contextmanager
def engine(folder: Path, every_s: float) -> Iterator[ContainerLog]:
    """An engine's log; it ends without a word."""
    log = ContainerLog(folder / "log", folder / "cursor.json", every_s)
    yield log
    log.close()


def lines(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines()


def spread(found: list[Message], gaps: list[int]) -> list[Message]:
    """Messages at their times, which go on by whole gaps at some of them."""
    at_ns, spread = AT_NS, []
    for message, gap in zip(found, gaps, strict=False):
        at_ns += gap if gap > 15_000_000_000 else 0
        spread.append(Message(message.stream, at_ns + message.time_ns, message.text))
    return spread


@given(messages, gaps, st.lists(st.tuples(st.integers(0, 30), st.sampled_from([0.0, NEVER_S]))))
def test_no_line_is_lost_or_doubled_when_engines_die(
    found: list[Message], gaps: list[int], deaths: list[tuple[int, float]]
) -> None:
    found = spread(found, gaps)
    with tempfile.TemporaryDirectory() as name:
        folder, whole = Path(name) / "killed", Path(name) / "whole"
        folder.mkdir()
        whole.mkdir()
        with engine(whole, 0.0) as log:
            log.take(frames(found))
            log.end()
        for number, (seen, every_s) in enumerate(sorted(deaths)):
            with engine(folder, every_s) as log:
                wire = DaemonLog(found[:seen]).send(log.since)
                log.take(wire[: len(wire) // 2])
                log.take(wire[len(wire) // 2 :])
            with (folder / "log").open("a") as notes:
                notes.write(f"{number} intermodal: a note\n")
        with engine(folder, 0.0) as log:
            log.take(DaemonLog(found).send(log.since))
            log.end()
        assert [line for line in lines(folder) if "intermodal: " not in line] == lines(whole)


def test_a_line_that_was_torn_when_the_engine_died_comes_again_whole(tmp_path: Path) -> None:
    daemon = DaemonLog([Message(1, AT_NS, b"first\n"), Message(1, AT_NS, b"second\n")])
    with engine(tmp_path, NEVER_S) as log:
        log.take(frames(daemon.messages[:1]))
        log.take(frames(daemon.messages[1:]))
    os.truncate(tmp_path / "log", (tmp_path / "log").stat().st_size - 3)
    with engine(tmp_path, 0.0) as log:
        log.take(daemon.send(log.since))
    assert [line.split()[1] for line in lines(tmp_path)] == ["first", "second"]


def test_the_daemon_may_break_off_and_begin_again(tmp_path: Path) -> None:
    daemon = DaemonLog([Message(1, AT_NS + number, b"%d\n" % number) for number in range(9)])
    with engine(tmp_path, 0.0) as log:
        for end in (3, 2, 9):  # the second time it breaks off before what was there already
            log.begin()
            log.take(DaemonLog(daemon.messages[:end]).send(log.since))
    assert [line.split()[1] for line in lines(tmp_path)] == [*map(str, range(9))]


def test_long_runs_are_not_read_from_their_beginning(tmp_path: Path) -> None:
    with engine(tmp_path, 0.0) as log:
        log.take(frames([Message(1, AT_NS, b"old\n")]))
        log.take(frames([Message(1, AT_NS + 3_600_000_000_000, b"new\n")]))
        assert float(log.since) == AT_NS / 1e9 + 3599


def test_a_full_disk_loses_lines_and_says_so(tmp_path: Path) -> None:
    log = ContainerLog(Path("/dev/full"), tmp_path / "cursor.json")
    log.take(frames([Message(1, AT_NS, b"lost\n")]))
    log.close()
    assert log.lost_bytes == len(b"1764000000000 lost\n")
    assert log.error is not None
    assert log.error.errno == errno.ENOSPC
    assert log.last_line == b"lost"
