"""Queues in MariaDB and PostgreSQL as real processes use them: many runs, hosts that die, servers that die."""

from __future__ import annotations

import json
import multiprocessing
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from cronq import Cronq
from cronq.config.loader import Config, load
from cronq.storage.drivers.opening import open_database
from cronq.storage.migrations import upgrade
from cronq.storage.schema_version import CURRENT
from tests import databases, servers
from tests.integration.running import HEADER
from tests.project import Project
from tests.scale import engines, times
from tests.started import Process
from tests.waiting import wait_until

TASKS = """\
@queue.task
def add(a: int, b: int) -> int:
    print("adding")
    return a + b


@queue.task
def turn(name: str):
    mark("begin", name, job_id(), time.monotonic_ns())
    mark("end", name, job_id(), time.monotonic_ns())


def job_id():
    return current_job().id


@queue.task(max_attempts=2)
def breaks():
    raise ValueError("nul \\0 and \\u00e9")


@queue.task
def waits(name: str):
    mark("waiting", name, os.getpid())
    pause_until((HERE / "go").exists)
"""
CONFIG = 'database = "{database}"\napp = "jobs:queue"\ncommands = true\nlock_dir = "{place}/locks-{host}"\n{more}'


class Hosts:
    """A queue on a server that several hosts use: directories of locks of their own make them strangers."""

    def __init__(self, project: Project, database: str) -> None:
        self.project = project
        self.database = database
        project.write("jobs.py", HEADER + TASKS)
        self.settings("")
        self.app = Cronq(self.config("a"))
        self.started: list[Process] = []

    def settings(self, more: str) -> None:
        for host in "abc":
            text = CONFIG.format(database=self.database, place=self.project.directory, host=host, more=more)
            self.project.write(f"{host}.toml", text)

    def config(self, host: str) -> Config:
        return load(file=str(self.project.directory / f"{host}.toml"), environ={})

    def put(self, task: str, **options: Any) -> int:
        arguments = options.pop("arguments", {})
        return self.app.enqueue(f"jobs.{task}", arguments, check=False, **options).id

    def cronq(self, host: str, *arguments: str | int) -> str:
        ran = self.project.cronq("--config", f"{host}.toml", *arguments)
        assert ran.status == 0, ran
        return ran.stdout

    def run(self, host: str, *arguments: str | int) -> Process:
        process = self.project.start("--config", f"{host}.toml", "run", *arguments)
        self.started.append(process)
        return process

    def counts(self) -> dict[str, int]:
        found: dict[str, int] = defaultdict(int)
        for _, state, count in self.app.store.jobs.counts():
            found[state] += count
        return dict(found)

    def recorded(self) -> list[list[str]]:
        path = self.project.directory / "record"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def has_recorded(self, lines: int) -> bool:
        return len(self.recorded()) > lines

    def stop(self) -> None:
        for process in self.started:
            process.kill()
            process.communicate()
        self.app.close()


def ended(process: Process, seconds: float = 60) -> str:
    _, stderr = process.communicate(timeout=seconds)
    assert process.returncode == 0, stderr
    return stderr


@pytest.fixture(params=engines("mariadb", of=databases.KINDS))
def hosts(request: pytest.FixtureRequest, project: Project) -> Iterator[Hosts]:
    servers.require(request.param)
    queue = Hosts(project, databases.empty_queue(request.param, project.directory).database)
    yield queue
    queue.stop()


@pytest.fixture(params=engines("postgresql", of=databases.KINDS))
def mortal(request: pytest.FixtureRequest) -> Iterator[databases.Running]:
    """A server of the test's own."""
    servers.require(request.param)
    with databases.private(request.param) as server:
        name = "jobs"
        server.execute(f"CREATE DATABASE {name}")
        yield server


def test_tasks_and_commands(hosts: Hosts) -> None:
    add = hosts.put("add", arguments={"a": 1, "b": 2}, key="k", unique=True)
    breaks = hosts.put("breaks")
    command = hosts.app.command("echo out; echo err >&2; exit 100").id
    assert hosts.put("add", arguments={"a": 1, "b": 2}, key="k", unique=True) == add
    hosts.project.cronq("--config", "a.toml", "run")
    shown = {job: json.loads(hosts.cronq("a", "show", job, "--json")) for job in (add, breaks, command)}
    assert (shown[add]["state"], shown[add]["result"], shown[add]["output"]["stdout"]) == ("finished", 3, "adding\n")
    assert shown[breaks]["state"] == "retrying"
    assert shown[breaks]["attempts"][0]["error"]["class"] == "ValueError"
    assert "é" in shown[breaks]["error"]["message"]
    assert (shown[command]["state"], shown[command]["output"]) == ("failed", {"stdout": "out\n", "stderr": "err\n"})
    assert hosts.cronq("a", "clear-finished") == "1\n"


def test_a_view_shows_the_times(hosts: Hosts) -> None:
    job = hosts.put("add", arguments={"a": 1, "b": 2})
    database = open_database(hosts.config("a"))
    ((created, available),) = database.query(
        "SELECT created_at, available_at FROM cronq_jobs_view WHERE id = ?", (job,)
    )
    database.close()
    stored = hosts.app.get(job)
    assert stored is not None
    assert (created.replace(tzinfo=None), available.tzinfo) == (stored.created_at.replace(tzinfo=None), created.tzinfo)


def test_nothing_to_do_comes_without_sqlalchemy(hosts: Hosts) -> None:
    program = (
        "import sys; from cronq.config.loader import load; from cronq.storage.idle_check import anything_to_do;"
        " from cronq.times import Clock; found = anything_to_do(load(file='a.toml'), Clock());"
        " print(found, [name for name in ('sqlalchemy', 'typer', 'rich') if name in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=hosts.project.directory, capture_output=True, text=True, check=True
    )
    assert told.stdout == "False []\n"


