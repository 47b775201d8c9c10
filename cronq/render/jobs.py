"""Show jobs as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cronq.model.job import COMMAND_TASK
from cronq.model.states import STYLES
from cronq.render.console import WIDE
from cronq.render.text import last_line, short_work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.text import Text

    from cronq.model.job import Job
    from cronq.render.console import Screen
    from cronq.render.relative_time import Ages

_LONGEST_NAME = 24
"""Characters of a queue, key or group in a table."""


def table(jobs: Sequence[Job], screen: Screen, ages: Ages) -> RenderableType:
    """Make a table of jobs that fits the terminal; task and note are cut if it is narrow."""
    optional = [column for column in _OPTIONAL if screen.console.width > WIDE and any(map(column.of, jobs))]
    drawn = screen.table("id", "state", "when", "queue", "task", "tries", *(column[0] for column in optional), "note")
    for job in jobs:
        drawn.add_row(
            str(job.id),
            screen.cell(str(job.state), style=STYLES.get(str(job.state), "")),
            ages.of(job),
            screen.cell(job.queue, longest=_LONGEST_NAME),
            task_cell(job, screen),
            f"{job.attempt}/{job.max_attempts}",
            *(screen.cell(column.of(job) or "", longest=_LONGEST_NAME) for column in optional),
            _note(job, screen, ages),
        )
    return drawn


class _Optional(NamedTuple):
    """A column that is shown if there is room and one of the jobs has a value for it."""

    title: str
    field: str

    def of(self, job: Job) -> str | None:
        name: str | None = getattr(job, self.field)
        return name


_OPTIONAL = (_Optional("group", "group"), _Optional("key", "key"))


def task_cell(job: Job, screen: Screen) -> Text:
    """Write `mail.send to=ann@example.org`, or `$ the command`."""
    drawn = screen.cell("$" if job.task == COMMAND_TASK else job.task)
    work = short_work(job)
    if work:
        drawn.append(f" {screen.cell(work)}", style="" if job.task == COMMAND_TASK else "dim")
    return drawn


def _note(job: Job, screen: Screen, ages: Ages) -> Text:
    if job.blocked_by is not None:
        return screen.cell(f"behind {job.blocked_by}", style=STYLES["blocked"])
    if job.error is not None:
        return screen.cell(last_line(job.error), style="red" if job.state == "failed" else "")
    if job.progress is not None:
        return screen.cell(job.progress.text(ages.now), style="cyan")
    if job.state == "running":
        return screen.cell(f"on {job.host}" if job.host else "", style="dim")
    return screen.cell(job.warnings[0] if job.warnings else "", style="yellow")
