"""Measure jobs of one group, which run one at a time, beside the same jobs without a group."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.contest import ROOT, Drain, drain, environment, place_for
from benchmarks.peers import cronq_sqlite
from benchmarks.result import Figure, Must, of_rates
from benchmarks.work import orders

OURS = "cronq_sqlite"
JOBS = 2_000


def run(*, rounds: int) -> list[Figure]:
    """Measure drains of 2,000 jobs of one group, and of 2,000 without a group."""
    pairs = [(_drained("one"), _drained(None)) for _ in range(rounds)]
    whole = [grouped.whole for grouped, _ in pairs], [free.whole for _, free in pairs]
    span = [grouped.span for grouped, _ in pairs], [free.span for _, free in pairs]
    return [
        of_rates(_figure("one group of 2,000, start to end"), *whole),
        of_rates(_figure("one group of 2,000, first start to last"), *span),
    ]


def _figure(what: str) -> Figure:
    return Figure("group", what, "jobs/s", (), "without groups", (), Must(at_least=0.3))


def _drained(group: str | None) -> Drain:
    with place_for(OURS) as place:
        # Another process enqueues, so that this one has the same memory and imports in each round.
        command = [sys.executable, "-m", "benchmarks.figures.groups", str(place), group or ""]
        subprocess.run(command, cwd=ROOT, env=environment(place), check=True)
        return drain(cronq_sqlite.Queue(place), JOBS)


def fill(place: Path, group: str | None) -> None:
    """Enqueue the jobs."""
    queue = cronq_sqlite.Queue(place)
    queue.open()
    queue.put_group(list(orders(place, JOBS)), group)


if __name__ == "__main__":
    fill(Path(sys.argv[1]), sys.argv[2] or None)