SHARED = times(100, full=3000)


@pytest.mark.slow
def test_six_runs_on_two_hosts_share_the_work(hosts: Hosts) -> None:
    hosts.app.enqueue_many(
        [
            {"task": "jobs.turn", "args": {"name": f"g{n % 7}"}, "group": f"g{n % 7}", "priority": n % 3}
            if n % 2
            else {"task": "jobs.turn", "args": {"name": f"job{n}"}}
            for n in range(SHARED)
        ],
        check=False,
    )
    runs = [hosts.run(host, "--priority", f"0-{999 - n}") for host in "ab" for n in range(3)]
    for run in runs:
        assert ended(run) == ""
    assert hosts.counts() == {"finished": SHARED}
    begun = [line[2] for line in hosts.recorded() if line[0] == "begin"]
    assert len(begun) == len(set(begun)) == SHARED
    groups_take_turns(hosts.recorded())
    database = open_database(hosts.config("a"))
    assert database.query("SELECT * FROM cronq_groups") == []
    database.close()


def groups_take_turns(lines: list[list[str]]) -> None:
    turns: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for what, name, _, moment in lines:
        turns[name].append((int(moment), what))
    for name, moments in turns.items():
        order = [what for _, what in sorted(moments)]
        assert order == ["begin", "end"] * (len(order) // 2), name


def test_a_host_that_is_gone_is_rescued_when_its_lease_ends(hosts: Hosts) -> None:
    job, behind = (hosts.put("waits", arguments={"name": "x"}, group="g") for _ in range(2))
    gone = hosts.run("a", "--jobs", 1)
    wait_until(lambda: hosts.recorded(), seconds=60, what="the job has begun")
    gone.send_signal(signal.SIGKILL)
    gone.communicate()
    assert ended(hosts.run("b")) == ""
    stored = hosts.app.get(job)
    assert stored is not None
    assert (stored.state, stored.attempt) == ("running", 1)
    hosts.project.write("go", "")
    database = open_database(hosts.config("a"))
    database.execute("UPDATE cronq_jobs SET lease_until = 2 WHERE lease_until IS NOT NULL")
    database.execute("UPDATE cronq_leases SET lease_until = 2")
    database.close()

    def rescued() -> bool:
        ended(hosts.run("b"))
        return hosts.counts() == {"finished": 2}

    wait_until(rescued, seconds=60, what="the lease is over")
    (attempt,) = hosts.app.store.jobs.attempts(job)
    assert attempt.outcome == "crashed"
    assert attempt.error is not None
    assert "lease" in attempt.error.message
    assert hosts.app.store.jobs.attempts(behind) == [] or len(hosts.app.store.jobs.attempts(behind)) == 1


def test_a_host_that_lives_is_left_alone(hosts: Hosts) -> None:
    hosts.settings('lease = "6s"\n')
    job = hosts.put("waits", arguments={"name": "x"})
    alive = hosts.run("a")
    (line,) = wait_until(lambda: hosts.recorded(), seconds=60, what="the job has begun")
    before = open_database(hosts.config("a"))
    (first,) = before.query("SELECT lease_until FROM cronq_jobs WHERE id = ?", (job,))
    wait_until(
        lambda: before.query("SELECT lease_until FROM cronq_jobs WHERE id = ?", (job,)) != [first],
        seconds=60,
        what="the lease is renewed",
    )
    ended(hosts.run("b"))
    before.close()
    hosts.project.write("go", "")
    ended(alive)
    assert hosts.app.store.jobs.attempts(job) == []
    assert [one for one in hosts.recorded() if one[0] == "waiting"] == [line]


@pytest.mark.slow
def test_the_server_dies_under_a_run_and_comes_back(mortal: databases.Running, project: Project) -> None:
    hosts = Hosts(project, mortal.url("jobs"))
    jobs = times(500, full=20_000)
    try:
        hosts.app.enqueue_many(
            [{"task": "jobs.turn", "args": {"name": f"g{n % 5}" if n % 3 == 0 else str(n)},
              "group": f"g{n % 5}" if n % 3 == 0 else None} for n in range(jobs)],
            check=False,
        )  # fmt: skip
        runs = [hosts.run("a"), hosts.run("b")]
        for share in (1, 2, 3):
            wait_until(partial(hosts.has_recorded, share * jobs * 3 // 10), seconds=60, what="some jobs ran")
            mortal.kill()
            mortal.start()
        for run in runs:
            ended(run, 120)
        assert hosts.counts() == {"finished": jobs}
        begun = [line[2] for line in hosts.recorded() if line[0] == "begin"]
        assert len(begun) == len(set(begun)) == jobs
        groups_take_turns(hosts.recorded())
    finally:
        hosts.stop()


def _upgrade(config: Config, start: Any, answers: Any) -> None:
    start.wait()
    answers.put(upgrade(config))


def test_six_make_the_tables_at_once(hosts: Hosts) -> None:
    config = hosts.config("a").with_values("the test", table_prefix="other_")
    context = multiprocessing.get_context("fork")
    start, answers = context.Barrier(6), context.Queue()
    processes = [context.Process(target=_upgrade, args=(config, start, answers)) for _ in range(6)]
    for process in processes:
        process.start()
    applied = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert sorted(applied) == [[]] * 5 + [[f"{number:04}" for number in range(1, int(CURRENT) + 1)]]
    database = open_database(config)
    assert database.query("SELECT count(*) FROM other_schema") == [(1,)]
    for name in ("jobs_view", "attempts_view"):
        database.execute(f"DROP VIEW other_{name}")
    for name in (*databases.TABLES, "schema"):
        database.execute(f"DROP TABLE other_{name}")
    database.close()
