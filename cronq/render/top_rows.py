"""Draw the rows of `cronq top`: a queue or several, a worker, a group of failures, a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from cronq.model.job import Failure
from cronq.model.states import STYLES
from cronq.render.failures import subject
from cronq.render.jobs import task_cell
from cronq.render.sparkline import sparkline
from cronq.render.status import LATER
from cronq.render.text import last_line
from cronq.storage.failure_groups import FailureGroup
from cronq.times import SECOND, span, to_datetime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from cronq.model.job import Job
    from cronq.render.console import Screen
    from cronq.render.relative_time import Ages
    from cronq.render.top import Snapshot
    from cronq.storage.stats import QueueStats
    from cronq.storage.workers import Worker

OLD = 300.0
"""Seconds after which a due job is late."""

SPARK = 10
LONGEST_QUEUE = 20
_LONGEST_TASK = 40
_SHORTEST_TASK = 20


def grid(*titles: str, right: frozenset[str] = frozenset(), cut: str = "") -> Table:
    """Make an empty table without lines."""
    drawn = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold", expand=False)
    for title in titles:
        drawn.add_column(title, justify="right" if title in right else "left", no_wrap=title != cut)
    return drawn


def queue_row(name: Text, queues: Sequence[str], snapshot: Snapshot, screen: Screen) -> list[RenderableType]:
    """Make the cells for a queue, or for the sum of several."""
    stats, beat = snapshot.stats, snapshot.pulse.of(queues)
    return [
        name,
        *(_number(stats.total(state, queues), state) for state in ("ready", "running", "retrying")),
        _number(sum(stats.total(state, queues) for state in LATER), ""),
        _number(stats.total("failed", queues), "failed"),
        _oldest(stats, queues),
        f"{beat.per_minute:,.0f}" if beat.per_minute else "-",
        *([Text(sparkline(beat.finished, 2 * SPARK, plain=screen.ascii), style="green")] if screen.wide else []),
    ]


def _number(number: int, state: str) -> Text:
    return Text(f"{number:,}" if number else "-", style=STYLES.get(state, "") if number else "dim")


def _oldest(stats: QueueStats, queues: Sequence[str]) -> Text:
    waiting = stats.oldest_due(queues)
    late = (stats.age(waiting) or 0.0) > OLD
    since = waiting if late else min((stats.due_since[one] for one in queues if one in stats.due_since), default=None)
    age = stats.age(since)
    return Text("-", style="dim") if age is None else Text(span(round(age)), style="bold red" if late else "")


def worker_row(
    worker: Worker, hand: Sequence[tuple[int, str, int]], now: int, screen: Screen
) -> Sequence[RenderableType]:
    """Make the cells for a worker and the jobs that it runs."""
    does = screen.cell(worker.state if worker.state != "running" else "idle", style="dim")
    if hand:
        (job_id, task, since), more = hand[0], len(hand) - 1
        age = span(round((now - since) / SECOND))
        does = screen.cell(f"{job_id} {task} for {age}" + (f" and {more} more" if more else ""), style="cyan")
    queues = f" {worker.queues}" if worker.queues else ""
    return (
        Text("  ").append_text(screen.cell(f"{worker.host}:{worker.pid}", longest=26)),
        screen.cell(f"{worker.kind}{queues}", longest=24),
        f"{worker.jobs_done:,}",
        does,
    )


def listed_titles(*, failures: bool) -> Sequence[str]:
    """Name the columns of a list behind its first one."""
    return ("last", "e.g.", "what") if failures else ("state", "when", "queue", "what")


def listed_row(mark: str, one: Job | FailureGroup, screen: Screen, ages: Ages) -> Sequence[RenderableType]:
    """Make the cells for a group of failures, or for a job."""
    return _failures(mark, one, screen, ages) if isinstance(one, FailureGroup) else _job(mark, one, screen, ages)


def _failures(mark: str, one: FailureGroup, screen: Screen, ages: Ages) -> Sequence[RenderableType]:
    number = "1 job" if one.jobs == 1 else f"{one.jobs:,} jobs"
    what = screen.cell(subject(one), longest=_LONGEST_TASK)
    error = last_line(Failure(one.error_class, one.message))
    what.append(" ").append_text(screen.cell(error, style="red" if one.failed else ""))
    count = Text(f"{mark}{number}", style="bold red" if one.failed else "yellow")
    return count, ages.brief(to_datetime(one.last_seen)), str(one.example), what


def _job(mark: str, job: Job, screen: Screen, ages: Ages) -> Sequence[RenderableType]:
    what = task_cell(job, screen)
    if job.error is not None:
        what.truncate(max(_SHORTEST_TASK, screen.console.width // 3), overflow="crop" if screen.ascii else "ellipsis")
        what.append(" ").append_text(screen.cell(last_line(job.error), style="red" if job.state == "failed" else ""))
    state = screen.cell(str(job.state), style=STYLES.get(str(job.state), ""))
    return f"{mark}{job.id}", state, ages.of(job), screen.cell(job.queue, longest=LONGEST_QUEUE), what
