"""What people see: ages, bars, tables of any width and on any terminal."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cronq.model.job import Attempt, Failure, Job
from cronq.render import job_terminal
from cronq.render import jobs as tables
from cronq.render.console import Screen
from cronq.render.job_text import facts
from cronq.render.progress import pace
from cronq.render.relative_time import Ages, TimeStyle
from cronq.render.sparkline import sparkline
from cronq.render.text import last_line, short_work
from cronq.times import span

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
AGES = Ages(NOW)
EARLIER = NOW - timedelta(minutes=5)

JOB = Job(
    id=7, queue="mail", task="mail.send", args={"to": "ann@example.org", "n": 3}, command=None, state="ready",
    priority=50, key=None, group=None, unique=False, event=None, attempt=0, max_attempts=20, snoozes=0, crashes=0,
    created_at=EARLIER, available_at=EARLIER,
)  # fmt: skip
BROKEN = Failure(
    "ValueError", "it broke\nhere", 'Traceback (most recent call last):\n  File "x", line 1\nValueError: …'
)
FAILED = JOB._replace(state="failed", attempt=3, finished_at=EARLIER, error=BROKEN, group="g", blocked_by=None)


class Paper(io.StringIO):
    """A terminal of any encoding."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return True


def drawn(what: Any, *, width: int = 80, encoding: str = "utf-8", monkeypatch: pytest.MonkeyPatch) -> str:
    """What a terminal of that width shows."""
    for name, value in {"COLUMNS": str(width), "LINES": "24", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    paper = Paper(encoding)
    screen = Screen(file=paper)
    screen.print(what(screen))
    return paper.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.002, "2ms"),
        (0.34, "0.3s"),
        (1.0, "1s"),
        (42, "42s"),
        (100, "100s"),
        (130, "2m"),
        (7300, "2h"),
        (200_000, "2d"),
    ],
)
def test_a_length_of_time_has_one_unit(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"state": "finished", "finished_at": EARLIER}, "5m ago"),
        ({"state": "retrying", "available_at": NOW + timedelta(hours=3)}, "in 3h"),
        ({"state": "scheduled", "available_at": EARLIER}, "now"),
        ({"state": "running", "started_at": NOW - timedelta(seconds=9)}, "for 9s"),
        ({"state": "ready"}, "for 5m"),
    ],
)
def test_a_state_and_its_age_make_a_sentence(changes: dict[str, Any], told: str) -> None:
    assert AGES.of(JOB._replace(**changes)) == told
    assert Ages(NOW, TimeStyle.UTC).of(JOB._replace(**changes)).startswith("2026-11-21T")


def test_a_sparkline_shows_the_largest_of_each_column() -> None:
    assert sparkline([0, 1, 2, 4, 8], 5) == " ▁▂▄█".replace("▁▂▄", "▂▃▅")
    assert sparkline([1, 8, 0, 0], 2) == "█ "
    assert sparkline([], 3) == "   "
    assert sparkline([0, 5], 4, plain=True) == "   #"


def test_arguments_at_a_glance() -> None:
    assert short_work(JOB) == "to=ann@example.org n=3"
    command = JOB._replace(task="command", command=["ls", "a b"])
    assert short_work(command) == "ls 'a b'"


def test_an_error_ends_with_its_last_line() -> None:
    assert last_line(BROKEN) == "ValueError: here"
    assert last_line(Failure("Quiet", "")) == "Quiet"
    assert last_line(None) == ""


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_a_table_fits_any_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    long = JOB._replace(args={"text": "x" * 500}, queue="q" * 60, key="k" * 60)
    printed = drawn(lambda screen: tables.table([long, FAILED], screen, AGES), width=width, monkeypatch=monkeypatch)
    assert max(map(len, printed.splitlines())) <= width
    assert "failed" in printed
    assert "3/20" in printed


def test_a_wide_table_has_key_and_group_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = drawn(lambda screen: tables.table([FAILED], screen, AGES), width=120, monkeypatch=monkeypatch)
    assert "group" in printed
    assert "key" not in printed


@pytest.mark.parametrize("what", ["table", "page"])
def test_a_terminal_without_utf_8_gets_plain_letters(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = FAILED._replace(task="grüße", args={"text": "x" * 300})
    attempt = Attempt(1, "error", EARLIER, NOW, "web1", 4, BROKEN, None, None, "out …")

    def draw(screen: Screen) -> Any:
        if what == "table":
            return tables.table([job], screen, AGES)
        return job_terminal.draw(job_terminal.JobDetails(job, [attempt], ("out …", None)), screen, AGES)

    printed = drawn(draw, encoding="ascii", monkeypatch=monkeypatch)
    assert printed.isascii()
    assert "gr??e" in printed


def test_the_page_of_a_job_shows_what_attempts_do_not_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = [Attempt(number, "error", EARLIER, NOW, "web1", 4, BROKEN, None, None) for number in (1, 2)]
    output = "\n".join(f"line {number}" for number in range(100))
    page = job_terminal.JobDetails(FAILED, attempts, (output, None))
    printed = drawn(lambda screen: job_terminal.draw(page, screen, AGES), monkeypatch=monkeypatch)
    assert printed.count('File "x", line 1') == 1
    assert printed.count("ValueError: here") == 3
    assert "80 lines more: --output shows all" in printed
    assert "line 9\n" in printed
    assert "line 50" not in printed


def test_the_page_of_a_job_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    job = JOB._replace(state="running", attempt=1, started_at=NOW - timedelta(seconds=9), host="web1", pid=4)
    page = job_terminal.JobDetails(job, [], (None, None))
    printed = drawn(lambda screen: job_terminal.draw(page, screen, AGES), monkeypatch=monkeypatch)
    assert "● 1  running  for 9s, on web1, process 4" in printed


@pytest.mark.parametrize(
    ("done", "total", "seconds", "told"),
    [
        (0, 10, 0.0, ["0s"]),
        (0, 10, 7.4, ["7s"]),
        (50, 200, 10.0, ["10s", "5/s", "30s left"]),
        (1, 100_001, 600.0, ["10m", "0/min", "694d left"]),
        (12_000, 12_000, 4.0, ["4s", "3,000/s", "0s left"]),
    ],
)
def test_the_pace_of_a_bar(done: int, total: int, seconds: float, told: list[str]) -> None:
    assert pace(done, total, seconds) == told


def test_the_facts_of_a_job_write_lengths_of_time_as_tables_do() -> None:
    job = FAILED._replace(started_at=EARLIER - timedelta(seconds=12.5), cpu_time=0.036, time_limit=130.0)
    told = dict(facts(job))
    assert (told["took"], told["CPU"], told["time limit"]) == ("12s", "36ms", "130s")
