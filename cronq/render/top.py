"""Draw the screen of `cronq top`: queues, workers, and failures or jobs, as many as fit; what doesn't is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.console import Group
from rich.text import Text

from cronq.model.printable import one_line
from cronq.model.states import SHOWN
from cronq.render.relative_time import Ages
from cronq.render.sparkline import sparkline
from cronq.render.status import batches, limits, schedules
from cronq.render.top_keys import keys_of
from cronq.render.top_rows import LONGEST_QUEUE, OLD, SPARK, grid, listed_row, listed_titles, queue_row, worker_row
from cronq.times import span, to_datetime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from cronq.model.job import Job
    from cronq.monitoring.throughput import Throughput
    from cronq.render.console import Screen
    from cronq.storage.failure_groups import FailureGroup
    from cronq.storage.stats import QueueStats
    from cronq.storage.workers import Worker

QUEUES = "queues"
LIST = "list"
FAILURES = "failures"
EVERY = "all"
"""A list of jobs in every state."""

LISTINGS = (FAILURES, *SHOWN, EVERY)

_FRAME = 10
"""Lines that aren't rows: two of figures, three headings, the totals, three empty ones, the keys."""


class View(NamedTuple):
    """The user's choices, the filter while it is typed, and the message at the bottom."""

    queue: str | None = None
    """The chosen queue, or None for all."""
    listing: str = FAILURES
    """The list that is shown: `failures`, `all`, or a state."""
    error: str | None = None
    """The fingerprint of the failures whose jobs are listed, or None."""
    text: str = ""
    """The filter: only failures or jobs that contain it are listed."""
    focus: str = QUEUES
    """Whether the cursor is among the queues or in the list below."""
    chosen: int = 0
    """The row of the list at the cursor."""
    typed: str | None = None
    """The filter while it is typed, else None."""
    said: str = ""
    """An answer or a question at the bottom."""


class Snapshot(NamedTuple):
    """The data of one frame."""

    where: str
    """The database, without its password."""
    stats: QueueStats
    pulse: Throughput
    running: Mapping[str, Sequence[tuple[int, str, int]]]
    """The running jobs by worker: id, task with its progress, and start in microseconds."""
    listed: Sequence[Job | FailureGroup]
    more: bool
    """Whether there are more jobs than those in `listed`."""
    queues: Sequence[str]
    """All queues, the one in the worst state first."""


class Room(NamedTuple):
    """The number of rows of each part that fit on the screen."""

    queues: int
    workers: int
    listed: int


