"""Show the progress of a run, or of a command that changes many jobs."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cronq.model.printable import one_line
from cronq.render.text import complain
from cronq.times import span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from rich.progress import Progress

    from cronq.execution.results import Summary
    from cronq.notifications.notice import Notice

WORTH_A_BAR = 1000
"""Least number of jobs for a progress bar: fewer are changed in a moment."""


@contextmanager
def bar(done: str, total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on stderr if that is a terminal; yields a function that advances it by a number of jobs."""
    if quiet or total < WORTH_A_BAR or sys.stderr is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    drawn, changed, began = _progress(), 0, time.monotonic()
    row = drawn.add_task(done, total=total, told="")

    def advance(number: int) -> None:
        nonlocal changed
        changed += number
        told = ", ".join(pace(changed, total, time.monotonic() - began))
        drawn.update(row, completed=changed, told=told, refresh=True)

    with drawn:
        yield advance


def pace(done: int, total: int, seconds: float) -> list[str]:
    """Write the time taken, the rate and the time left: `12s`, `83/s`, `9s left`; only the first if nothing is done."""
    if not done or seconds <= 0:
        return [span(seconds)]
    rate = done / seconds
    return [span(round(seconds)), f"{rate:,.0f}/s" if rate >= 1 else f"{60 * rate:,.0f}/min", _left(total - done, rate)]


def _left(number: int, rate: float) -> str:
    return f"{span(float(round(number / rate)))} left"


def _progress() -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from cronq.render.console import Screen

    told = TextColumn("{task.fields[told]}", markup=False)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=_BAR), MofNCompleteColumn(), told)
    # Without rich's thread: a child forked while it holds a lock would wait for ever.
    return Progress(*columns, console=Screen(stderr=True).console, transient=True, auto_refresh=False)


_BAR = 20
"""Width of a bar in characters: the rest of 80 columns is for the figures."""


class PlainReport:
    """The report of a run without a terminal: only jobs that failed for good or keep failing."""

    watched = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        return None

    def progress(self, summary: Summary, total: int) -> None:
        """Do nothing."""

    def needs_attention(self, notice: Notice | str) -> None:
        """Write one line to stderr: a job failed for good or keeps failing, or jobs wait for a permission."""
        complain(_line(notice))

    def done(self, summary: Summary, *, verbose: bool) -> None:
        """Report the end of the run."""
        if verbose:
            complain(summary_line(summary))


class TerminalReport(PlainReport):
    """The report of a run on a terminal: a progress bar, and a summary at the end."""

    watched = True

    def __init__(self) -> None:
        self._bar = _progress()
        self._row = self._bar.add_task("jobs", total=None, told="")
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_failure: object) -> None:
        self._bar.stop()

    def progress(self, summary: Summary, total: int) -> None:
        """Advance the bar."""
        since, *rest = pace(summary.ended, total, time.monotonic() - self._began)
        failed = [f"{number:,} {name}" for name in ("failed", "retrying") if (number := getattr(summary, name))]
        told = ", ".join([since, *rest[:1], *failed, *rest[1:]])
        self._bar.update(self._row, completed=summary.ended, total=total, told=told, refresh=True)

    def needs_attention(self, notice: Notice | str) -> None:
        """Write one line above the bar."""
        self._bar.console.print(one_line(f"cronq: {_line(notice)}"), soft_wrap=True)

    def done(self, summary: Summary, *, verbose: bool) -> None:
        """Replace the bar by the summary."""
        del verbose
        self._bar.stop()
        complain(summary_line(summary))


def _line(notice: Notice | str) -> str:
    return notice if isinstance(notice, str) else notice.for_mail()


def reporter(*, quiet: bool) -> PlainReport:
    """Make the report of this run: with a bar only on a terminal."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        return PlainReport()
    return TerminalReport()


_COUNTED = ("finished", "failed", "retrying", "waiting", "cancelled", "ready", "lost", "conflicts")


def summary_line(summary: Summary) -> str:
    """Write `12 finished, 1 failed`, or that nothing was due; and what stopped the run early."""
    counts = [(getattr(summary, name), name) for name in _COUNTED]
    told = ", ".join(f"{number} {name}" for number, name in counts if number)
    return (told or "nothing was due") + (f"; {summary.stopped}" if summary.stopped else "")
