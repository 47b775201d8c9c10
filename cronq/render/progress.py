"""What a run, or a long change by hand, tells while it goes on."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cronq.model.printable import one_line
from cronq.render.text import complain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from rich.progress import Progress

    from cronq.execution.results import Summary
    from cronq.notifications.notice import Notice

WORTH_A_BAR = 1000
"""Jobs: fewer are changed in a moment."""


@contextmanager
def bar(done: str, total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, where somebody sees it; gives what moves it on by so many jobs."""
    if quiet or total < WORTH_A_BAR or sys.stderr is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    progress = _progress()
    row = progress.add_task(done, total=total)
    with progress:
        yield lambda number: progress.update(row, advance=number, refresh=True)


def _progress() -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from cronq.render.console import Screen

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # Without rich's thread: a fork while it holds a lock would leave a child waiting for ever.
    return Progress(*columns, console=Screen(stderr=True).console, transient=True, auto_refresh=False)


class Report:
    """What a run tells without a terminal: only the jobs that need a person."""

    watched = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        return None

    def progress(self, summary: Summary, total: int) -> None:
        """So many of `total` jobs have been dealt with."""

    def needs_a_person(self, notice: Notice | str) -> None:
        """A job failed for good or keeps failing, or jobs wait for a permission: one line on stderr."""
        complain(_line(notice))

    def done(self, summary: Summary, *, verbose: bool) -> None:
        """The run is over."""
        if verbose:
            complain(summary_line(summary))


class TerminalReport(Report):
    """What a run shows to a person: a bar while it goes on, a summary at the end."""

    watched = True

    def __init__(self) -> None:
        self._bar = _progress()
        self._row = self._bar.add_task("jobs", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_failure: object) -> None:
        self._bar.stop()

    def progress(self, summary: Summary, total: int) -> None:
        """Moves the bar."""
        self._bar.update(self._row, completed=summary.ended, total=total, refresh=True)

    def needs_a_person(self, notice: Notice | str) -> None:
        """One line above the bar."""
        self._bar.console.print(one_line(f"cronq: {_line(notice)}"), soft_wrap=True)

    def done(self, summary: Summary, *, verbose: bool) -> None:
        """The summary, in place of the bar."""
        del verbose
        self._bar.stop()
        complain(summary_line(summary))


def _line(notice: Notice | str) -> str:
    return notice if isinstance(notice, str) else notice.for_mail()


def reporter(*, quiet: bool) -> Report:
    """How this run speaks: with a bar only where somebody sees it."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        return Report()
    return TerminalReport()


_COUNTED = ("finished", "failed", "retrying", "waiting", "cancelled", "ready", "lost", "conflicts")


def summary_line(summary: Summary) -> str:
    """`12 finished, 1 failed`, or that nothing was due."""
    counts = [(getattr(summary, name), name) for name in _COUNTED]
    told = ", ".join(f"{number} {name}" for number, name in counts if number)
    return (told or "nothing was due") + ("; stopped by a job" if summary.stopped else "")
