"""When something was or will be, as people say it: `3m ago`, `in 2h`, `for 12s`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cronq.model.job import ENDED, FUTURE
from cronq.render.text import time
from cronq.times import span

if TYPE_CHECKING:
    from datetime import datetime

    from cronq.model.job import Job


class Ages(NamedTuple):
    """Times as seen from now; with `exact` they are told as they are, in UTC."""

    now: datetime
    exact: bool = False

    def ago(self, when: datetime | None) -> str:
        """`3m ago`; empty for a time that isn't known."""
        if when is None or self.exact:
            return time(when)
        return f"{span(self._since(when))} ago"

    def until(self, when: datetime) -> str:
        """`in 3m`, or `now` for what is due."""
        if self.exact:
            return time(when)
        seconds = -self._since(when)
        return f"in {span(seconds)}" if seconds > 0 else "now"

    def lasting(self, since: datetime | None) -> str:
        """`for 3m`; empty for a time that isn't known."""
        if since is None or self.exact:
            return time(since)
        return f"for {span(self._since(since))}"

    def brief(self, when: datetime) -> str:
        """`3m`, under a heading that says ago."""
        return time(when) if self.exact else span(self._since(when))

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
