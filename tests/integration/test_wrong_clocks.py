"""A host whose clock is ten minutes wrong beside one whose clock is right, on one database server."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest

from cronq.storage.drivers.opening import open_database
from tests import databases, scale, servers
from tests.integration.test_servers import Hosts
from tests.project import Project, Ran
from tests.waiting import wait_until

TEN_MINUTES = 600
SLACK = 120.0
"""Seconds that a test may take on a busy machine, far from ten minutes."""


class Clocks(Hosts):
    """Host a has the right time, host b is wrong by so many seconds, with all that runs there."""

    def __init__(self, project: Project, database: str, wrong: int) -> None:
        super().__init__(project, database)
        # All clocks that anything there reads: told to leave the monotonic one alone, faketime breaks time.sleep.
        self.environment = {"LD_PRELOAD": str(servers.FAKETIME), "FAKETIME": f"{wrong:+d}s"}
        told = subprocess.run(["date", "+%s"], env=self.environment, capture_output=True, text=True, check=True)
        assert abs(int(told.stdout) - time.time() - wrong) < SLACK, "faketime doesn't work here"

    def on_b(self, *arguments: str | int) -> Ran:
        ran = self.project.cronq("--config", "b.toml", *arguments, env=self.environment)
        assert (ran.status, ran.stderr) == (0, ""), ran
        return ran

    def start_on_b(self, *arguments: str | int) -> None:
        self.started.append(self.project.start("--config", "b.toml", "run", *arguments, env=self.environment))

    def times(self, job: int) -> dict[str, float | None]:
        """How many seconds ago each of a job's instants was."""
        columns = ("created_at", "available_at", "started_at", "finished_at", "lease_until")
        database = open_database(self.config("a"))
        (row,) = database.query(f"SELECT {', '.join(columns)} FROM cronq_jobs WHERE id = ?", (job,))
        database.close()
        now = time.time()
        return {name: None if at is None else now - at / 1e6 for name, at in zip(columns, row, strict=True)}

    def state(self, job: int) -> str:
        stored = self.app.get(job)
        assert stored is not None
        return stored.state


@pytest.fixture(params=scale.engines("postgresql", of=databases.KINDS))
def engine(request: pytest.FixtureRequest) -> str:
    servers.require(request.param)
    return str(request.param)


@pytest.fixture(params=[TEN_MINUTES, -TEN_MINUTES], ids=["fast", "slow"])
def clocks(request: pytest.FixtureRequest, engine: str, project: Project) -> Iterator[Clocks]:
    servers.require("faketime")
    clocks = Clocks(project, databases.empty_queue(engine, project.directory).database, request.param)
    yield clocks
    clocks.stop()


def test_jobs_run_when_they_are_due(clocks: Clocks) -> None:
    now, in_five_minutes, long_due = clocks.put("nothing"), clocks.put("nothing", at="+5m"), clocks.put("nothing")
    theirs, theirs_in_five_minutes = (
        int(clocks.on_b("enqueue", "jobs.nothing", *options).stdout) for options in ([], ["--at", "+5m"])
    )
    clocks.on_b("run")
    assert [clocks.state(job) for job in (now, long_due, theirs)] == ["finished"] * 3
    assert [clocks.state(job) for job in (in_five_minutes, theirs_in_five_minutes)] == ["scheduled"] * 2
    for job in (now, theirs):
        at = clocks.times(job)
        assert all(abs(at[name] or 0) < SLACK for name in ("created_at", "available_at", "started_at", "finished_at"))
    for job in (in_five_minutes, theirs_in_five_minutes):
        assert abs((clocks.times(job)["available_at"] or 0) + 300) < SLACK


def test_nobody_takes_what_a_living_host_holds(clocks: Clocks) -> None:
    ours = clocks.put("waits", arguments={"name": "a"}, queue="ours")
    clocks.run("a", "--queue", "ours")
    wait_until(lambda: clocks.has_recorded(0), seconds=SLACK, what="the right host has begun its job")
    theirs = clocks.put("waits", arguments={"name": "b"}, queue="theirs")
    clocks.start_on_b("--queue", "theirs")
    wait_until(lambda: clocks.has_recorded(1), seconds=SLACK, what="the wrong host has begun its job")
    for job in (ours, theirs):
        assert 0 < -(clocks.times(job)["lease_until"] or 0) < 60 + SLACK
    clocks.on_b("run", "--queue", "nothing-of-this-name")
    clocks.cronq("a", "run", "--queue", "nothing-of-this-name")
    clocks.project.write("go", "")
    wait_until(lambda: clocks.counts() == {"finished": 2}, seconds=SLACK, what="both jobs have ended")
    assert [clocks.app.store.jobs.attempts(job) for job in (ours, theirs)] == [[], []]
    assert sorted(line[1] for line in clocks.recorded()) == ["a", "b"]
