"""Two hosts on one server in a storm: runners, hosts and the server are killed, a host is cut off."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from daemons.databases import on_network
from tests import databases, scale, servers
from tests.integration.server_storm import ServerStorm
from tests.integration.verdicts import (
    ANSWER_LOST,
    KILLED,
    LEASE_ENDED,
    every_run_is_explained,
    groups_take_turns,
    nothing_is_lost_or_stuck,
    twins_never_meet,
)
from tests.network import Network
from tests.project import Project
from tests.waiting import wait_until

JOBS = int(os.environ.get("STORM_JOBS", "120"))
SEED = int(os.environ.get("STORM_SEED", "1"))
"""`make storm` has more of it."""

JOBS_FOR_EACH = {"kill": 100, "server": 4000, "host": 1500}
"""One kill of a runner for so many jobs, one of the server, one of a host; but each at least once."""


@pytest.fixture(params=scale.engines("mariadb", of=databases.KINDS))
def storm(request: pytest.FixtureRequest, project: Project) -> Iterator[ServerStorm]:
    servers.require(request.param)
    servers.require("network")
    with Network() as network, on_network(request.param, network.address) as server:
        server.execute("CREATE DATABASE jobs")
        storm = ServerStorm(server, network, project, seed=SEED)
        with storm.queue:
            try:
                yield storm
            finally:
                storm.stop()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_storm_over_two_hosts(storm: ServerStorm) -> None:
    kills = max(6, JOBS // JOBS_FOR_EACH["kill"])
    hosts, server_kills = spread(JOBS // JOBS_FOR_EACH["host"], kills), spread(JOBS // JOBS_FOR_EACH["server"], kills)
    for number in range(kills):
        storm.enqueue(JOBS // kills)
        storm.strike()
        if number in server_kills:
            storm.kill_server()
        if number in hosts:
            storm.kill_host()
        if number == kills // 2:
            cut_off(storm)
    storm.calm_down(600)
    assert storm.complaints() == ""
    queue, executions = storm.queue, storm.executions()
    nothing_is_lost_or_stuck(queue, storm.expected)
    every_run_is_explained(queue, executions, deaths=(KILLED, LEASE_ENDED, ANSWER_LOST))
    groups_take_turns(queue, executions)
    twins_never_meet(queue, executions)
    queue.wait_until_nothing_runs()


def spread(times: int, steps: int) -> set[int]:
    """Which of the steps, that many of them but at least one."""
    times = max(1, times)
    return {(number + 1) * steps // (times + 1) for number in range(times)}


def cut_off(storm: ServerStorm) -> None:
    storm.cut()
    for _ in range(5):
        storm.strike()
    wait_until(storm.is_rescued, seconds=60, what="the other host takes over", pause=0.5)
    storm.mend()
