"""A worker that stays: what wakes it, what it does at each signal, and when it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from cronq.execution.pool import STUCK
from cronq.times import SECOND, Clock
from tests.integration.running import CONFIG, Queue, alive
from tests.integration.storm import children_of
from tests.project import COMMAND
from tests.servers import UNSHARE
from tests.started import Process
from tests.waiting import wait_until

TASKS = """\
@queue.task
def note_time():
    mark("at", time.time())


@queue.task
def until(name):
    mark("began", name, os.getpid())
    pause_until((HERE / name).exists)
    mark("ended", name)


@queue.task
def version():
    mark("version", 1)
"""
NEVER = ("--poll", "1h")
"""A worker that only looks when something wakes it."""


@pytest.fixture
def tasks(queue: Queue) -> Iterator[Queue]:
    """The queue with the tasks of this file."""
    queue.tasks(TASKS)
    yield queue
    for name in ("one", "two"):
        (queue.directory / name).touch()


def begin(queue: Queue, name: str = "one") -> int:
    """A job that a worker is running, until `finish`."""
    job = queue.put("until", {"name": name})
    queue.wait_for_record(f"began {name}")
    return job


def finish(queue: Queue, name: str = "one") -> None:
    (queue.directory / name).touch()


def ended(worker: Process, *, seconds: float = 60) -> tuple[int, str]:
    """A worker's exit status and what it said."""
    _, said = worker.communicate(timeout=seconds)
    return worker.returncode, said


def wait_for_state(queue: Queue, state: str) -> None:
    """Wait until all workers say that they are in this state."""
    wait_until(lambda: set(queue.sql("SELECT state FROM cronq_workers")) == {(state,)}, what=state)


def workers(queue: Queue) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = json.loads(queue.project.done("workers", "--json"))
    return shown


def pids(queue: Queue) -> set[int]:
    return {pid for (pid,) in queue.sql("SELECT pid FROM cronq_workers WHERE kind = 'work'")}


def settle_down(worker: Process) -> None:
    """Wait until a worker has looked twice and sleeps."""
    del worker
    deadline = time.monotonic() + 0.5
    wait_until(lambda: time.monotonic() > deadline)


# What wakes it


def test_an_enqueue_wakes_it_at_once(tasks: Queue) -> None:
    worker = tasks.work(*NEVER)
    settle_down(worker)
    for word in ("first", "second"):
        tasks.put("record", {"word": word})
        tasks.wait_for_record(word)
    worker.terminate()
    assert ended(worker) == (0, "")
    assert tasks.sql("SELECT * FROM cronq_workers") == []
    assert not list(tasks.directory.glob("*.locks/*.wake"))


def test_an_enqueue_in_the_callers_transaction_wakes_it_after_its_commit(tasks: Queue) -> None:
    from sqlalchemy import create_engine

    settle_down(tasks.work(*NEVER))
    engine = create_engine(f"sqlite:///{tasks.project.database}")
    with engine.begin() as connection:
        tasks.app.enqueue("jobs.record", {"word": "here"}, check=False, connection=connection)
    tasks.wait_for_record("here")
    engine.dispose()


def test_an_enqueue_in_an_asynchronous_transaction_wakes_it_after_its_commit(tasks: Queue) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    async def enqueue() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tasks.project.database}")
        async with tasks.app.alifespan(), engine.begin() as connection:
            await tasks.app.aenqueue("jobs.record", {"word": "here"}, check=False, connection=connection)
        await engine.dispose()

    settle_down(tasks.work(*NEVER))
    asyncio.run(enqueue())
    tasks.wait_for_record("here")


def test_ring_wakes_it_by_hand(tasks: Queue) -> None:
    settle_down(tasks.work(*NEVER))
    afar = {"CRONQ_LOCK_DIR": str(tasks.directory / "elsewhere")}
    assert tasks.project.cronq("enqueue", "jobs.record", "word=rung", env=afar).status == 0
    assert tasks.project.done("ring") == "1 worker of this host"
    tasks.wait_for_record("rung")


def test_a_job_that_is_due_later_starts_when_it_is_due(tasks: Queue) -> None:
    settle_down(tasks.work(*NEVER))
    due = time.time() + 1.2
    tasks.put("note_time", at="+1.2s")
    late = float(tasks.wait_for_record("at")) - due
    assert 0 <= late < 50


