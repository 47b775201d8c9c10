"""Draw the screen of `cronq top`: queues, workers, and failures or other jobs, as many as fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.console import Group
from rich.table import Table
from rich.text import Text

from cronq.model.job import COMMAND_TASK, Failure, Job
from cronq.model.printable import one_line
from cronq.render.console import STATE_STYLES
from cronq.render.jobs import task_cell
from cronq.render.relative_time import Ages
from cronq.render.sparkline import sparkline
from cronq.render.status import schedules
from cronq.render.text import last_line
from cronq.times import SECOND, span, to_datetime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from cronq.monitoring.throughput import Throughput
    from cronq.render.console import Screen
    from cronq.storage.reading import FailedAttempt
    from cronq.storage.stats import QueueStats

FAILURES = "failures"
_LATER = ("scheduled", "waiting", "blocked", "pending")
_SPARK = 10
_LONGEST_QUEUE = 20
_KEYS = "q quit  up/down queue  s list  p pause  r retry failed"
_OLD = 300.0
_FRAME = 9
"""Lines that aren't rows: two of figures, three headings, three empty ones, the keys."""


class View(NamedTuple):
    """The user's choice of queue and list."""

    queue: str | None = None
    """None for all."""
    listing: str = FAILURES
    """`failures`, or a state."""
    said: str = ""
    """An answer or a question at the bottom."""


class Picture(NamedTuple):
    """The data of one frame."""

    where: str
    """The database, without its password."""
    stats: QueueStats
    pulse: Throughput
    running: Mapping[str, Sequence[tuple[int, str, int]]]
    """By worker: id, task and since when."""
    listed: Sequence[Job | FailedAttempt]


