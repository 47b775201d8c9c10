"""Describe the keys of `cronq top`: in its help, and in the last line of its screens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

KEYS = (
    ("j k up down", "move; g and G, Home and End, PgUp and PgDn"),
    ("Tab", "move between the queues and the list"),
    ("Enter", "list the queue's failures; list a failure's jobs; open a job"),
    ("Esc", "go back; clear the filter"),
    ("s S", "list failures, or jobs by state: next, previous"),
    ("/", "filter the list by a text"),
    ("p", "pause the queue, or resume it"),
    ("r", "retry a job, a failure's jobs, a queue's failed ones; asks first"),
    ("c", "cancel a job or a failure's jobs, end a running job; asks first"),
    ("?", "this help"),
    ("q", "quit; in a job and in this help: go back"),
)
"""Each key with what it does, as in docs/cli.md."""

JOB_KEYS = "q back  j k scroll  r retry  c cancel  ? help"
_LINES = {
    "queues": "q quit  ? help  Enter list  s next list  / filter  p pause  r retry failed",
    "list": "q quit  ? help  Enter open  Esc back  s next list  / filter  r retry  c cancel",
}


def keys_of(focus: str) -> str:
    """Return a line with the most important keys while the cursor is in `queues` or in the `list`."""
    return _LINES[focus]


def help_page(lists: Iterable[str]) -> RenderableType:
    """Draw the help; `lists` names the lists that `s` shows one after another."""
    drawn = Table.grid(padding=(0, 2, 0, 0))
    for key, does in KEYS:
        drawn.add_row(Text(f"  {key}", style="bold", no_wrap=True), does)
    return Group(
        Text("cronq top: keys", style="bold"),
        Text(),
        drawn,
        Text(),
        Text(f"lists: {', '.join(lists)}", style="dim"),
        Text("Queues: first those with late jobs, then those with failures, the most first."),
    )
