"""Show the number of jobs of each queue, state and task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.model.states import STYLES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from cronq.render.console import Screen


def table(rows: Iterable[tuple[str, str, str, int]], screen: Screen) -> RenderableType:
    """Make a table of queue, state, task and number."""
    drawn = screen.table("jobs", "state", "queue", "task")
    for queue, state, task, number in rows:
        shown = screen.cell(state, style=STYLES.get(state, ""))
        drawn.add_row(f"{number:,}", shown, screen.cell(queue), screen.cell(task))
    return drawn
