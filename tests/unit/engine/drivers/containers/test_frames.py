"""The daemon's stream, cut anywhere, becomes whole lines with the daemon's own times."""

from hypothesis import given
from hypothesis import strategies as st

from intermodal_engine.drivers.containers.frames import Frames, Lines, Message
from intermodal_engine.drivers.supervision.log import LINE_LIMIT_BYTES
from tests.helpers.docker_logs import frame, frames

AT_NS = 1_764_000_000_123_456_789
AT_MS = 1_764_000_000_123


def messages_of(data: bytes) -> list[Message]:
    return list(Frames().take(data))


@given(st.lists(st.binary(max_size=40), max_size=8), st.data())
def test_messages_do_not_depend_on_how_the_wire_cuts_them(
    texts: list[bytes], data: st.DataObject
) -> None:
    sent = [Message(1 + number % 2, AT_NS + number, text) for number, text in enumerate(texts)]
    wire = frames(sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    parser = Frames()
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert [one for piece in pieces for one in parser.take(piece)] == sent


def test_a_time_may_have_a_zone_and_fewer_digits() -> None:
    text = b"2025-11-24T17:00:00.5+01:00 hello\n"
    assert messages_of(frame(1, text)) == [Message(1, 1_764_000_000_500_000_000, b"hello\n")]
    text = b"2025-11-24T16:00:00Z hello\n"
    assert messages_of(frame(1, text)) == [Message(1, 1_764_000_000_000_000_000, b"hello\n")]


def test_frames_that_are_no_output_are_passed_over() -> None:
    assert messages_of(frame(3, b"error from daemon") + frame(1, b"")) == [Message(1, 0, b"")]


def test_pieces_of_a_long_line_are_joined_for_each_stream_by_itself() -> None:
    lines = Lines()
    assert lines.take(Message(1, AT_NS, b"out 1, ")) == []
    assert lines.take(Message(2, AT_NS, b"err\n")) == [b"%d err" % AT_MS]
    assert lines.take(Message(1, AT_NS, "out ü".encode()[:5])) == []
    assert lines.take(Message(1, AT_NS, b"\xbc\n")) == [b"%d " % AT_MS + "out 1, out ü".encode()]


def test_times_never_go_back() -> None:
    lines = Lines()
    lines.take(Message(1, AT_NS, b"first\n"))
    assert lines.take(Message(2, AT_NS - 5_000_000, b"second\n")) == [b"%d second" % AT_MS]


def test_a_line_without_an_end_is_cut_at_the_limit_and_never_in_a_character() -> None:
    lines = Lines()
    text = "ü".encode() * (LINE_LIMIT_BYTES // 2) + b"x" + "ü".encode()
    (begun,) = lines.take(Message(1, AT_NS, text[1:]))
    assert len(begun.partition(b" ")[2].decode(errors="replace")) > LINE_LIMIT_BYTES // 2 - 2
    (rest,) = lines.end()
    assert rest.endswith("ü".encode())
    assert lines.end() == []


def test_bytes_that_are_no_text_are_marked() -> None:
    assert Lines().take(Message(1, AT_NS, b"\xff\n")) == [b"%d " % AT_MS + "\ufffd".encode()]


def test_what_no_newline_ended_is_told_at_the_end() -> None:
    lines = Lines()
    lines.take(Message(2, AT_NS, b"error: "))
    lines.take(Message(1, AT_NS, b"progress"))
    assert lines.end() == [b"%d progress" % AT_MS, b"%d error: " % AT_MS]