def test_retry_and_resume_wake_it(tasks: Queue) -> None:
    job = tasks.put("record", {"word": "again"})
    tasks.project.done("cancel", job)
    tasks.project.done("pause", "default")
    tasks.project.done("pause", "default")
    settle_down(tasks.work(*NEVER))
    tasks.project.done("retry", job)
    assert tasks.state(job) == "ready"
    tasks.project.done("resume", "default")
    tasks.wait_for_record("again")
    failed = tasks.put("record", {"word": "later"}, at="+1h")
    tasks.project.done("cancel", failed)
    tasks.project.done("retry", failed)
    tasks.wait_for_record("later")


def test_it_takes_only_what_its_filter_admits(tasks: Queue) -> None:
    tasks.work("--queue", "mail*", "--priority", "-20", "--jobs", 1, *NEVER)
    tasks.put("record", {"word": "other"}, queue="other", priority=10)
    tasks.put("record", {"word": "unimportant"}, queue="mail", priority=50)
    tasks.put("record", {"word": "mine"}, queue="mail.bulk", priority=20)
    tasks.wait_for_record("mine")
    assert tasks.recorded() == ["mine"]


# Signals


def test_sigterm_and_sigint_finish_and_end(tasks: Queue) -> None:
    for number, name in ((signal.SIGTERM, "one"), (signal.SIGINT, "two")):
        worker = tasks.work(*NEVER)
        job = begin(tasks, name)
        worker.send_signal(number)
        wait_for_state(tasks, "ending")
        waiting = tasks.put("record", {"word": "not now"}, at="+0s")
        finish(tasks, name)
        assert ended(worker) == (0, "")
        assert tasks.state(job) == "finished"
        assert tasks.state(waiting) == "ready"
        tasks.project.done("cancel", waiting)


@pytest.mark.parametrize("why", ["a signal", "a job", "`cronq reload-workers`", "--max-memory"])
def test_verbose_says_what_stopped_it(why: str, tasks: Queue) -> None:
    tasks.tasks("@queue.task\ndef stops():\n    raise Stop()\n")
    worker = tasks.work("-v", *(["--max-memory", "1M"] if why == "--max-memory" else []), *NEVER)
    if why == "a signal":
        worker.terminate()
    elif why == "a job":
        tasks.put("stops")
    elif why == "`cronq reload-workers`":
        tasks.project.done("reload-workers")
    status, said = ended(worker)
    assert (status, said.splitlines()[-1].partition("; ")[2]) == (0, f"stopped by {why}")


@pytest.mark.parametrize("how", ["a second signal", "the grace is over"])
def test_a_job_goes_back_with_its_attempt_when(how: str, tasks: Queue) -> None:
    worker = tasks.work("--grace", "0.3" if how == "the grace is over" else "1h", *NEVER)
    job = begin(tasks)
    worker.terminate()
    if how == "a second signal":
        wait_for_state(tasks, "ending")
        worker.terminate()
    assert ended(worker)[0] == 0
    assert (tasks.state(job), tasks.row(job)["attempt"]) == ("ready", 0)
    assert tasks.attempt(job)["error_message"].endswith("the job went back, its attempt returned")


def test_sigquit_finishes_however_long_it_takes(tasks: Queue) -> None:
    worker = tasks.work("--grace", "0", *NEVER)
    job = begin(tasks)
    worker.send_signal(signal.SIGQUIT)
    wait_for_state(tasks, "ending")
    assert tasks.state(job) == "running"
    finish(tasks)
    assert ended(worker) == (0, "")
    assert tasks.state(job) == "finished"


def test_sigusr1_kills_the_running_job_and_nothing_else(tasks: Queue) -> None:
    worker = tasks.work("--jobs", 1, *NEVER)
    job = begin(tasks)
    worker.send_signal(signal.SIGUSR1)
    wait_until(lambda: tasks.state(job) == "retrying", what="the attempt failed")
    attempt = tasks.attempt(job)
    assert (attempt["outcome"], attempt["signal"]) == ("crashed", "SIGKILL")
    assert attempt["error_message"] == "killed by SIGUSR1 to its worker"
    tasks.put("record", {"word": "next"})
    tasks.wait_for_record("next")


