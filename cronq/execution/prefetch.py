"""How far ahead of its children a runner may claim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cronq.times import SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.execution.child_handle import Ended
    from cronq.model.job import Claimed

AHEAD = 0.1
"""Seconds of work that a child may have in hand: no claim is larger than what starts within them."""

LARGEST_CLAIM = 500
"""Jobs: a larger claim would keep other writers waiting, and gain nothing."""

_LARGEST_HAND = 4 << 20
"""Characters of arguments that a child may have in hand."""

_FIRST_GUESS = 0.05
"""Seconds that a job is taken to last before one has ended."""

_OVERHEAD = 0.00002
"""Seconds that a job costs beyond its own time."""


@dataclass
class Prefetch:
    """How long jobs take and how large they are, learned to claim neither too many nor too few."""

    seconds: float = _FIRST_GUESS
    size: float = 1.0
    """Characters of arguments."""

    def learn(self, ended: Sequence[Ended]) -> None:
        """Take in how long these attempts took."""
        spent = sum(e.outcome.finished_at - e.outcome.started_at for e in ended)
        mean = spent / len(ended) / SECOND + _OVERHEAD
        self.seconds = (self.seconds + mean) / 2 if mean > self.seconds else mean

    def weigh(self, claimed: Sequence[Claimed]) -> None:
        """Take in how large these jobs are."""
        mean = sum(len(job.args) for job in claimed) / len(claimed)
        self.size = max(mean, self.size / 2)

    def slow_down(self) -> None:
        """A job has turned out to be slow: hand over one at a time for now."""
        self.seconds = max(self.seconds, AHEAD)

    @property
    def ahead(self) -> int:
        """How many jobs a child may have in hand."""
        return max(1, min(LARGEST_CLAIM, int(AHEAD / self.seconds), int(_LARGEST_HAND / self.size)))