def room(height: int, stats: QueueStats) -> tuple[int, int, int]:
    """Return how many queues, workers and listed jobs fit on a screen of so many lines."""
    left = max(3, height - _FRAME)
    queues = min(max(1, len(stats.queues)), max(1, left // 2 - 1))
    workers = min(max(1, len(stats.workers)), max(1, (left - queues) // 3))
    return queues, workers, max(1, left - queues - workers)


def draw(picture: Picture, view: View, screen: Screen) -> RenderableType:
    """Draw one frame."""
    queues, workers, listed = room(screen.console.height, picture.stats)
    return Group(
        _heading(picture, view, screen),
        _pulse(picture, view, screen),
        Text(),
        _queues(picture, view, screen, queues),
        Text(),
        _workers(picture, screen, workers),
        Text(),
        _listing(picture, view, screen, listed),
        Text(screen.shown(one_line(view.said)) or _KEYS, style="reverse" if view.said else "dim", no_wrap=True),
    )


def _heading(picture: Picture, view: View, screen: Screen) -> Text:
    stats = picture.stats
    number = len(stats.workers)
    heading = Text(no_wrap=True, overflow="crop")
    heading.append("cronq top", style="bold")
    heading.append(f"  {to_datetime(stats.now):%H:%M:%S} UTC", style="dim")
    heading.append(f"  {number} {'worker' if number == 1 else 'workers'}")
    heading.append(f"  queue {screen.shown(one_line(view.queue))}" if view.queue else "  all queues", style="cyan")
    if stats.schedules:
        wrong = any(one.late > _OLD or one.failing for one in stats.schedules)
        told = screen.shown(one_line(schedules(stats)))
        heading.append(f"  schedules {told}", style="bold red" if wrong else "dim")
    heading.append(f"  {screen.shown(one_line(picture.where))}", style="dim")
    return heading


def _pulse(picture: Picture, view: View, screen: Screen) -> Text:
    beat = picture.pulse.of(picture.stats.queues if view.queue is None else [view.queue])
    waits = [wait for wait in beat.waited if wait]
    width = max(_SPARK, (screen.console.width - 44) // 2)
    line = Text(no_wrap=True, overflow="crop")
    line.append("done ", style="dim").append(f"{beat.per_minute:>6,.0f}/min ")
    line.append(sparkline(beat.finished, width, plain=screen.ascii), style="green")
    line.append("  wait ", style="dim").append(f"{span(waits[-1]) if waits else '-':>6} ")
    line.append(sparkline(beat.waited, width, plain=screen.ascii), style="yellow")
    return line


def _grid(*titles: str, right: frozenset[str] = frozenset(), cut: str = "") -> Table:
    grid = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold", expand=False)
    for title in titles:
        grid.add_column(title, justify="right" if title in right else "left", no_wrap=title != cut)
    return grid


def _queues(picture: Picture, view: View, screen: Screen, rows: int) -> Table:
    stats = picture.stats
    numbers = ("ready", "running", "retrying", "later", "failed", "oldest", "/min")
    grid = _grid("  queue", *numbers, "done", right=frozenset(numbers))
    width = _SPARK if not screen.wide else 2 * _SPARK
    for queue in _around(view.queue, stats.queues, rows):
        beat = picture.pulse.of([queue])
        chosen = "bold cyan" if queue == view.queue else ""
        name = Text().append("> " if chosen else "  ", style=chosen)
        name.append_text(screen.cell(queue, style=chosen, longest=_LONGEST_QUEUE))
        if queue in stats.paused:
            name.append(" paused", style="yellow")
        grid.add_row(
            name,
            *(_number(stats.total(state, [queue]), state) for state in ("ready", "running", "retrying")),
            _number(sum(stats.total(state, [queue]) for state in _LATER), ""),
            _number(stats.total("failed", [queue]), "failed"),
            _oldest(stats, queue),
            f"{beat.per_minute:,.0f}" if beat.per_minute else "-",
            Text(sparkline(beat.finished, width, plain=screen.ascii), style="green"),
        )
    return grid


def _around(chosen: str | None, queues: Sequence[str], rows: int) -> Sequence[str]:
    """Return as many queues as fit, with the chosen one among them."""
    place = queues.index(chosen) if chosen in queues else 0
    start = max(0, min(place - rows // 2, len(queues) - rows))
    return queues[start : start + rows]


def _number(number: int, state: str) -> Text:
    return Text(f"{number:,}" if number else "-", style=STATE_STYLES.get(state, "") if number else "dim")


def _oldest(stats: QueueStats, queue: str) -> Text:
    age = stats.age(stats.due_since.get(queue))
    if age is None:
        return Text("-", style="dim")
    return Text(span(round(age)), style="bold red" if age > _OLD and queue not in stats.paused else "")


def _workers(picture: Picture, screen: Screen, rows: int) -> Table:
    stats = picture.stats
    grid = _grid("  worker", "does", "jobs", "now", right=frozenset({"jobs"}), cut="now")
    for worker in stats.workers[:rows]:
        hand = picture.running.get(worker.name, ())
        now = screen.cell(worker.state if worker.state != "running" else "idle", style="dim")
        if hand:
            (job_id, task, since), more = hand[0], len(hand) - 1
            age = span(round((stats.now - since) / SECOND))
            now = screen.cell(f"{job_id} {task} for {age}" + (f" and {more} more" if more else ""), style="cyan")
        queues = f" {worker.queues}" if worker.queues else ""
        grid.add_row(
            Text("  ").append_text(screen.cell(f"{worker.host}:{worker.pid}", longest=26)),
            screen.cell(f"{worker.kind}{queues}", longest=24),
            f"{worker.jobs_done:,}",
            now,
        )
    if not stats.workers:
        grid.add_row(Text("  none", style="dim"), "", "", "")
    return grid


def _listing(picture: Picture, view: View, screen: Screen, rows: int) -> Table:
    ages = Ages(to_datetime(picture.stats.now))
    title = "  last failures" if view.listing == FAILURES else f"  {view.listing}"
    grid = _grid(title, "when", "queue", "what", cut="what")
    for one in picture.listed[:rows]:
        grid.add_row(*(_job(one, screen, ages) if isinstance(one, Job) else _failure(one, screen, ages)))
    if not picture.listed:
        grid.add_row(Text("  none", style="dim"), "", "", "")
    return grid


def _failure(one: FailedAttempt, screen: Screen, ages: Ages) -> Sequence[RenderableType]:
    error = Failure(one.error_class or "", one.error_message or "")
    what = screen.cell("$" if one.task == COMMAND_TASK else one.task)
    what.append(" ").append_text(screen.cell(last_line(error), style="red" if one.state == "failed" else ""))
    ended = None if one.finished_at is None else to_datetime(one.finished_at)
    style = STATE_STYLES.get(one.state, "")
    state = Text(f"  {one.job_id} ").append_text(screen.cell(one.state, style=style))
    return state, ages.ago(ended), screen.cell(one.queue, longest=_LONGEST_QUEUE), what


def _job(job: Job, screen: Screen, ages: Ages) -> Sequence[RenderableType]:
    what = task_cell(job, screen)
    if job.error is not None:
        what.append(" ").append_text(screen.cell(last_line(job.error), style="red" if job.state == "failed" else ""))
    return f"  {job.id}", ages.of(job), screen.cell(job.queue, longest=_LONGEST_QUEUE), what
