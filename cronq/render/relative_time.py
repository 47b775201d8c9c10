"""Write times relative to now: `3m ago`, `in 2h`, `for 12s`."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from cronq.model.job import ENDED, FUTURE
from cronq.render.text import local_time, time
from cronq.times import span

if TYPE_CHECKING:
    from datetime import datetime

    from cronq.model.job import Job


class TimeStyle(Enum):
    """The way in which times are written: as ages, by this host's clock, or in UTC."""

    AGE = auto()
    LOCAL = auto()
    UTC = auto()

    @classmethod
    def of(cls, *, utc: bool, local: bool = False) -> TimeStyle:
        """Return the way that the options of a command select."""
        return cls.UTC if utc else cls.LOCAL if local else cls.AGE


class Ages(NamedTuple):
    """Writes times relative to now, or exactly: in UTC or this host's time."""

    now: datetime
    style: TimeStyle = TimeStyle.AGE

    @property
    def exact(self) -> bool:
        """Whether times are written exactly."""
        return self.style is not TimeStyle.AGE

    def _exactly(self, when: datetime | None) -> str:
        return local_time(when) if self.style is TimeStyle.LOCAL else time(when)

    def ago(self, when: datetime | None) -> str:
        """Write `3m ago`; empty for an unknown time."""
        if when is None or self.exact:
            return self._exactly(when)
        return f"{span(self._since(when))} ago"

    def both(self, when: datetime | None) -> str:
        """Write `2026-11-28 03:12:04 (3m ago)`, by this host's clock; empty for an unknown time."""
        if when is None or self.exact:
            return self._exactly(when)
        return f"{local_time(when)} ({self.ago(when)})"

    def until(self, when: datetime) -> str:
        """Write `in 3m`, or `now` if it is due."""
        if self.exact:
            return self._exactly(when)
        seconds = -self._since(when)
        return f"in {span(seconds)}" if seconds > 0 else "now"

    def lasting(self, since: datetime | None) -> str:
        """Write `for 3m`; empty for an unknown time."""
        if since is None or self.exact:
            return self._exactly(since)
        return f"for {span(self._since(since))}"

    def brief(self, when: datetime) -> str:
        """Write `3m`, without `ago`, for a column of ages."""
        return self._exactly(when) if self.exact else span(self._since(when))

    def of(self, job: Job) -> str:
        """Write the time after a job's state: failed 3m ago, retrying in 2m, running for 9s."""
        if job.state in ENDED:
            return self.ago(job.finished_at)
        if job.state in FUTURE:
            return self.until(job.available_at)
        return self.lasting(job.started_at if job.state == "running" else job.available_at)

    def _since(self, when: datetime) -> float:
        """Return the age in whole seconds."""
        return float(round((self.now - when).total_seconds()))
