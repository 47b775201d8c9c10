"""A server that stays away, and a host that is cut off from it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from cronq import Cronq
from tests import databases, scale, servers
from tests.contract.conftest import engine_queue
from tests.integration.running import HEADER, alive
from tests.integration.test_servers import Hosts, ended
from tests.project import Project
from tests.proxy import Proxy
from tests.started import Process
from tests.waiting import wait_until


@pytest.fixture(params=scale.engines("mariadb", of=databases.KINDS))
def mortal(request: pytest.FixtureRequest) -> Iterator[databases.Running]:
    """A server of the test's own."""
    servers.require(request.param)
    with databases.private(request.param) as server:
        server.execute("CREATE DATABASE jobs")
        yield server


def waiting(hosts: Hosts) -> list[list[str]]:
    return [line for line in hosts.recorded() if line[0] == "waiting"]


def test_an_outage_longer_than_the_patience(mortal: databases.Running, project: Project) -> None:
    """The run ends when its jobs have; what they did is known to the next one."""
    hosts = Hosts(project, mortal.url("jobs"))
    try:
        hosts.settings('patience = "1s"\n')
        for _ in range(20):
            hosts.put("turn", arguments={"name": "quick"}, priority=1)
        slow = hosts.put("waits", arguments={"name": "slow"}, priority=2)
        after = hosts.put("turn", arguments={"name": "after"}, priority=3, group="g")
        run = hosts.run("a", "--jobs", 1)
        wait_until(lambda: waiting(hosts), seconds=60, what="the slow job runs")
        mortal.kill()
        over = time.monotonic() + 3
        wait_until(lambda: time.monotonic() > over, what="the patience is over")
        assert run.poll() is None
        hosts.project.write("go", "")
        _, stderr = run.communicate(timeout=60)
        assert run.returncode == 69, stderr
        assert len(stderr.splitlines()) == 1, stderr
        assert hosts.project.cronq("--config", "a.toml", "run").status == 69
        mortal.start()
        assert ended(hosts.run("a")) == ""
        assert hosts.counts() == {"finished": 22}
        begun = [line[2] for line in hosts.recorded() if line[0] == "begin"]
        assert len(begun) == len(set(begun)) == 21
        assert len(waiting(hosts)) == 1
        assert hosts.app.store.jobs.attempts(slow) == hosts.app.store.jobs.attempts(after) == []
    finally:
        hosts.stop()


@pytest.mark.parametrize("kind", scale.engines("postgresql", of=databases.KINDS))
def test_a_host_that_is_cut_off_gives_its_jobs_up(kind: str, project: Project) -> None:
    """Before another host may take them over, although it hangs in a call to the database."""
    servers.require(kind)
    direct = databases.empty_queue(kind, project.directory)
    port = direct.database_url().port or 0
    hosts = Hosts(project, direct.database)
    with Proxy(port) as proxy:
        try:
            hosts.settings('lease = "6s"\n')
            through = (project.directory / "a.toml").read_text().replace(f":{port}/", f":{proxy.port}/")
            hosts.project.write("a.toml", through)
            job = hosts.put("waits", arguments={"name": "x"}, group="g")
            cut_off = hosts.run("a", "--jobs", 1)
            ((_, _, pid),) = wait_until(partial(waiting, hosts), seconds=60, what="the job runs")
            proxy.freeze()
            nothing_yet = hosts.run("b", "--jobs", 1)
            assert (ended(nothing_yet), len(waiting(hosts))) == ("", 1)
            wait_until(partial(is_nearly_over, hosts, job), what="the lease is nearly over")
            other = taken_over(hosts)
            assert not alive(int(pid))
            hosts.project.write("go", "")
            assert ended(other) == ""
            proxy.thaw()
            assert ended(cut_off) == ""
            stored = hosts.app.get(job)
            assert stored is not None
            assert (stored.state, stored.attempt) == ("finished", 2)
            assert len(waiting(hosts)) == 2
        finally:
            hosts.stop()


def is_nearly_over(hosts: Hosts, job: int) -> bool:
    """Whether the job's lease has only half a second left."""
    database = hosts.app.store._tables.database
    [(until,)] = database.query("SELECT lease_until FROM cronq_jobs WHERE id = ?", (job,))
    return bool(until - time.time() * 1e6 < 0.5e6)


def taken_over(hosts: Hosts) -> Process:
    """Runs on another host, until one has the job."""
    while True:
        run = hosts.run("b", "--jobs", 1)
        wait_until(partial(has_ended_or_job, run, hosts), seconds=60, what="the run ends, or has the job")
        if run.poll() is None:
            return run
        run.communicate()


def has_ended_or_job(run: Process, hosts: Hosts) -> bool:
    return run.poll() is not None or len(waiting(hosts)) > 1


@pytest.mark.parametrize("engine", ["sqlite", *databases.KINDS])
def test_tables_that_are_gone_under_a_worker_are_told_and_waited_for(
    engine: str, tmp_path: Path, project: Project
) -> None:
    config = engine_queue(engine, tmp_path)
    lines = f'database = "{config.database}"\nlock_dir = "{tmp_path}/locks"\napp = "jobs:queue"\npatience = "1s"\n'
    project.write("cronq.toml", lines)
    project.write("jobs.py", HEADER)
    with Cronq(config) as queue, project.start("work", "--poll", "0.2s") as worker:
        try:
            queue.wait(queue.enqueue("jobs.nothing", check=False).id, timeout="30s")
            rename(queue, "cronq_jobs", "cronq_elsewhere")
            try:
                assert worker.stderr is not None
                assert "a table of the queue is gone: restore it from a backup" in worker.stderr.readline()
            finally:
                rename(queue, "cronq_elsewhere", "cronq_jobs")
            queue.wait(queue.enqueue("jobs.nothing", check=False).id, timeout="60s")
        finally:
            worker.terminate()
        assert worker.wait(60) == 0


def rename(queue: Cronq, table: str, to: str) -> None:
    queue.store._tables.open().execute(f"ALTER TABLE {table} RENAME TO {to}")
