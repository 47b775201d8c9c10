"""What people and scripts see: tables, pages, tab-separated lines, JSON, a progress bar.

A terminal gets tables and colour through rich, which is imported only then; everything
else gets whole, uncut lines. Nothing that a task or a caller supplied reaches a terminal
with its control characters alive.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from cronq.job import COMMAND_TASK

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime, timedelta
    from typing import Self

    from cronq.engine import Summary
    from cronq.job import Attempt, Job
    from cronq.notices import Notice

_LINE_BREAKS = {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t", 0x2028: "\\u2028", 0x2029: "\\u2029"}
_CONTROLS = {
    **{code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (9, 10)},
    **{code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F)},
}
"""Escape sequences start with these; the second row turns the direction of writing."""

_JSON_CONTROLS = {code: f"\\u{code:04x}" for code in _CONTROLS if code >= 0x7F}  # noqa: PLR2004 - DEL


def safe(text: str) -> str:
    """The text with control characters spelt out; line feeds and tabs stay."""
    return text.translate(_CONTROLS)


def one_line(text: str) -> str:
    """The text on one line, control characters and line breaks spelt out."""
    return text.strip().translate(_CONTROLS | _LINE_BREAKS)


def complain(text: str) -> None:
    """One line on stderr."""
    if sys.stderr is not None:
        sys.stderr.write(f"cronq: {one_line(text)}\n")


def write(lines: Iterable[str]) -> None:
    """Lines on stdout, ahead of whatever goes to stderr next."""
    if sys.stdout is not None:
        sys.stdout.writelines(f"{line}\n" for line in lines)
        sys.stdout.flush()


def document(value: object) -> str:
    """The value as one JSON document; letters stay readable, control characters don't."""
    return json.dumps(value, ensure_ascii=False, indent=2).translate(_JSON_CONTROLS)


def compact(value: object) -> str:
    """The value as JSON on one line."""
    return json.dumps(value, ensure_ascii=False).translate(_JSON_CONTROLS)


def on_terminal() -> bool:
    """Whether a person reads stdout."""
    return sys.stdout is not None and sys.stdout.isatty()


def time(when: datetime | None) -> str:
    """The time as ISO 8601 in UTC to the second, empty when not known."""
    return "" if when is None else when.strftime("%Y-%m-%dT%H:%M:%SZ")


def span(seconds: float) -> str:
    """A length of time for people: `0.3 s`, `42 s`, `3 min`, `5 h`, `2 days`."""
    for size, unit in ((172800, "days"), (7200, "h"), (120, "min")):
        if seconds >= size:
            return f"{int(seconds // {'days': 86400, 'h': 3600, 'min': 60}[unit])} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004


def work(job: Job) -> str:
    """What the job does: the command as it was given, or the arguments as JSON."""
    if job.task == COMMAND_TASK:
        return job.command if isinstance(job.command, str) else compact(job.command)
    return compact(job.args) if job.args else ""


# --- lists ---------------------------------------------------------------------------------

COLUMNS = (
    "id", "state", "queue", "priority", "task", "work", "attempt", "key", "group", "blocked_by",
    "created_at", "available_at", "started_at", "finished_at", "error",
)  # fmt: skip
"""The fields of a tab-separated line of `ls`, in their order."""


def job_line(job: Job) -> str:
    """The job as one tab-separated line under COLUMNS, nothing cut, empty where unknown."""
    return "\t".join(one_line(cell) for cell in _cells(job))


def _cells(job: Job) -> tuple[str, ...]:
    return (
        str(job.id),
        str(job.state),
        job.queue,
        str(job.priority),
        job.task,
        work(job),
        f"{job.attempt}/{job.max_attempts}",
        job.key or "",
        job.group or "",
        "" if job.blocked_by is None else str(job.blocked_by),
        time(job.created_at),
        time(job.available_at),
        time(job.started_at),
        time(job.finished_at),
        "" if job.error is None else f"{job.error.kind}: {job.error.message}",
    )


_COLOURS = {
    "running": "cyan",
    "finished": "green",
    "failed": "bold red",
    "retrying": "yellow",
    "cancelled": "dim",
}


def print_jobs(jobs: Sequence[Job], *, now: datetime) -> None:
    """The jobs as a table that fits the terminal; where it is narrow, work and note are cut."""
    table = _table("id", "state", "queue", "task", "", "tries", "age", "note")
    for job in jobs:
        table.add_row(
            str(job.id),
            _cell(str(job.state), style=_COLOURS.get(str(job.state), "")),
            _cell(job.queue),
            _cell(job.task),
            _cell(work(job)),
            f"{job.attempt}/{job.max_attempts}",
            span(_seconds(now - job.created_at)),
            _cell(_note(job, now=now)),
        )
    _console().print(table)


def _cell(text: str, *, style: str = "") -> Any:
    from rich.text import Text

    return Text(one_line(text), style=style, no_wrap=True, overflow="ellipsis")


def _note(job: Job, *, now: datetime) -> str:
    if job.blocked_by is not None:
        return f"behind {job.blocked_by}"
    if job.available_at > now and str(job.state) in ("scheduled", "retrying", "waiting"):
        due = f"in {span(_seconds(job.available_at - now))}"
        return due if job.error is None else f"{due}: {job.error.message}"
    return "" if job.error is None else f"{job.error.kind}: {job.error.message}"


def _seconds(length: timedelta) -> float:
    return max(0.0, length.total_seconds())


