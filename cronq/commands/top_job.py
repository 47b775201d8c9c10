"""Draw and scroll the page of one job in `cronq top`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from cronq.model.dependencies import Ties
from cronq.render import job_terminal
from cronq.render.live import Lines
from cronq.render.relative_time import Ages
from cronq.render.top import View, bottom
from cronq.render.top_keys import JOB_KEYS
from cronq.times import to_datetime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.segment import Segment

    from cronq.render.console import Screen
    from cronq.store import Store

_CHILDREN = 20
"""Maximum number of shown jobs that come after this one."""

_END = 1 << 30


class JobPage:
    """The page of one job, as `cronq show` draws it, with the whole output."""

    def __init__(self, store: Store, screen: Screen, job_id: int) -> None:
        self._store = store
        self._screen = screen
        self._drawn: RenderableType = Text()
        self._width = 0
        self._lines: Sequence[Sequence[Segment]] = ()
        self._top = 0
        self.job_id = job_id

    def refresh(self) -> None:
        """Read the job and make its page."""
        found = self._details()
        ages = Ages(to_datetime(self._store.clock.now()))
        self._drawn, self._width = Text(f"there is no job {self.job_id} any more"), 0
        if found is not None:
            self._drawn = job_terminal.draw(found, self._screen, ages, excerpt=None)

    def _details(self) -> job_terminal.JobDetails | None:
        jobs, flow = self._store.jobs, self._store.flow
        job = jobs.get(self.job_id)
        if job is None:
            return None
        ties = Ties(
            flow.parents(job.id), flow.children(job.id, limit=_CHILDREN), limit=self._store.limit_reader.name_of(job.id)
        )
        return job_terminal.JobDetails(job, jobs.attempts(job.id), jobs.output(job.id), ties)

    def frame(self, view: View) -> RenderableType:
        """Draw the part of the page that fits, above the last line."""
        if self._width != self._screen.console.width:
            self._width = self._screen.console.width
            self._lines = self._screen.console.render_lines(self._drawn)
        rows, number = self._rows, len(self._lines)
        self._top = max(0, min(self._top, number - rows))
        shown = self._lines[self._top : self._top + rows]
        place = f"  lines {self._top + 1} to {self._top + len(shown)} of {number:,}" if number > rows else ""
        missing = [Text()] * (rows - len(shown))
        return Group(Lines(shown), *missing, bottom(view, self._screen, f"{JOB_KEYS}{place}"))

    def scroll(self, key: str) -> None:
        """Scroll by a line, by a page or to an end, as the key says."""
        steps = {"j": 1, "down": 1, "k": -1, "up": -1, "page down": self._rows, " ": self._rows, "page up": -self._rows}
        ends = {"g": -_END, "home": -_END, "G": _END, "end": _END}
        self._top = max(0, self._top + steps.get(key, ends.get(key, 0)))

    @property
    def _rows(self) -> int:
        return max(1, self._screen.console.height - 1)