def test_sigusr2_pauses_and_sigcont_goes_on(tasks: Queue) -> None:
    worker = tasks.work(*NEVER)
    job = begin(tasks)
    worker.send_signal(signal.SIGUSR2)
    wait_for_state(tasks, "paused")
    assert workers(tasks)[0]["state"] == "paused"
    waiting = tasks.put("record", {"word": "waits"})
    finish(tasks)
    wait_until(lambda: tasks.state(job) == "finished")
    settle_down(worker)
    assert tasks.state(waiting) == "ready"
    worker.send_signal(signal.SIGCONT)
    tasks.wait_for_record("waits")
    wait_for_state(tasks, "running")


def test_sighup_finishes_and_starts_afresh_with_new_code_under_the_same_pid(tasks: Queue) -> None:
    worker = tasks.work(*NEVER)
    [before] = workers(tasks)
    job = begin(tasks)
    tasks.tasks(TASKS.replace('"version", 1', '"version", "2.0"'))
    worker.send_signal(signal.SIGHUP)
    wait_for_state(tasks, "ending")
    next_one = tasks.put("version")
    worker.send_signal(signal.SIGHUP)
    finish(tasks)
    assert tasks.wait_for_record("version") == "2.0"
    [after] = workers(tasks)
    assert (after["pid"], worker.poll()) == (before["pid"], None)
    assert after["name"] != before["name"]
    assert [tasks.attempts(one) for one in (job, next_one)] == [[], []]


def test_reload_restarts_when_a_loaded_module_changes_and_waits_while_it_is_broken(tasks: Queue) -> None:
    worker = tasks.work("--reload", *NEVER)
    tasks.tasks(TASKS.replace('"version", 1', '"version", ('))
    wait_until(lambda: workers(tasks) == [], what="the worker waits for a change")
    assert worker.poll() is None
    tasks.tasks(TASKS.replace('"version", 1', '"version", "3.0"'))
    tasks.put("version")
    assert tasks.wait_for_record("version") == "3.0"
    assert [one["pid"] for one in workers(tasks)] == [worker.pid]


# Limits


@pytest.mark.parametrize(
    ("limits", "done"),
    [
        (("--max-jobs", 3), 3),
        (("--max-jobs", 3, "--jobs", 1), 3),
        (("--idle-exit", "0.3"), 5),
        (("--max-memory", "1M"), 5),
    ],
)
def test_it_ends_at_its_limits(limits: tuple[str | int, ...], done: int, tasks: Queue) -> None:
    for number in range(5):
        tasks.put("record", {"word": str(number)})
    status, said = ended(tasks.work(*limits, *NEVER))
    assert (status, said) == (0, "")
    if "--max-memory" not in limits:
        assert sorted(tasks.recorded()) == [str(number) for number in range(done)]
    assert len(tasks.rows("state = 'ready' AND attempt = 0")) == 5 - len(tasks.recorded())


def test_it_starts_nothing_after_its_time(tasks: Queue) -> None:
    worker = tasks.work("--max-time", "4", *NEVER)
    over = time.monotonic() + 4
    job = begin(tasks)
    wait_until(lambda: time.monotonic() > over)
    late = tasks.put("record", {"word": "late"})
    finish(tasks)
    assert ended(worker) == (0, "")
    assert [tasks.state(one) for one in (job, late)] == ["finished", "ready"]


@pytest.mark.parametrize(
    ("option", "value"),
    [("--max-jobs", "0"), ("--max-memory", "much"), ("--poll", "often"), ("--grace", "-1"), ("--jobs", "x")],
)
def test_bad_options_are_named(option: str, value: str, queue: Queue) -> None:
    ran = queue.project.cronq("work", f"{option}={value}")
    assert ran.status == 65
    assert ran.stderr.startswith(f"cronq: {option}: {value!r} is not ")


# Others


