"""kill -9 at random over chains, batches and limits: nothing waits for ever, callbacks come once, limits hold."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from daemons.galera import cluster
from tests import servers
from tests.contract.conftest import engine_queue
from tests.integration.flow_storm import (
    PERIOD,
    PLACES,
    STARTS,
    FlowStorm,
    kept_ledger,
    most_at_once,
    sampled,
    starts_under_the_rate,
)
from tests.integration.running import Queue
from tests.integration.server_storm import NODES, ClusterQueue, ServerQueue
from tests.integration.storm import Execution
from tests.integration.verdicts import (
    ANSWER_LOST,
    KILLED,
    LEASE_ENDED,
    apart,
    every_run_is_explained,
    nothing_is_lost_or_stuck,
)
from tests.project import Project
from tests.scale import ENGINES, engines, times

KILLS = times(4, full=150)
JOBS = times(60, full=5000)
SEED = int(os.environ.get("STORM_SEED", "1"))
SKEW = 20_000
"""Microseconds by which the clocks of two processes may differ that each measured the server's."""


@pytest.fixture(params=engines("mysql", of=[*ENGINES, "galera"]))
def storm(request: pytest.FixtureRequest, project: Project) -> Iterator[FlowStorm]:
    with ExitStack() as stack:
        hosts: tuple[str, ...] = ("cronq",)
        if request.param == "galera":
            servers.require("galera")
            nodes = stack.enter_context(cluster())
            nodes[0].execute("CREATE DATABASE jobs")
            queue: Queue = ClusterQueue(project, nodes)
            hosts = NODES
        elif request.param == "sqlite":
            queue = Queue(project)
        else:
            queue = ServerQueue(project, {"cronq": engine_queue(request.param, project.directory).database})
        stack.enter_context(queue)
        made = FlowStorm(queue, seed=SEED, hosts=hosts)
        stack.enter_context(kept_ledger(queue))
        try:
            yield made
        finally:
            made.stop()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_storm_over_chains_batches_and_limits(storm: FlowStorm) -> None:
    queue = storm.queue
    with sampled(queue) as most:
        storm.blow(KILLS, JOBS)
        storm.calm_down(900)
    assert storm.complaints() == ""
    storm.expect_siblings()
    executions = storm.executions()
    nothing_is_lost_or_stuck(queue, storm.expected)
    every_run_is_explained(queue, executions, deaths=(KILLED, LEASE_ENDED, ANSWER_LOST))
    cancelled_ones_never_ran(queue, executions)
    each_comes_after_those_before_it(queue, executions)
    batches_have_ended(storm, executions)
    limits_were_kept(queue, most)
    assert queue.sql("SELECT count(*) FROM cronq_loose_ends") == [(0,)]
    queue.wait_until_nothing_runs()


def cancelled_ones_never_ran(queue: Queue, executions: dict[int, list[Execution]]) -> None:
    for row in queue.rows("state = 'cancelled'"):
        assert row["attempt"] == 0
        assert not executions.get(row["id"])


def each_comes_after_those_before_it(queue: Queue, executions: dict[int, list[Execution]]) -> None:
    """No job begins before all that it comes after have ended; no two of a group run at once."""
    members: dict[int, list[int]] = defaultdict(list)
    for batch, job in queue.sql("SELECT batch, job FROM cronq_members"):
        members[-batch].append(job)
    for child, parent in queue.sql("SELECT child, parent FROM cronq_edges"):
        before = [_end(run) for job in members.get(parent, [parent]) for run in executions.get(job, [])]
        began = [run.begun for run in executions.get(child, [])]
        assert not began or max(before, default=0) < min(began), f"job {child} did not wait for {parent}"
    groups: dict[str, list[Execution]] = defaultdict(list)
    for row in queue.rows("job_group IS NOT NULL"):
        groups[row["job_group"]] += executions.get(row["id"], [])
    for runs in groups.values():
        apart(runs)


def _end(run: Execution) -> int:
    return run.ended or run.begun


def batches_have_ended(storm: FlowStorm, executions: dict[int, list[Execution]]) -> None:
    """Each as its members did; and each callback that was due has run to its end once."""
    outcomes = dict(storm.queue.sql("SELECT id, outcome FROM cronq_batches"))
    assert outcomes == {batch: "failed" if batch in storm.failing else "finished" for batch in storm.batches}
    for after in storm.batches.values():
        ran = [job for job in after.values() if storm.expected[job] == "finished"]
        assert len(ran) == 2  # on_end, and one of the others
        for job in ran:
            assert [run.ended is not None for run in executions[job]].count(True) >= 1


def limits_were_kept(queue: Queue, most: dict[str, int]) -> None:
    """Never more than n at a time, as was seen and as the ledger says; never more starts than the rate allows."""
    at_once = most_at_once(queue)
    for name, places in PLACES.items():
        assert most[name] <= places, f"{most[name]} places of {name}"
        assert at_once[name] <= places, f"{at_once[name]} leases under {name}"
    assert at_once.keys() >= PLACES.keys()
    begun = starts_under_the_rate(queue)
    for first, beyond in zip(begun, begun[STARTS:], strict=False):
        assert beyond - first >= PERIOD * 1e6 - SKEW, f"{STARTS + 1} starts within {(beyond - first) / 1e6} s"