def _table(*titles: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        right = title in ("id", "tries", "age", "jobs")
        # Columns that may wrap are narrowed first; their cells are cut instead.
        table.add_column(title, justify="right" if right else "left", no_wrap=title not in ("", "note"))
    return table


def _console(*, stderr: bool = False) -> Any:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False)


# --- one job -------------------------------------------------------------------------------


def job_page(job: Job, attempts: Sequence[Attempt], output: tuple[str | None, str | None]) -> list[str]:
    """All about one job, as lines of plain text."""
    lines = [f"job {job.id}: {one_line(job.task)}, {job.state}"]
    lines += [f"  {label:<13} {one_line(value)}" for label, value in _facts(job) if value]
    lines += [f"  warning       {one_line(text)}" for text in job.warnings]
    for attempt in attempts:
        lines += _attempt_lines(attempt)
    if not attempts or output != (attempts[-1].stdout, attempts[-1].stderr):
        for name, text in zip(("stdout", "stderr"), output, strict=True):
            lines += _block(name, text, indent="")
    return lines


def _facts(job: Job) -> list[tuple[str, str]]:
    """What is known, in the order in which a person asks."""
    return [
        ("does", work(job)),
        ("queue", f"{job.queue}, priority {job.priority}"),
        ("key", "" if job.key is None else f"{job.key}{' (unique)' if job.unique else ''}"),
        ("group", job.group or ""),
        ("blocked by", "" if job.blocked_by is None else f"job {job.blocked_by}"),
        ("event", job.event or ""),
        ("created", time(job.created_at)),
        ("due", time(job.available_at)),
        ("started", time(job.started_at)),
        ("finished", time(job.finished_at)),
        ("took", "" if job.duration is None else f"{job.duration:.3f} s"),
        ("attempts", f"{job.attempt} of {job.max_attempts}{_detours(job)}"),
        ("time limit", "" if job.time_limit is None else f"{job.time_limit:g} s"),
        ("ran on", _where(job)),
        ("memory", "" if job.peak_memory is None else f"{job.peak_memory / 2**20:.1f} MiB at most"),
        ("CPU", "" if job.cpu_time is None else f"{job.cpu_time:.3f} s"),
        ("outcome", job.outcome or ""),
        ("error", "" if job.error is None else f"{job.error.kind}: {job.error.message}"),
        ("result", "" if job.result is None else compact(job.result)),
        ("notes", "" if not job.notes else compact(job.notes)),
    ]


def _detours(job: Job) -> str:
    snoozes = f", snoozed {job.snoozes} times" if job.snoozes else ""
    crashes = f", {job.crashes} crashed" if job.crashes else ""
    return snoozes + crashes


def _where(job: Job | Attempt) -> str:
    if job.host is None:
        return ""
    return job.host if job.pid is None else f"{job.host}, process {job.pid}"


def _attempt_lines(attempt: Attempt) -> list[str]:
    ended = _ending(attempt)
    lines = [f"attempt {attempt.number}: {attempt.outcome}{ended}, started {time(attempt.started_at) or '?'}"]
    if attempt.error is not None:
        lines.append(f"  {one_line(attempt.error.kind)}: {one_line(attempt.error.message)}")
        lines += _block("", attempt.error.traceback, indent="  ")
    for name, text in (("stdout", attempt.stdout), ("stderr", attempt.stderr)):
        lines += _block(name, text, indent="  ")
    return lines


def _ending(attempt: Attempt) -> str:
    if attempt.signal is not None:
        return f" ({attempt.signal})"
    return "" if attempt.exit_status is None else f" (exit status {attempt.exit_status})"


def _block(title: str, text: str | None, *, indent: str) -> list[str]:
    if not text:
        return []
    heading = [f"{indent}{title}:"] if title else []
    return heading + [f"{indent}  {line}" for line in safe(text).splitlines()]


# --- a run while it goes on ----------------------------------------------------------------


class Report:
    """What a run tells without a terminal: only the jobs that need a person."""

    watched = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        return None

    def progress(self, summary: Summary, total: int) -> None:
        """So many of `total` jobs have been dealt with."""

    def needs_a_person(self, notice: Notice) -> None:
        """A job failed for good, or keeps failing: one line on stderr."""
        complain(str(notice))

    def done(self, summary: Summary, *, verbose: bool) -> None:
        """The run is over."""
        if verbose:
            complain(summary_line(summary))


class TerminalReport(Report):
    """What a run shows to a person: a bar while it goes on, a summary at the end."""

    watched = True

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        # Without rich's thread: a fork while it holds a lock would leave a child waiting for ever.
        self._bar = Progress(*columns, console=_console(stderr=True), transient=True, auto_refresh=False)
        self._row = self._bar.add_task("jobs", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_failure: object) -> None:
        self._bar.stop()

    def progress(self, summary: Summary, total: int) -> None:
        """Moves the bar."""
        self._bar.update(self._row, completed=summary.ended, total=total, refresh=True)

    def needs_a_person(self, notice: Notice) -> None:
        """One line above the bar."""
        self._bar.console.print(one_line(f"cronq: {notice}"), soft_wrap=True)

    def done(self, summary: Summary, *, verbose: bool) -> None:
        """The summary, in place of the bar."""
        del verbose
        self._bar.stop()
        complain(summary_line(summary))


def tell_the_log() -> None:
    """Show what goes into the log, but for the errors: those the report tells already."""
    import logging

    log = logging.getLogger("cronq")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("cronq: %(message)s"))
    handler.addFilter(lambda record: record.levelno < logging.ERROR)
    log.addHandler(handler)
    log.setLevel(logging.INFO)


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