def test_a_worker_that_was_killed_is_replaced_at_once_by_its_neighbour(tasks: Queue) -> None:
    victim = tasks.work("--jobs", 1, *NEVER)
    job = begin(tasks)
    behind = tasks.put("record", {"word": "behind"})
    tasks.work("--jobs", 2, "--queue", "none", *NEVER)
    heir = tasks.work("--jobs", 2, *NEVER)
    tasks.wait_for_record("behind")
    victim.kill()
    wait_until(lambda: len([line for line in tasks.recorded() if line.startswith("began")]) == 2, what="a second try")
    finish(tasks)
    wait_until(lambda: tasks.state(job) == "finished")
    assert tasks.attempt(job)["error_message"].startswith("job process killed: SIGKILL")
    assert tasks.attempts(behind) == []
    assert heir.poll() is None
    wait_until(lambda: str(victim.pid) not in str(tasks.sql("SELECT pid FROM cronq_workers")))


def test_children_and_listeners_die_with_a_worker_that_is_killed(tasks: Queue) -> None:
    worker = tasks.work("--jobs", 2, *NEVER)
    begin(tasks)
    processes = wait_until(
        lambda: children if len(children := children_of(worker.pid)) == 2 else [], what="two children"
    )
    worker.kill()
    wait_until(lambda: not any(map(alive, processes)), what="the children's end")


def test_pausing_a_queue_takes_back_what_was_claimed_and_not_started(tasks: Queue) -> None:
    first = tasks.put("until", {"name": "one"}, queue="mail")
    second = tasks.put("record", {"word": "second"}, queue="mail")
    tasks.work("--jobs", 1, *NEVER)
    tasks.wait_for_record("began")
    tasks.project.done("pause", "mail")
    wait_until(lambda: tasks.row(second)["worker"] is None, what="the second is given back")
    third = tasks.put("record", {"word": "third"})
    finish(tasks)
    tasks.wait_for_record("third")
    # The child may run the third before the runner has written how the first has ended.
    wait_until(lambda: tasks.state(first) == "finished", what="the first is settled")
    assert [tasks.state(job) for job in (first, second, third)][:2] == ["finished", "ready"]
    tasks.project.done("resume", "mail")
    tasks.wait_for_record("second")
    assert tasks.row(second)["attempt"] == 1


def test_no_job_is_claimed_for_a_child_whose_job_is_slow(tasks: Queue) -> None:
    tasks.project.write("cronq.toml", f'{CONFIG}log = "log"\nlog_level = "info"\n')
    tasks.work("--jobs", 1)
    job = begin(tasks)
    started = tasks.row(job)["started_at"]
    wait_until(lambda: Clock().now() - started > 2 * STUCK * SECOND, what="the job is slow")
    waits = tasks.put("nothing")
    wait_until(lambda: "running before it" in tasks.project.done("why", waits), what="the next one waits")
    finish(tasks)
    wait_until(lambda: tasks.state(waits) == "finished")
    steps = [line for line in (tasks.directory / "log").read_text().splitlines() if f"job {waits} " in line]
    assert len([line for line in steps if "claimed" in line]) == 1, steps


def test_reload_workers_asks_those_who_take_jobs_of_a_queue(tasks: Queue) -> None:
    mail, others = tasks.work("--queue", "mail", *NEVER), tasks.work("--queue", "!mail", *NEVER)
    names = {one["pid"]: one["name"] for one in workers(tasks)}
    assert tasks.project.done("reload-workers", "mail", "5") == names[mail.pid]
    assert ended(mail) == (0, "")
    assert tasks.project.cronq("reload-workers", "mail").status == 1
    job = begin(tasks)
    assert tasks.project.done("reload-workers") == names[others.pid]
    assert tasks.project.done("reload-workers") == ""
    finish(tasks)
    assert ended(others) == (0, "")
    assert (tasks.state(job), tasks.attempts(job)) == ("finished", [])


def test_workers_are_shown_with_what_they_run(tasks: Queue) -> None:
    worker = tasks.work("--queue", "default", "--queue", "mail", *NEVER)
    job = begin(tasks)
    [shown] = workers(tasks)
    assert (shown["pid"], shown["kind"], shown["queues"]) == (worker.pid, "work", ["default", "mail"])
    assert [one["id"] for one in shown["jobs"]] == [job]
    [line] = tasks.project.done("workers").splitlines()
    assert line.split("\t")[1:7] == [os.uname().nodename, str(worker.pid), "work", "default mail", "running", "0"]
    assert line.split("\t")[7].startswith(f"{job} jobs.until for ")
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert workers(tasks)[0]["state"] == "dead"


