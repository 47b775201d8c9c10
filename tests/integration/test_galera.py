"""A Galera cluster of which both nodes take writes: one queue, though the nodes share no locks."""

from __future__ import annotations

import multiprocessing
import os
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cronq import Cronq
from cronq.config.loader import Config
from cronq.model.selection import Filter
from cronq.schedules.firing import Firing
from cronq.storage.migrations import upgrade
from cronq.store import Lease, Store
from cronq.times import SECOND, Clock, Measured
from daemons.galera import cluster
from tests.contract.schedule_steps import declare
from tests.integration.firing_process import SECONDS, SELDOM, definitions
from tests.integration.server_storm import NODES, ClusterQueue
from tests.integration.storm import LANES, Storm
from tests.integration.verdicts import (
    KILLED,
    LEASE_ENDED,
    every_run_is_explained,
    groups_take_turns,
    nothing_is_lost_or_stuck,
    twins_never_meet,
)
from tests.project import COMMAND, Project

JOBS = int(os.environ.get("GALERA_JOBS", "300"))


class ClusterStorm(Storm):
    """Three runners on each node."""

    lanes = tuple((name, *lane) for name in NODES for lane in LANES)

    def command(self, lane: tuple[str, ...]) -> list[str]:
        name, *options = lane or (self._random.choice(NODES),)
        return [*COMMAND, "-v", "--config", f"{name}.toml", "run", "--jobs", "2", *options]


@pytest.fixture
def queue(project: Project) -> Iterator[ClusterQueue]:
    with cluster() as nodes:
        nodes[0].execute("CREATE DATABASE jobs")
        with ClusterQueue(project, nodes) as queue:
            yield queue


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.needs("galera")
@pytest.mark.timeout(1800)
def test_both_nodes_take_writes(queue: ClusterQueue) -> None:
    the_tables_are_made_from_both_at_once(queue)
    what_one_node_took_the_other_has(queue)
    twins_from_both_nodes_are_one(queue)
    work_is_shared(queue)


DUE = 10
"""Due times of each schedule that both nodes decide at once."""


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.needs("galera")
@pytest.mark.timeout(600)
def test_schedules_are_decided_once_on_both_nodes(queue: ClusterQueue) -> None:
    start = time.time_ns() // 1000 // SECOND * SECOND
    with Store(queue.config("first"), SetClock(start)) as store:
        store.prepare()
        assert len(declare(store, *definitions(0))) == SECONDS + SELDOM
    context = multiprocessing.get_context("fork")
    begin, answers = context.Barrier(4), context.Queue()
    hosts = [(queue.config(name), f"{name}-{number}") for number in range(2) for name in NODES]
    processes = [context.Process(target=fire_second_by_second, args=(*host, start, begin, answers)) for host in hosts]
    for process in processes:
        process.start()
    fired = [answers.get(timeout=300) for _ in processes]
    for process in processes:
        process.join(60)
    assert all(isinstance(jobs, int) for jobs in fired), fired
    due = {f"second-{n:02}": DUE for n in range(SECONDS)}
    for sql in (
        "SELECT schedule, count(*) FROM cronq_fires WHERE outcome = 'enqueued' GROUP BY schedule",
        "SELECT schedule, count(DISTINCT scheduled_for) FROM cronq_jobs GROUP BY schedule",
        "SELECT schedule, count(*) FROM cronq_jobs GROUP BY schedule",
    ):
        counted = {row[0]: row[1] for row in queue.sql(sql)}
        assert {name: counted.get(name) for name in due} == due
    assert sum(fired) == len(queue.rows())
    assert len(queue.sql("SELECT DISTINCT host FROM cronq_fires")) > 1


class SetClock(Clock):
    """A clock that stands where it was set."""

    def __init__(self, instant: int) -> None:
        super().__init__()
        self.instant = instant

    def now(self) -> int:
        return self.instant

    def set_by(self, measured: Measured) -> None:
        """Stay."""


def fire_second_by_second(config: Config, host: str, start: int, begin: Any, answers: Any) -> None:
    clock, jobs = SetClock(start), 0
    begin.wait()
    try:
        with Store(config, clock) as store:
            firing = Firing(store)
            firing._host = host
            for second in range(1, DUE + 1):
                clock.instant = start + second * SECOND
                jobs += firing.fire_all(clock.instant)
        answers.put(jobs)
    except Exception as error:
        answers.put(repr(error))


def the_tables_are_made_from_both_at_once(queue: ClusterQueue) -> None:
    context = multiprocessing.get_context("fork")
    start, answers = context.Barrier(4), context.Queue()
    processes = [context.Process(target=make_tables, args=(queue.config(name), start, answers)) for name in NODES * 2]
    for process in processes:
        process.start()
    applied = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert sorted(map(bool, applied)) == [False, False, False, True], applied
    assert len(queue.sql("SELECT * FROM cronq_schema")) == 1


def make_tables(config: Config, start: Any, answers: Any) -> None:
    start.wait()
    try:
        answers.put(upgrade(config))
    except Exception as error:
        answers.put([repr(error)])


def what_one_node_took_the_other_has(queue: ClusterQueue) -> None:
    """At once: a worker that is woken by an enqueue on one node finds the job on the other."""
    with queue.store("first") as first, queue.store("second") as second:
        for number in range(50):
            job = first.enqueue([queue.app.enqueuer.prepare("jobs.work", {}, {"key": f"seen-{number}"}, check=False)])[
                0
            ]
            now = second.clock.now()
            (claimed,) = second.claim(Filter(), Lease("other", now=now, seconds=60), limit=1)
            assert claimed.id == job.id
            second.release([claimed])
            assert first.admin.cancel([job.id]) == [job.id]
        assert sum(first.admin.clear({"cancelled"}, older_than=-60)) == 50


def twins_from_both_nodes_are_one(queue: ClusterQueue) -> None:
    context = multiprocessing.get_context("fork")
    start, answers = context.Barrier(4), context.Queue()
    processes = [context.Process(target=put_twins, args=(queue.config(name), start, answers)) for name in NODES * 2]
    for process in processes:
        process.start()
    ids = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert ids[0] == ids[1] == ids[2] == ids[3]
    assert len(set(ids[0])) == 30
    assert len(queue.rows()) == 30
    queue.app.store.admin.cancel(ids[0])
    sum(queue.app.store.admin.clear({"cancelled"}, older_than=-60))


def put_twins(config: Config, start: Any, answers: Any) -> None:
    app = Cronq(config)
    start.wait()
    try:
        answers.put([app.enqueue("jobs.work", {}, check=False, key=f"twin-{n}", unique=True).id for n in range(30)])
    except Exception as error:
        answers.put([repr(error)])
    app.close()


def work_is_shared(queue: ClusterQueue) -> None:
    storm = ClusterStorm(queue, seed=JOBS)
    try:
        storm.blow(max(10, JOBS // 200), JOBS)
        storm.calm_down(600)
    finally:
        storm.stop()
    executions = storm.executions()
    nothing_is_lost_or_stuck(queue, storm.expected)
    every_run_is_explained(queue, executions, deaths=(KILLED, LEASE_ENDED))
    groups_take_turns(queue, executions)
    twins_never_meet(queue, executions)
    assert conflicts(storm) > 0
    assert len({host for (host,) in queue.sql("SELECT DISTINCT worker FROM cronq_jobs")}) > 2


def conflicts(storm: ClusterStorm) -> int:
    """What the runners told of them."""
    return sum(map(int, re.findall(r"(\d+) conflicts", storm.complaints())))
