"""A worker that stays: what wakes it, which jobs it takes, and when it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from cronq.execution.pool import STUCK
from cronq.times import SECOND, Clock
from tests.integration.running import CONFIG, Queue, alive
from tests.integration.storm import children_of
from tests.integration.working import NEVER, begin, ended, finish, settle_down, workers
from tests.waiting import wait_until

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