def test_a_database_that_is_away_is_waited_for_while_jobs_go_on(tasks: Queue) -> None:
    worker = tasks.work(*NEVER)
    job = begin(tasks)
    import sqlite3

    intruder = sqlite3.connect(tasks.project.database, timeout=60, isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    finish(tasks)
    assert worker.stderr is not None
    assert "the database is away, running jobs go on: " in worker.stderr.readline()
    intruder.execute("ROLLBACK")
    assert "the database is back after " in worker.stderr.readline()
    intruder.close()
    wait_until(lambda: tasks.state(job) == "finished")
    tasks.put("record", {"word": "next"})
    tasks.wait_for_record("next")
    worker.terminate()
    assert ended(worker) == (0, "")
    assert (tasks.row(job)["attempt"], tasks.attempts(job)) == (1, [])


# Service managers


class Manager:
    """A stand-in for systemd's end of $NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(60)
        self.told: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def wait_for(self, beginning: str) -> None:
        while not (self.told and self.told[-1].startswith(beginning)):
            self.told.append(self._socket.recv(4096).decode())


def test_a_service_manager_is_told_how_it_does(tasks: Queue, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("n") / "notify"
    with Manager(place) as manager:
        worker = tasks.work(*NEVER, env={"NOTIFY_SOCKET": str(place), "WATCHDOG_USEC": "400000"})
        manager.wait_for("READY=1")
        manager.wait_for("STATUS=running, 0 jobs assigned, 0 done")
        manager.wait_for("WATCHDOG=1")
        manager.told.append("and again")
        manager.wait_for("WATCHDOG=1")
        worker.send_signal(signal.SIGHUP)
        manager.wait_for("RELOADING=1\nMONOTONIC_USEC=")
        manager.wait_for("READY=1")
        worker.terminate()
        manager.wait_for("STOPPING=1")
        assert ended(worker) == (0, "")


SUPERVISOR = """\
[supervisord]
nodaemon=true
logfile={place}/supervisord.log
pidfile={place}/supervisord.pid
childlogdir={place}

[program:cronq]
command={command} work --poll 1h --jobs 1
directory={place}
numprocs=2
process_name=%(program_name)s-%(process_num)s
autorestart=true
startsecs=0
stopsignal=TERM
redirect_stderr=true
"""


@pytest.mark.needs("supervisor")
def test_reload_under_supervisord_spends_no_attempt(tasks: Queue) -> None:
    from tests.project import COMMAND

    tasks.app.store.prepare()
    text = SUPERVISOR.format(place=tasks.directory, command=" ".join(COMMAND))
    config = tasks.project.write("supervisord.conf", text)
    supervisor = subprocess.Popen(
        ["supervisord", "-c", str(config)],
        env=tasks.project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: len(pids(tasks)) == 2, what="two workers")
        before = pids(tasks)
        jobs = [begin(tasks, name) for name in ("one", "two")]
        assert len(tasks.project.done("reload-workers").splitlines()) == 2
        wait_for_state(tasks, "ending")
        jobs.append(tasks.put("record", {"word": "after"}))
        for name in ("one", "two"):
            finish(tasks, name)
        tasks.wait_for_record("after")
        wait_until(lambda: not before & pids(tasks), what="new processes")
        wait_until(lambda: all(tasks.state(job) == "finished" for job in jobs))
        assert [(tasks.row(job)["attempt"], tasks.attempts(job)) for job in jobs] == [(1, [])] * 3
    finally:
        supervisor.terminate()
        supervisor.wait(timeout=60)


def test_as_the_first_process_of_a_container_it_reaps_and_passes_signals_on(queue: Queue) -> None:
    if subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode:
        pytest.skip("only root can make a pid namespace")
    queue.command("setsid sleep 0.2 >/dev/null 2>&1 & true")
    zombies = queue.command("sleep 3; grep -h '^State:.*Z' /proc/[0-9]*/status | wc -l")
    ends = queue.command("kill -TERM 1")
    command = [*UNSHARE, *COMMAND, "work", "--jobs", "1", "--max-time", "60"]
    ran = subprocess.run(
        command, cwd=queue.directory, env=queue.project.environment, capture_output=True, timeout=200, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert queue.row(zombies)["stdout"].split()[-1] == "0"
    assert queue.state(ends) == "finished"
