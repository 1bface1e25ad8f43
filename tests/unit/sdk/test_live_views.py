"""The live view of a job, in a terminal and in a notebook."""

import io
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError

from intermodal.clients import Clients
from intermodal.curves import Curve, Curves
from intermodal.job_picture import Moment, duration, job_picture
from intermodal.live import LogLine
from intermodal.notebook_view import KEPT_LINES, NotebookView
from intermodal.polling import Pace
from intermodal.sparklines import svg_line, text_line
from intermodal.terminal_view import TerminalView
from tests.helpers.screen import Screen

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
NOW_S = BEGUN.timestamp() + 65
LOSS = Curve("train:loss", (2.0, 1.0, 0.5))
EPOCH = Curve("epoch", (1.0, 2.0, 3.0))


def moment(
    lines: Sequence[str] = (), *, status: str = "InProgress", hosts: int = 1, **more: Any
) -> Moment:
    """What a view is given of a job with these new log lines, one host after the other."""
    curves = more.pop("curves", ())
    description = {
        "TrainingJobName": "job",
        "TrainingJobStatus": status,
        "SecondaryStatus": "Training" if status == "InProgress" else status,
        "CreationTime": BEGUN,
        "LastModifiedTime": BEGUN + timedelta(seconds=70),
        "ResourceConfig": {"InstanceCount": hosts},
        **more,
    }
    told = [LogLine(n, f"algo-{n % hosts + 1}", text) for n, text in enumerate(lines)]
    transitions = [{"Status": "Training", "StartTime": BEGUN, "StatusMessage": "in progress"}]
    return Moment(job_picture(description, curves, NOW_S), transitions, told)


class Terminal(io.StringIO):
    """What a program writes into a terminal of this width."""

    def isatty(self) -> bool:
        return True

    def screen(self, width: int = 80) -> Screen:
        screen = Screen(width)
        screen.feed(self.getvalue().replace("\n", "\r\n"))
        return screen


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def test_in_a_terminal_every_line_stays_and_the_state_is_drawn_in_place_below(
    terminal: Terminal,
) -> None:
    view = TerminalView(terminal)
    view.show(moment(["one", "two"]))
    view.say("connection lost; trying again")
    view.show(moment(["three"], curves=[LOSS]))

    rows = terminal.screen().rows
    assert [row for row in rows if row in {"one", "two", "three"}] == ["one", "two", "three"]
    assert rows.index("connection lost; trying again") < rows.index("three")
    assert [row for row in rows if row.startswith("── job ──")] == rows[-5:-4]
    assert rows[-4].startswith("  ● Training  1:05")
    assert rows[-3].startswith("    train:loss  0.5")
    assert "█" in rows[-3]
    assert rows[-2] == "  Ctrl-C: detach or stop"


def test_the_last_picture_in_a_terminal_says_how_long_it_took_and_what_is_paid(
    terminal: Terminal,
) -> None:
    view = TerminalView(terminal)
    view.show(moment(["one"]))
    view.show(moment(status="Completed", BillableTimeInSeconds=42, TrainingEndTime=BEGUN))

    rows = terminal.screen().rows
    assert "  ● Completed  0:00  0:42 billable" in rows[-2]
    assert "Ctrl-C" not in "".join(rows)


