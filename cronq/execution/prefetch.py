"""Limit how many jobs a runner claims ahead of its children."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.times import SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.execution.child_handle import Ended
    from cronq.model.job import Claimed

AHEAD = 0.1
"""Seconds of work that a child may be assigned: no claim is larger than what starts within them."""

LARGEST_CLAIM = 500
"""Jobs in one claim at most: a larger one would keep other writers waiting without being faster."""

_LARGEST_HAND = 4 << 20
"""Characters of arguments that a child may be assigned."""

_FIRST_GUESS = 0.05
"""Seconds that a job is taken to last before one has ended."""

_OVERHEAD = 0.00002
"""Seconds that a job costs beyond its own time."""


class Prefetch:
    """Measures how long jobs take and how large they are, to claim neither too many nor too few."""

    def __init__(self) -> None:
        self.seconds = _FIRST_GUESS
        self.size = 1.0
        """Characters of arguments."""

    def adjust(self, ended: Sequence[Ended]) -> None:
        """Learn from how long these attempts took."""
        spent = sum(e.outcome.finished_at - e.outcome.started_at for e in ended)
        mean = spent / len(ended) / SECOND + _OVERHEAD
        self.seconds = (self.seconds + mean) / 2 if mean > self.seconds else mean

    def weigh(self, claimed: Sequence[Claimed]) -> None:
        """Learn from how large these jobs are."""
        mean = sum(len(job.args) for job in claimed) / len(claimed)
        self.size = max(mean, self.size / 2)

    def slow_down(self) -> None:
        """Assign one job at a time for now: a job has turned out to be slow."""
        self.seconds = max(self.seconds, AHEAD)

    @property
    def ahead(self) -> int:
        """How many jobs a child may be assigned at a time."""
        return max(1, min(LARGEST_CLAIM, int(AHEAD / self.seconds), int(_LARGEST_HAND / self.size)))
