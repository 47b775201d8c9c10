"""Show one job as lines of plain text, for a pipe, a mail, an editor."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cronq.model.claimed_job import COMMAND_TASK
from cronq.model.dependencies import NO_TIES, Ties
from cronq.model.printable import one_line, safe
from cronq.render.text import compact, time, work
from cronq.times import SECOND, exact_span, span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronq.model.job import Attempt, Job


def job_page(
    job: Job, attempts: Sequence[Attempt], output: tuple[str | None, str | None], ties: Ties = NO_TIES
) -> list[str]:
    """Write one job as lines of plain text."""
    lines = [f"job {job.id}: {one_line(job.task)}, {one_line(job.state)}"]
    lines += [f"  {label:<13} {one_line(value)}" for label, value in (*facts(job), *ties.lines()) if value]
    lines += [f"  warning       {one_line(text)}" for text in job.warnings]
    for attempt in attempts:
        lines += _attempt_lines(attempt)
    if not attempts or output != (attempts[-1].stdout, attempts[-1].stderr):
        for name, text in zip(("stdout", "stderr"), output, strict=True):
            lines += _block(name, text, indent="")
    return lines


def facts(job: Job, when: Callable[[datetime | None], str] = time) -> list[tuple[str, str]]:
    """Return the facts of a job, each with its name; a missing one is empty. `when` writes a time."""
    return [
        ("does", work(job)),
        ("in", str((job.args or {}).get("cwd", "")) if job.task == COMMAND_TASK else ""),
        ("queue", f"{job.queue}, priority {job.priority}"),
        ("key", "" if job.key is None else f"{job.key}{' (unique)' if job.unique else ''}"),
        ("group", job.group or ""),
        ("blocked by", "" if job.blocked_by is None else f"job {job.blocked_by}"),
        ("event", job.event or ""),
        ("schedule", "" if job.schedule is None else f"{job.schedule}, due at {job.scheduled_for}"),
        ("progress", "" if job.progress is None else job.progress.text(datetime.now(UTC))),
        ("created", when(job.created_at)),
        ("due", when(job.available_at)),
        ("started", when(job.started_at)),
        ("finished", when(job.finished_at)),
        ("took", "" if job.duration is None else span(job.duration)),
        ("attempts", f"{job.attempt} of {job.max_attempts}{uncounted(job)}"),
        ("time limit", "" if job.time_limit is None else exact_span(round(job.time_limit * SECOND))),
        ("ran on", where(job)),
        ("memory", "" if job.peak_memory is None else f"{job.peak_memory / 2**20:.1f} MiB at most"),
        ("CPU", "" if job.cpu_time is None else span(job.cpu_time)),
        ("outcome", job.outcome or ""),
        ("error", "" if job.error is None else f"{job.error.kind}: {job.error.message}"),
        ("result", "" if job.result is None else compact(job.result)),
        ("notes", "" if not job.notes else compact(job.notes)),
    ]


def uncounted(job: Job) -> str:
    """Describe snoozes and crashes, which don't count as attempts."""
    snoozes = f", snoozed {job.snoozes} times" if job.snoozes else ""
    crashes = f", {job.crashes} crashed" if job.crashes else ""
    return snoozes + crashes


def where(job: Job | Attempt) -> str:
    """Name the host and the process; empty if they aren't known."""
    if job.host is None:
        return ""
    return job.host if job.pid is None else f"{job.host}, process {job.pid}"


def _attempt_lines(attempt: Attempt) -> list[str]:
    ended = ending(attempt)
    began = time(attempt.started_at) or "?"
    by = f", worker {attempt.worker}" if attempt.worker else ""
    lines = [one_line(f"attempt {attempt.number}: {attempt.outcome}{ended}, started {began}{by}")]
    if attempt.error is not None:
        lines.append(f"  {one_line(attempt.error.kind)}: {one_line(attempt.error.message)}")
        lines += _block("", attempt.error.traceback, indent="  ")
    for name, text in (("stdout", attempt.stdout), ("stderr", attempt.stderr)):
        lines += _block(name, text, indent="  ")
    return lines


def ending(attempt: Attempt) -> str:
    """Write the signal or exit status of an attempt, in brackets."""
    if attempt.signal is not None:
        return f" ({attempt.signal})"
    return "" if attempt.exit_status is None else f" (exit status {attempt.exit_status})"


def _block(title: str, text: str | None, *, indent: str) -> list[str]:
    if not text:
        return []
    heading = [f"{indent}{title}:"] if title else []
    return heading + [f"{indent}  {line}" for line in safe(text).splitlines()]
