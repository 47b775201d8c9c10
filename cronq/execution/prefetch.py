"""Limit the number of jobs that a runner claims in advance for its children."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.times import SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.execution.child_handle import Ended
    from cronq.model.job import Claimed

AHEAD = 0.1
"""Seconds of work that a child may be assigned: a claim takes only jobs that are expected to start within them."""

LARGEST_CLAIM = 500
"""Jobs in one claim at most: a larger one would keep other writers waiting without being faster."""

_LARGEST_HAND = 4 << 20
"""Characters of arguments that a child may be assigned."""

_FIRST_GUESS = 0.05
"""Seconds that a job is assumed to take until the first one has ended."""

_OVERHEAD = 0.00002
"""Seconds that a job costs beyond its own time."""


class Prefetch:
    """Estimates the time and the size of jobs, to claim neither too many nor too few."""

    def __init__(self) -> None:
        self.seconds = _FIRST_GUESS
        self.size = 1.0
        """The estimated characters of a job's arguments."""

    def adjust(self, ended: Sequence[Ended]) -> None:
        """Adjust the estimated time of a job to these attempts."""
        spent = sum(e.outcome.finished_at - e.outcome.started_at for e in ended)
        mean = spent / len(ended) / SECOND + _OVERHEAD
        self.seconds = (self.seconds + mean) / 2 if mean > self.seconds else mean

    def weigh(self, claimed: Sequence[Claimed]) -> None:
        """Adjust the estimated size of a job's arguments to these jobs."""
        mean = sum(len(job.args) for job in claimed) / len(claimed)
        self.size = max(mean, self.size / 2)

    def slow_down(self) -> None:
        """Assign one job at a time for now: a job has turned out to be slow."""
        self.seconds = max(self.seconds, AHEAD)

    @property
    def ahead(self) -> int:
        """The number of jobs that a child may be assigned at a time."""
        return max(1, min(LARGEST_CLAIM, int(AHEAD / self.seconds), int(_LARGEST_HAND / self.size)))
