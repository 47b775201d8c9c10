"""kill -9 of runners and children over jobs under limits: never more than n, no start beyond the rate, none left."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from tests.integration.flow_storm import sampled
from tests.integration.running import Queue
from tests.integration.storm import Execution, Storm
from tests.integration.verdicts import every_run_is_explained, nothing_is_lost_or_stuck
from tests.scale import times

KILLS = times(8, full=100)
JOBS = 15 * KILLS
PLACES = {"one": 1, "three": 3, "ten": 10}
STARTS, PERIOD = 30, 2.0
CONFIG = f"""\
limits.one = 1
limits.three = 3
limits.ten = 10
limits.often = {{ rate = "{STARTS}/{PERIOD:g}s" }}
"""


class LimitedStorm(Storm):
    """A storm whose jobs are under limits, some of them in groups."""

    def _spec(self, number: int) -> dict[str, Any]:
        chosen = ("ten", "three", "one", "ten", "three", "often", None)[number % 7]
        return {**super()._spec(number), "limit": chosen}


@pytest.mark.slow
def test_a_storm_over_limits(queue: Queue) -> None:
    storm = LimitedStorm(queue, seed=KILLS, config=CONFIG)
    queue.app.store.prepare()
    try:
        with sampled(queue) as most:
            storm.blow(KILLS, JOBS)
            storm.calm_down(150)
    finally:
        storm.stop()
    assert storm.complaints() == ""
    by_job = storm.executions()
    executions = [one for runs in by_job.values() for one in runs]
    limits: dict[int, str] = dict(queue.sql("SELECT job_id, limit_name FROM cronq_limited"))
    nothing_is_lost_or_stuck(queue, storm.expected)
    every_run_is_explained(queue, by_job)
    for name, places in PLACES.items():
        assert 0 < most[name] <= places
        assert at_once(one for one in executions if limits.get(one.job) == name) <= places
    assert in_a_window([one.begun for one in executions if limits.get(one.job) == "often"]) <= STARTS
    assert queue.sql("SELECT count(*) FROM cronq_loose_ends") == [(0,)]


def at_once(executions: Iterable[Execution]) -> int:
    """The most executions that ran at the same time, of those whose end is known."""
    known = [(one.begun, one.ended) for one in executions if one.ended is not None]
    steps = sorted([(begun, 1) for begun, _ in known] + [(ended, -1) for _, ended in known])
    running = most = 0
    for _, step in steps:
        running += step
        most = max(most, running)
    return most


def in_a_window(begun: list[int]) -> int:
    """The most starts within half a period: starts count from the claim, and a job waits in its child's pipe."""
    ordered, length = sorted(begun), round(PERIOD / 2 * 1e9)
    return max((sum(1 for other in ordered[n:] if other < at + length) for n, at in enumerate(ordered)), default=0)
