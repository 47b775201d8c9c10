"""Show the state of the queue as a table, lines or JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cronq.model.job import State
from cronq.model.printable import one_line
from cronq.model.states import ENDED, SHOWN, STYLES, UNFINISHED
from cronq.render.text import on_terminal, write
from cronq.render.tsv import tabbed
from cronq.times import SECOND, iso, span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.text import Text

    from cronq.storage.flow_stats import LimitStats
    from cronq.storage.stats import QueueStats, ScheduleStats
    from cronq.storage.workers import Worker

_COLUMNS = {state: (state,) for state in ("ready", *(state for state in SHOWN if state != "ready"))}
_ALWAYS = ("ready", "running", "retrying", "failed")
"""The states that have a column of their own in each table, also if no jobs are in them."""

LATER = tuple(state for state in UNFINISHED if state not in _ALWAYS)
"""The states of jobs that a narrow table counts in the column `later`."""

_FEWER_COLUMNS = {
    **{state: (state,) for state in _ALWAYS},
    "later": LATER,
    "ended": tuple(state for state in ENDED if state not in _ALWAYS),
}
"""Columns for a narrow terminal."""

_ALL_FIT = 110
_OLD = 300.0
_SHOWN_WORKERS = 8
_SHOWN_LIMITS = 5


def summary(stats: QueueStats) -> dict[str, Any]:
    """Make the JSON of `status` from the statistics."""
    queues: dict[str, dict[str, int]] = {}
    for queue, state, number in stats.counts:
        queues.setdefault(queue, {})[state] = number
    oldest = min(stats.ready_since.values(), default=None)
    return {
        "queues": queues,
        "totals": {state.value: stats.total(state) for state in State},
        "oldest_ready_at": None if oldest is None else iso(oldest),
        "oldest_ready_age": stats.age(oldest),
        "last_run_at": None if stats.last_run is None else iso(stats.last_run),
        "run_active": stats.run_is_on,
        "failing_runs": [
            {
                "host": run.host,
                "queues": run.queues.split(),
                "started_at": iso(run.started_at),
                "ended_at": iso(run.ended_at),
                "status": run.status,
                "error": run.error,
            }
            for run in stats.failing_runs
        ],
        "paused": sorted(stats.paused),
        "paused_by": {
            queue: {"by": action.who, "at": iso(action.at)} for queue, action in sorted(stats.paused_by.items())
        },
        "workers": [worker.to_json() for worker in stats.workers],
        "schedules": [_schedule(one) for one in stats.schedules],
        "limits": [_limit(one, stats.now) for one in stats.limits if one.is_shown],
        "batches": {
            "open": stats.batches.open,
            "running": stats.batches.running,
            "left_open": [one.to_json() for one in stats.batches.left_open],
        },
    }


def _schedule(one: ScheduleStats) -> dict[str, Any]:
    return {
        "name": one.name,
        "due_at": None if one.due_at is None else iso(one.due_at),
        "late": one.late,
        "missed": one.missed,
        "paused": one.paused,
        "failing": one.failing,
        "succeeded_at": None if one.succeeded_at is None else iso(one.succeeded_at),
    }


def _limit(one: LimitStats, now: int) -> dict[str, Any]:
    return {
        "name": one.name,
        "concurrency": one.bounds.concurrency,
        "taken": one.taken,
        "pending": one.pending,
        "oldest_wait": one.waited(now),
        "opens_at": None if one.opens_at is None else iso(one.opens_at),
    }


def show(stats: QueueStats, where: str) -> None:
    """Print the statistics: a table on a terminal, else lines."""
    if on_terminal():
        _show_table(stats)
    else:
        write(tabbed(queue, state, str(number)) for queue, state, number in stats.counts)
    write([*_remarks(stats), one_line(f"database: {where}")])


def _remarks(stats: QueueStats) -> Iterable[str]:
    oldest = stats.age(min(stats.ready_since.values(), default=None))
    yield "oldest ready job: " + ("none" if oldest is None else f"due for {span(oldest)}")
    yield f"last run: {last_run(stats)}"
    for run in stats.failing_runs:
        ended = span(stats.age(run.ended_at) or 0.0)
        only = f" (--queue {run.queues})" if run.queues else ""
        yield one_line(f"failed: run{only} on {run.host}, {ended} ago, status {run.status}: {run.error}")
    yield f"workers: {len(stats.workers) or 'none'}"
    for worker in stats.workers[:_SHOWN_WORKERS]:
        yield f"  {_sketch(worker, stats)}"
    if len(stats.workers) > _SHOWN_WORKERS:
        yield f"  and {len(stats.workers) - _SHOWN_WORKERS} more"
    for queue in sorted(stats.paused):
        yield one_line(f"paused: {queue}{_by(queue, stats)}")
    if stats.schedules:
        yield f"schedules: {one_line(schedules(stats))}"
    yield from _flow(stats)


def _flow(stats: QueueStats) -> Iterable[str]:
    waiting = stats.waiting_limits
    for limit in waiting[:_SHOWN_LIMITS]:
        yield one_line(f"limit: {limit.text(stats.now)}")
    if len(waiting) > _SHOWN_LIMITS:
        yield f"  jobs wait under {len(waiting) - _SHOWN_LIMITS} more"
    if stats.batches.open or stats.batches.running:
        yield f"batches: {batches(stats)}"
    for left in stats.batches.left_open:
        yield one_line(f"left open: {left.text()}; `cronq batch close {left.batch.id}` lets it end")


def schedules(stats: QueueStats) -> str:
    """Write how many schedules there are, how many are late, paused or failing, and when the next one is due."""
    counts = {
        "late": sum(one.late > _OLD for one in stats.schedules),
        "paused": sum(one.paused for one in stats.schedules),
        "failing": sum(one.failing for one in stats.schedules),
    }
    parts = [str(len(stats.schedules)), *(f"{number} {what}" for what, number in counts.items() if number)]
    due = [(one.due_at, one.name) for one in stats.schedules if one.due_at is not None]
    if due:
        instant, name = min(due)
        parts.append(f"next {name} in {span(max(0.0, (instant - stats.now) / SECOND))}")
    return ", ".join(parts)


def limits(stats: QueueStats) -> str:
    """Write the state of the limit whose oldest job has waited the longest, and how many more have waiting jobs.

    Empty if no job waits for a place.
    """
    waiting = stats.waiting_limits
    more = f", {len(waiting) - 1} more" if len(waiting) > 1 else ""
    return f"{waiting[0].text(stats.now)}{more}" if waiting else ""


def batches(stats: QueueStats) -> str:
    """Write the numbers of open and running batches, and of those that were left open; empty if there are none."""
    counts = {
        "open": stats.batches.open,
        "running": stats.batches.running,
        "left open": len(stats.batches.left_open),
    }
    return ", ".join(f"{number} {what}" for what, number in counts.items() if number)


def _by(queue: str, stats: QueueStats) -> str:
    action = stats.paused_by.get(queue)
    return "" if action is None else f", by {action.who}, {span(stats.age(action.at) or 0.0)} ago"


def last_run(stats: QueueStats) -> str:
    """Write how long ago the last run of this host began."""
    if stats.last_run is None and stats.runs_hidden:
        return "not known to this user, who can't read the lock directory"
    if stats.last_run is None:
        return "none yet on this host"
    age = span(stats.age(stats.last_run) or 0.0)
    return f"began {age} ago, still at work" if stats.run_is_on else f"{age} ago"


def _sketch(worker: Worker, stats: QueueStats) -> str:
    what = f"{worker.kind} on {worker.host}, process {worker.pid}"
    queues = f", only {worker.queues}" if worker.queues else ""
    memory = "" if worker.memory is None else f", {worker.memory / 2**20:.0f} MiB"
    up = span(stats.age(worker.started_at) or 0.0)
    return one_line(f"{what}: {worker.state}{queues}, {worker.jobs_done} jobs in {up}{memory}")


def _show_table(stats: QueueStats) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    columns = _COLUMNS if console.width >= _ALL_FIT else _FEWER_COLUMNS
    columns = {name: states for name, states in columns.items() if name in _ALWAYS or _any(stats, states)}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_footer=len(stats.queues) > 1)
    table.add_column("queue", footer="all")  # the only one that may wrap, so it is narrowed; its cells are cut
    for name, states in columns.items():
        table.add_column(name, footer=_number(sum(map(stats.total, states)), name), justify="right", no_wrap=True)
    table.add_column("oldest", justify="right", no_wrap=True)
    for queue in stats.queues:
        numbers = (_number(sum(stats.total(state, [queue]) for state in columns[name]), name) for name in columns)
        table.add_row(_queue(queue, stats), *numbers, _oldest(queue, stats))
    if stats.queues:
        console.print(table)


def _any(stats: QueueStats, states: Sequence[str]) -> bool:
    return any(stats.total(state) for state in states)


def _number(number: int, column: str) -> Text:
    from rich.text import Text

    style = STYLES[column] if column in _ALWAYS else ""
    return Text(f"{number:,}" if number else "-", style if number else "dim")


def _queue(queue: str, stats: QueueStats) -> Text:
    from rich.text import Text

    name = Text(one_line(queue), no_wrap=True, overflow="ellipsis")
    return Text("paused ", "yellow", no_wrap=True, overflow="ellipsis").append(name) if queue in stats.paused else name


def _oldest(queue: str, stats: QueueStats) -> Text:
    from rich.text import Text

    age = stats.age(stats.due_since.get(queue))
    if age is None:
        return Text("")
    return Text(span(age), "bold red" if age > _OLD and queue not in stats.paused else "")