def test_no_row_is_as_wide_as_the_terminal_and_so_none_wraps(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    view = TerminalView(terminal)
    for number in range(3):
        view.show(
            moment(
                [f"line {number}"],
                curves=[Curve("a-metric-of-a-long-name", (1.0, 2.0))],
                FailureReason="x" * 200,
            )
        )

    rows = terminal.screen(30).rows
    drawn = rows[[row.startswith("── job") for row in rows].index(True) :]
    assert len(drawn) == 5
    assert max(map(len, drawn)) == 29
    assert sum("── job" in row for row in rows) == 1


def test_what_a_log_line_writes_cannot_move_the_rows(terminal: Terminal) -> None:
    view = TerminalView(terminal)
    view.show(moment(["\x1b[31mred\x1b[0m\x1b[3A", "10%\r55%\r100%", "a\x1b]0;title\x07b\x00"]))

    rows = terminal.screen().rows
    assert [row for row in rows if row in {"red", "100%", "ab"}] == ["red", "100%", "ab"]


def test_without_colours_a_terminal_is_still_drawn_in_place(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    view = TerminalView(terminal)
    view.show(moment(["one"], hosts=2))
    view.show(moment(["two"], hosts=2))

    assert not re.search(r"\x1b\[[0-9;]*m", terminal.getvalue())
    assert sum("── job" in row for row in terminal.screen().rows) == 1
    assert "algo-1 | two" in terminal.screen().rows


def test_hosts_have_colours_of_their_own(terminal: Terminal) -> None:
    TerminalView(terminal).show(moment(["one", "two"], hosts=2))

    screen = terminal.screen()
    styles = {
        "".join(cell.text for cell in row[:6]): row[0].style
        for row in screen.cells
        if row and "".join(cell.text for cell in row).startswith("algo-")
    }
    assert len(set(styles.values())) == len(styles) == 2


def test_epochs_are_progress_where_a_metric_and_a_hyperparameter_tell_them() -> None:
    wanted = {"num-epochs": '"12"', "lr": "0.1"}
    picture = moment(curves=[LOSS, EPOCH], HyperParameters=wanted).picture
    assert (picture.epoch, picture.epochs, picture.progress) == (3, 12, 0.25)
    assert picture.curves == (LOSS,)
    assert moment(curves=[EPOCH]).picture.progress is None
    assert moment(curves=[EPOCH], HyperParameters={"epochs": "many"}).picture.epochs is None


@pytest.mark.parametrize(("seconds", "text"), [(7.9, "0:07"), (750, "12:30"), (3723, "1:02:03")])
def test_durations_read_like_a_clock(seconds: float, text: str) -> None:
    assert duration(seconds) == text


class Display:
    """IPython's `display`, and the handle that it gives back."""

    def __init__(self) -> None:
        self.opened = 0
        self.drawn: list[Mapping[str, str]] = []

    def __call__(self, data: Mapping[str, str], **options: Any) -> "Display":
        assert options == {"raw": True, "display_id": True}
        self.opened += 1
        self.drawn.append(data)
        return self

    def update(self, data: Mapping[str, str], *, raw: bool) -> None:
        assert raw
        self.drawn.append(data)

    @property
    def html(self) -> str:
        return self.drawn[-1]["text/html"]


class Tags(HTMLParser):
    """The tags of a text, each of which is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_notebook_has_one_display_that_is_updated_now_and_then() -> None:
    display, now_s = Display(), [0.0]
    view = NotebookView(display, lambda: now_s[0])
    for number in range(100):
        now_s[0] += 0.05
        view.show(moment([f"line {number}"], curves=[LOSS]))
    view.show(moment(["the end"], status="Completed", curves=[LOSS]))

    assert display.opened == 1
    assert 20 < len(display.drawn) < 30
    assert "line 0\n" in display.html
    assert "the end" in display.html
    assert "101 lines" in display.html
    assert "Training job job: Completed after 1:10" in display.drawn[-1]["text/plain"]


def test_while_a_job_runs_a_notebook_shows_the_tail_of_each_host() -> None:
    display = Display()
    NotebookView(display).show(moment([f"line {number}" for number in range(100)], hosts=2))

    assert ">algo-1</b>" in display.html
    assert ">algo-2</b>" in display.html
    assert "line 98\n" not in display.html
    assert "line 98" in display.html
    assert "line 50" not in display.html
    assert "50 lines; 38 above, all of them with logs()" in display.html


def test_of_a_very_long_log_a_notebook_says_what_it_does_not_show() -> None:
    display = Display()
    lines = [f"line {number}" for number in range(KEPT_LINES + 5)]
    NotebookView(display).show(moment(lines, status="Completed"))

    assert f"{KEPT_LINES + 5} lines; 5 above" in display.html
    assert "line 4\n" not in display.html
    assert "line 5\n" in display.html


def test_everything_in_a_notebook_is_escaped() -> None:
    display = Display()
    evil = "<script>alert(1)</script>"
    view = NotebookView(display)
    view.show(
        moment(
            [f"{evil}\x1b[31m red\x1b[0m"],
            status="Failed",
            FailureReason=evil,
            curves=[Curve(evil, (1.0, 2.0))],
        )
    )
    view.say(evil)

    assert Tags(display.html).seen <= {
        *("div", "span", "b", "pre", "table", "tr", "td", "svg", "polyline", "circle"),
    }
    assert display.html.count("&lt;script&gt;") == 4
    assert "\x1b" not in display.html


def test_sparklines_fit_and_bear_values_that_are_all_the_same() -> None:
    assert text_line([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert len(text_line(range(1000), 40)) == 40
    assert text_line(range(1000), 40)[-1] == "█"
    assert text_line([3, 3], 8) == "▅▅"
    assert svg_line([1.0], 100, 20).count("circle") == 1


class CloudWatch:
    """GetMetricStatistics, or what goes wrong with it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[Mapping[str, Any]] = []

    def get_metric_statistics(self, **wanted: Any) -> Mapping[str, Any]:
        self.asked.append(wanted)
        if self.error:
            raise self.error
        (statistic,) = wanted["Statistics"]
        later = {"Timestamp": BEGUN + timedelta(seconds=2), statistic: 1.0}
        return {"Datapoints": [later, {"Timestamp": BEGUN, statistic: 2.0}]}


class Seconds:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


TRAINS = {
    "TrainingJobName": "job",
    "TrainingStartTime": BEGUN,
    "AlgorithmSpecification": {"MetricDefinitions": [{"Name": "loss", "Regex": "x"}]},
}


def curves_of(cloudwatch: CloudWatch) -> tuple[Curves, Seconds]:
    clock = Seconds()
    return Curves(Clients(None, None, {"cloudwatch": cloudwatch}), Pace(), clock), clock


def test_curves_come_from_cloudwatch_and_end_with_the_last_value_of_the_description() -> None:
    cloudwatch = CloudWatch()
    curves, _ = curves_of(cloudwatch)

    assert curves.update(TRAINS, at_the_end=False) == [Curve("loss", (2.0, 1.0))]
    ended = {**TRAINS, "FinalMetricDataList": [{"MetricName": "loss", "Value": 0.5}]}
    assert curves.update(ended, at_the_end=True) == [Curve("loss", (2.0, 1.0, 0.5))]
    assert cloudwatch.asked[0]["Dimensions"] == [{"Name": "TrainingJobName", "Value": "job"}]


def test_epochs_are_no_means_of_epochs() -> None:
    cloudwatch = CloudWatch()
    curves, _ = curves_of(cloudwatch)
    definitions = [{"Name": name, "Regex": "x"} for name in ("loss", "train:epoch")]
    curves.update(
        {**TRAINS, "AlgorithmSpecification": {"MetricDefinitions": definitions}}, at_the_end=False
    )
    assert [asked["Statistics"] for asked in cloudwatch.asked] == [["Average"], ["Maximum"]]


def test_curves_are_asked_for_now_and_then_and_once_more_at_the_end() -> None:
    cloudwatch = CloudWatch()
    curves, clock = curves_of(cloudwatch)
    for _ in range(20):
        clock.now += 0.1
        curves.update(TRAINS, at_the_end=False)
    assert len(cloudwatch.asked) == 4
    curves.update(TRAINS, at_the_end=True)
    assert len(cloudwatch.asked) == 5


def test_a_cloudwatch_that_is_out_of_reach_is_left_alone() -> None:
    cloudwatch = CloudWatch(ConnectTimeoutError(endpoint_url="https://x"))
    curves, clock = curves_of(cloudwatch)
    for _ in range(3):
        clock.now += 60
        assert curves.update(TRAINS, at_the_end=True) == []
    assert len(cloudwatch.asked) == 1


def test_a_job_without_metrics_or_that_has_not_begun_asks_for_no_curves() -> None:
    cloudwatch = CloudWatch()
    curves, _ = curves_of(cloudwatch)
    assert curves.update({"TrainingJobName": "job"}, at_the_end=True) == []
    assert curves.update({**TRAINS, "TrainingStartTime": None}, at_the_end=True) == []
    assert cloudwatch.asked == []
