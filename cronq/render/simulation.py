"""Show a simulation of schedules as tables or as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.render.text import time
from cronq.render.tsv import tabbed
from cronq.times import span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cronq.schedules.simulation import Simulation

_CONSEQUENCES = {
    "skip": "skipped: an earlier job will still be running",
    "queue": "later: an earlier job will still be running",
    "allow": "beside an earlier job that will still be running",
}
_CHANGES = {
    "moved": "skipped by the clocks: due when they go on",
    "dropped": "skipped by the clocks with 3 hours or more: not due",
    "once": "shown twice by the clocks: due the first time only",
}
_WIDEST = 40


def lines(simulated: Simulation) -> Iterator[str]:
    """Yield tab-separated lines: first the kind, `hour`, `minute`, `overlap` or `clocks`, then its figures."""
    for hour, jobs in simulated.hours.items():
        yield tabbed("hour", time(hour), str(jobs), f"{simulated.busy[hour].total_seconds():.0f}")
    for minute, jobs in simulated.fullest:
        yield tabbed("minute", time(minute), str(jobs))
    for one in simulated.overlaps:
        yield tabbed(
            "overlap", time(one.first), str(one.times), one.definition.name, _CONSEQUENCES[one.definition.overlap]
        )
    for name, doubt in simulated.doubts:
        yield tabbed("clocks", f"{doubt.local:%Y-%m-%dT%H:%M:%S}", name, _CHANGES[doubt.kind])


def show(simulated: Simulation) -> None:
    """Print a simulation as tables."""
    from cronq.render.console import Screen

    screen = Screen()
    most = max([*simulated.hours.values(), 1])
    load = screen.table("hour (UTC)", "jobs", "busy", "")
    for hour, jobs in simulated.hours.items():
        bar = screen.shown("█" * round(_WIDEST * jobs / most))
        load.add_row(time(hour), f"{jobs:,}", span(simulated.busy[hour].total_seconds()), bar)
    screen.print(load)
    if simulated.fullest:
        full = screen.table("fullest minutes (UTC)", "jobs")
        for minute, jobs in simulated.fullest:
            full.add_row(time(minute), f"{jobs:,}")
        screen.print(full)
    if simulated.overlaps:
        late = screen.table("overlaps", "times", "first (UTC)", "what")
        for one in simulated.overlaps:
            what = _CONSEQUENCES[one.definition.overlap]
            late.add_row(screen.cell(one.definition.name), f"{one.times:,}", time(one.first), screen.cell(what))
        screen.print(late)
    if simulated.doubts:
        doubtful = screen.table("doubtful local times", "schedule", "what")
        for name, doubt in simulated.doubts:
            doubtful.add_row(f"{doubt.local:%Y-%m-%d %H:%M}", screen.cell(name), screen.cell(_CHANGES[doubt.kind]))
        screen.print(doubtful)
