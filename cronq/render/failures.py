"""Show groups of failures as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.model.job import COMMAND_TASK, Failure
from cronq.render.text import last_line
from cronq.times import to_datetime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from cronq.render.console import Screen
    from cronq.render.relative_time import Ages
    from cronq.storage.failure_groups import FailureGroup


_LONGEST_SUBJECT = 30
"""Maximum number of characters of a task or command in the table."""


def table(alike: Sequence[FailureGroup], screen: Screen, ages: Ages) -> RenderableType:
    """Make a table of failure groups that fits the terminal."""
    drawn = screen.table("error", "jobs", "since", "last", "e.g.", "task", "what")
    for one in alike:
        drawn.add_row(
            one.fingerprint,
            screen.cell(f"{one.jobs:,}", style="bold red" if one.failed else "yellow"),
            ages.brief(to_datetime(one.first_seen)),
            ages.brief(to_datetime(one.last_seen)),
            str(one.example),
            screen.cell(subject(one), longest=_LONGEST_SUBJECT),
            screen.cell(last_line(Failure(one.error_class, one.message)), style="red" if one.failed else ""),
        )
    return drawn


def subject(one: FailureGroup) -> str:
    """Return the task, or for the shell task `$ the command`."""
    return f"$ {one.command}" if one.task == COMMAND_TASK and one.command else one.task