def room(height: int, snapshot: Snapshot) -> Room:
    """Divide the lines of a screen among its parts: each gets some; lines that one doesn't need go to the others."""
    left = max(3, height - _FRAME)
    workers = max(1, min(len(snapshot.stats.workers), max(2, left // 5)))
    least = max(1, min(len(snapshot.listed) + snapshot.more, 2 * left // 5))
    queues = min(len(snapshot.queues), max(1, left - workers - least))
    return Room(queues, workers, max(1, left - workers - queues))


def draw(snapshot: Snapshot, view: View, screen: Screen, *, live: bool) -> RenderableType:
    """Draw one frame; a live one fills the screen, with the keys in its last line."""
    fits = room(screen.console.height, snapshot)
    tables = (
        _queues(snapshot, view, screen, fits.queues),
        _workers(snapshot, screen, fits.workers),
        _listing(snapshot, view, screen, fits.listed),
    )
    parts: list[RenderableType] = [_heading(snapshot, view, screen), _pulse(snapshot, view, screen)]
    for table in tables:
        parts += [Text(), table]
    if live:
        used = len(parts) + sum(table.row_count for table in tables) + 1
        parts += [Text()] * (screen.console.height - used)
        parts.append(bottom(view, screen, keys_of(view.focus)))
    return Group(*parts)


def bottom(view: View, screen: Screen, keys: str) -> Text:
    """Draw the last line: the filter while it is typed, an answer or a question, or the keys."""
    if view.typed is not None:
        line = f"/{view.typed}_   Enter filters, Esc ends"
        return Text(screen.shown(one_line(line)), style="reverse", no_wrap=True, overflow="crop")
    said = screen.shown(one_line(view.said))
    return Text(said or keys, style="reverse" if said else "dim", no_wrap=True, overflow="crop")


def _heading(snapshot: Snapshot, view: View, screen: Screen) -> Text:
    stats = snapshot.stats
    number = len(stats.workers)
    heading = Text(no_wrap=True, overflow="crop")
    heading.append("cronq top", style="bold")
    heading.append(f"  {to_datetime(stats.now):%H:%M:%S} UTC", style="dim")
    heading.append(f"  {number} {'worker' if number == 1 else 'workers'}")
    chosen = [f"queue {view.queue}" if view.queue is not None else "all queues"]
    chosen += [f"error {view.error}"] if view.error else []
    chosen += [f"/{view.text}"] if view.text else []
    heading.append(f"  {screen.shown(one_line('  '.join(chosen)))}", style="cyan")
    if stats.schedules:
        wrong = any(one.late > OLD or one.failing for one in stats.schedules)
        told = screen.shown(one_line(schedules(stats)))
        heading.append(f"  schedules {told}", style="bold red" if wrong else "dim")
    if limits(stats):
        heading.append(f"  limit {screen.shown(one_line(limits(stats)))}", style="yellow")
    if batches(stats):
        heading.append(f"  batches {batches(stats)}", style="bold red" if stats.batches.left_open else "dim")
    heading.append(f"  {screen.shown(one_line(snapshot.where))}", style="dim")
    return heading


def _pulse(snapshot: Snapshot, view: View, screen: Screen) -> Text:
    beat = snapshot.pulse.of(snapshot.stats.queues if view.queue is None else [view.queue])
    waits = [wait for wait in beat.waited if wait]
    width = max(SPARK, (screen.console.width - 44) // 2)
    line = Text(no_wrap=True, overflow="crop")
    line.append("done ", style="dim").append(f"{beat.per_minute:>6,.0f}/min ")
    line.append(sparkline(beat.finished, width, plain=screen.ascii), style="green")
    line.append("  wait ", style="dim").append(f"{span(waits[-1]) if waits else '-':>6} ")
    line.append(sparkline(beat.waited, width, plain=screen.ascii), style="yellow")
    return line


def window(chosen: int, number: int, rows: int) -> range:
    """Return the places of a list of `number` that fit in `rows`, the chosen one among them.

    If not all fit, one row is kept for the number of the others.
    """
    if number <= rows:
        return range(number)
    shown = max(1, rows - 1)
    start = max(0, min(chosen - shown // 2, number - shown))
    return range(start, start + shown)


def _queues(snapshot: Snapshot, view: View, screen: Screen, rows: int) -> Table:
    numbers = ("ready", "running", "retrying", "later", "failed", "oldest", "/min")
    titles = ("  queue", *numbers, *(("done",) if screen.wide else ()))
    drawn = grid(*titles, right=frozenset(numbers))
    queues, focused = snapshot.queues, view.focus == QUEUES

    def add(name: str, these: Sequence[str], *, chosen: bool = False, aside: bool = False) -> None:
        mark = "> " if chosen else "  "
        label = Text(mark).append_text(screen.cell(name, longest=LONGEST_QUEUE))
        if len(these) == 1 and name == these[0] in snapshot.stats.paused:
            label.append(" paused", style="yellow")
        cells = queue_row(label, these, snapshot, screen)
        drawn.add_row(*cells, style="reverse" if chosen and focused else "dim" if aside else "")

    add("all", queues, chosen=view.queue is None)
    places = window(queues.index(view.queue) if view.queue in queues else 0, len(queues), rows)
    for place in places:
        add(queues[place], [queues[place]], chosen=queues[place] == view.queue)
    hidden = [queue for place, queue in enumerate(queues) if place not in places]
    if hidden:
        add(f"{len(hidden)} more", hidden, aside=True)
    return drawn


def _workers(snapshot: Snapshot, screen: Screen, rows: int) -> Table:
    drawn = grid("  worker", "does", "jobs", "now", right=frozenset({"jobs"}), cut="now")
    workers: Sequence[Worker] = sorted(snapshot.stats.workers, key=lambda one: one.name not in snapshot.running)
    places = window(0, len(workers), rows)
    for place in places:
        worker = workers[place]
        drawn.add_row(*worker_row(worker, snapshot.running.get(worker.name, ()), snapshot.stats.now, screen))
    if len(workers) > len(places):
        busy = sum(worker.name in snapshot.running for worker in workers[len(places) :])
        drawn.add_row(f"  {len(workers) - len(places):,} more", f"{busy:,} busy", "", "", style="dim")
    if not workers:
        drawn.add_row(Text("  none", style="dim"), "", "", "")
    return drawn


def _listing(snapshot: Snapshot, view: View, screen: Screen, rows: int) -> Table:
    ages = Ages(to_datetime(snapshot.stats.now))
    titles = listed_titles(failures=shows_failures(view))
    name = "failures" if shows_failures(view) else "jobs" if view.error or view.listing == EVERY else view.listing
    drawn = grid(f"  {name}", *titles, right=frozenset({"last"}), cut="what")
    listed, number = snapshot.listed, len(snapshot.listed)
    places = window(view.chosen, number + snapshot.more, rows)
    for place in (place for place in places if place < number):
        chosen = place == view.chosen and view.focus == LIST
        mark = "> " if chosen else "  "
        drawn.add_row(*listed_row(mark, listed[place], screen, ages), style="reverse" if chosen else "")
    hidden = number - len([place for place in places if place < number])
    if hidden or snapshot.more:
        told = f"  {hidden:,}{'+' if snapshot.more else ''} more"
        drawn.add_row(told, *("" for _ in titles), style="dim")
    if not listed:
        drawn.add_row(Text("  none", style="dim"), *("" for _ in titles))
    return drawn


def shows_failures(view: View) -> bool:
    """Tell whether groups of failures are listed, not jobs."""
    return view.listing == FAILURES and view.error is None
