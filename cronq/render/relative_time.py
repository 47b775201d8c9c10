"""When something was or will be, as people say it: `3m ago`, `in 2h`, `for 12s`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cronq.model.job import ENDED, FUTURE
from cronq.render.text import time

if TYPE_CHECKING:
    from datetime import datetime

    from cronq.model.job import Job

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))
_TENTH = 0.1
_AT_LEAST = 2
"""So many of a unit, or the next smaller one is told: 90s, not 1m."""


def length(seconds: float) -> str:
    """`2ms`, `0.3s`, `42s`, `90s`, `3m`, `5h`, `12d`: one unit, and few digits of it."""
    for size, unit in _UNITS:
        if seconds >= _AT_LEAST * size:
            return f"{int(seconds // size)}{unit}"
    if 0 < seconds < _TENTH:
        return f"{1000 * seconds:.0f}ms"
    return f"{max(0.0, round(seconds, 1 if seconds < _AT_LEAST else 0)):g}s"


class Ages(NamedTuple):
    """Times as seen from now; with `exact` they are told as they are, in UTC."""

    now: datetime
    exact: bool = False

    def ago(self, when: datetime | None) -> str:
        """`3m ago`; empty for a time that isn't known."""
        if when is None or self.exact:
            return time(when)
        return f"{length(self._since(when))} ago"

    def until(self, when: datetime) -> str:
        """`in 3m`, or `now` for what is due."""
        if self.exact:
            return time(when)
        seconds = -self._since(when)
        return f"in {length(seconds)}" if seconds > 0 else "now"

    def lasting(self, since: datetime | None) -> str:
        """`for 3m`; empty for a time that isn't known."""
        if since is None or self.exact:
            return time(since)
        return f"for {length(self._since(since))}"

    def brief(self, when: datetime) -> str:
        """`3m`, under a heading that says ago."""
        return time(when) if self.exact else length(self._since(when))

    def of(self, job: Job) -> str:
        """What completes the sentence that the job's state begins: failed 3m ago, retrying in 2m, running for 9s."""
        if job.state in ENDED:
            return self.ago(job.finished_at)
        if job.state in FUTURE:
            return self.until(job.available_at)
        return self.lasting(job.started_at if job.state == "running" else job.available_at)

    def _since(self, when: datetime) -> float:
        """Whole seconds: of an age, tenths are of no interest."""
        return float(round((self.now - when).total_seconds()))
