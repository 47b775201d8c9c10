"""kill -9 of runners and children at random moments: nothing is lost, stuck, doubled or out of order."""

from __future__ import annotations

import pytest

from tests.integration.running import Queue
from tests.integration.storm import Storm
from tests.integration.verdicts import (
    every_run_is_explained,
    groups_take_turns,
    nothing_is_lost_or_stuck,
    twins_never_meet,
)
from tests.scale import times

KILLS = times(12, full=200)
JOBS = 25 * KILLS


@pytest.mark.slow
def test_a_storm_of_kills(queue: Queue) -> None:
    storm = Storm(queue, seed=KILLS)
    try:
        storm.blow(KILLS, JOBS)
        storm.calm_down()
    finally:
        storm.stop()
    assert sum(storm.kills.values()) == KILLS
    assert storm.complaints() == ""
    executions = storm.executions()
    nothing_is_lost_or_stuck(queue, storm.expected)
    every_run_is_explained(queue, executions)
    groups_take_turns(queue, executions)
    twins_never_meet(queue, executions)
    assert queue.healthy()
    queue.wait_until_nothing_runs()
