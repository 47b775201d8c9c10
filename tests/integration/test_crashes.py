"""Runners and children that die: what they held is free at once, what had ended is known."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.integration.running import Queue, alive, wait_until_dead
from tests.waiting import wait_until

SLOW_ONCE = """
@queue.task
def slow_once():
    mark("begun", current_job.attempt, os.getpid())
    if current_job.attempt == 1:
        time.sleep(100)
"""


def test_a_dead_child_costs_one_attempt(queue: Queue) -> None:
    queue.tasks(SLOW_ONCE)
    job, after = queue.put("slow_once"), queue.put("nothing")
    runner = queue.start("--jobs", 1)
    os.kill(int(queue.wait_for_record("begun")), signal.SIGKILL)
    assert runner.wait(timeout=60) == 0
    row, attempt = queue.row(job), queue.attempt(job)
    assert (row["state"], row["attempt"], row["crashes"], row["outcome"]) == ("retrying", 1, 1, "crashed")
    assert (attempt["error_class"], attempt["signal"]) == ("ExecutorDied", "SIGKILL")
    assert attempt["error_message"] == "job process killed: SIGKILL"
    assert queue.state(after) == "finished"


@pytest.mark.parametrize("both", [False, True], ids=["the runner", "the runner and its child"])
def test_a_dead_runners_jobs_run_again_at_once(queue: Queue, both: bool) -> None:
    queue.tasks(SLOW_ONCE)
    job, waiting = queue.put("slow_once"), queue.put("nothing")
    runner = queue.start("--jobs", 1)
    child = int(queue.wait_for_record("begun"))
    runner.kill()
    if both:
        with contextlib.suppress(ProcessLookupError):  # it may have died with its runner
            os.kill(child, signal.SIGKILL)
    runner.wait()
    assert queue.state(job) == "running"
    queue.run_silently()
    row, attempt = queue.row(job), queue.attempt(job)
    assert (row["state"], row["attempt"], row["crashes"]) == ("finished", 2, 1)
    assert attempt["error_message"].startswith("job process killed: SIGKILL (its runner ")
    assert (attempt["number"], attempt["outcome"], attempt["signal"]) == (1, "crashed", "SIGKILL")
    assert attempt["finished_at"] - attempt["started_at"] < 50e6
    assert (queue.state(waiting), queue.row(waiting)["attempt"]) == ("finished", 1)
    assert queue.settled()


def test_an_orphaned_child_ends_at_once_with_all_it_started(queue: Queue) -> None:
    queue.tasks(SLOW_ONCE)
    queue.put("slow_once")
    queue.command("echo shell $$ >> record; [ $CRONQ_JOB_ATTEMPT = 2 ] || sleep 100")
    runner = queue.start("--jobs", 2)
    child, shell = int(queue.wait_for_record("begun")), int(queue.wait_for_record("shell"))
    runner.kill()
    runner.wait()
    wait_until_dead(child, seconds=60)
    wait_until_dead(shell, seconds=60)
    queue.run_silently()
    queue.wait_until_nothing_runs()


def test_what_the_command_of_a_dead_runner_left_is_killed_before_it_runs_again(queue: Queue) -> None:
    job = queue.command("echo left $$ >> record; (trap '' TERM HUP; sleep 100) & wait", max_attempts=1)
    runner = queue.start()
    queue.wait_for_record("left")
    wait_until(lambda: len(queue.left_running()) >= 4, what="runner, child, shell and sleep")
    runner.kill()
    runner.wait()
    ran = queue.run()
    queue.wait_until_nothing_runs()
    assert queue.state(job) == "failed"
    assert ran.stderr.count("\n") == 1
    assert " failed for good after 1 of 1 attempts: ExecutorDied: job process killed" in ran.stderr


def test_on_crash_fail_means_once(queue: Queue) -> None:
    queue.tasks(SLOW_ONCE.replace("@queue.task\n", "@queue.task(on_crash='fail')\n"))
    rescued, reaped = queue.put("slow_once"), None
    runner = queue.start()
    queue.wait_for_record("begun")
    runner.kill()
    runner.wait()
    assert "failed for good after 1 of 20 attempts" in queue.run().stderr
    assert queue.state(rescued) == "failed"
    (queue.directory / "record").unlink()
    reaped = queue.put("slow_once")
    runner = queue.start()
    os.kill(int(queue.wait_for_record("begun")), signal.SIGKILL)
    runner.wait(timeout=60)
    assert (queue.state(reaped), queue.row(reaped)["attempt"]) == ("failed", 1)


POISON = """
@queue.task
def dies():
    mark("died")
    os.kill(os.getpid(), signal.SIGKILL)
"""
AGAIN = '[retry]\nbase = "0s"\njitter = 0.0\n'


def test_a_job_that_kills_each_child_is_given_up_and_its_neighbours_are_not_blamed(queue: Queue) -> None:
    """sidekiq#4633: a poison pill kills every worker."""
    queue.tasks(POISON, "notify_command = 'echo $CRONQ_NOTICE_REASON $CRONQ_NOTICE_JOB_ID >> told'\n" + AGAIN)
    before, poison, *after = queue.put("nothing"), queue.put("dies"), *(queue.put("nothing") for _ in range(30))
    ran = queue.run("--jobs", 1)
    told = f"CrashLoop: killed 3 times while it ran (SIGKILL, last on {os.uname().nodename}, peak "
    assert told in ran.stderr
    assert ran.stderr.count("\n") == 1
    notice = queue.directory / "told"
    wait_until(notice.exists, what="the notice of the failed job")
    wait_until(lambda: notice.read_text() == f"failed {poison}\n", what="one notice")
    assert (queue.state(poison), len(queue.attempts(poison))) == ("failed", 3)
    assert {(row["state"], row["attempt"], row["crashes"]) for row in queue.rows("id <> ?", poison)} == {
        ("finished", 1, 0)
    }
    assert told in queue.project.cronq("why", poison).stdout
    assert before < poison < min(after)
    queue.project.cronq("retry", poison)
    queue.run("--jobs", 1)
    assert (queue.state(poison), len(queue.attempts(poison))) == ("failed", 6)


def test_a_task_has_a_crash_limit_of_its_own(queue: Queue) -> None:
    queue.tasks(POISON.replace("@queue.task\n", "@queue.task(crash_limit=1)\n"), AGAIN)
    queue.put("dies")
    assert "CrashLoop: killed once while it ran" in queue.run().stderr
    queue.tasks(POISON, AGAIN + '[tasks."jobs.dies"]\ncrash_limit = 2\n')
    queue.put("dies")
    assert "CrashLoop: killed 2 times while it ran" in queue.run().stderr
    assert queue.recorded() == ["died"] * 3


def test_a_runner_that_is_killed_ten_times_blames_no_job_that_did_not_run(queue: Queue) -> None:
    queue.tasks(
        """
@queue.task
def victim():
    mark("begun", current_job.attempt)
    pause_until((HERE / "go").exists)
""",
        "crash_limit = 11\n",
    )
    victim, *others = queue.put("victim"), *(queue.put("nothing") for _ in range(5))
    for kill in range(1, 11):
        runner = queue.start("--jobs", 1)
        queue.wait_for_record(f"begun {kill}")
        runner.kill()
        runner.wait()
    assert queue.row(victim)["crashes"] == 9, "the last one is not rescued yet"
    (queue.directory / "go").touch()
    queue.run("--jobs", 1)
    assert (queue.state(victim), queue.row(victim)["crashes"], queue.row(victim)["attempt"]) == ("finished", 10, 11)
    assert {(queue.state(job), queue.row(job)["crashes"], queue.row(job)["attempt"]) for job in others} == {
        ("finished", 0, 1)
    }


def test_crashes_use_attempts_up(queue: Queue) -> None:
    queue.tasks(
        "@queue.task\ndef dies():\n    mark('died')\n    os.kill(os.getppid(), signal.SIGKILL)\n    time.sleep(100)\n",
        "crash_limit = 10\n",
    )
    job = queue.put("dies", max_attempts=3)
    for _ in range(3):
        assert queue.project.cronq("run").status == -signal.SIGKILL
    queue.run()
    row = queue.row(job)
    assert (row["state"], row["attempt"], row["crashes"]) == ("failed", 3, 3)
    assert [attempt["number"] for attempt in queue.attempts(job)] == [1, 2, 3]
    assert queue.recorded() == ["died"] * 3


def test_an_attempt_that_ended_is_known_though_the_database_was_away(queue: Queue) -> None:
    """The runner can't settle while another connection holds the write lock; the journal has the outcomes."""
    queue.tasks(
        """
@queue.task
def work(fail=False):
    pause_until((HERE / "locked").exists)
    mark(current_job.id, current_job.attempt)
    if fail:
        raise Fail("no such shop")
    return "kept"
"""
    )
    good, bad = queue.put("work"), queue.put("work", {"fail": True})
    runner = queue.start("--jobs", 2)
    wait_until(lambda: {queue.state(good), queue.state(bad)} == {"running"}, what="both are running")
    lock = sqlite3.connect(queue.project.database, timeout=60, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    (queue.directory / "locked").touch()
    wait_until(lambda: _journal(queue).count(b"no such shop") and _journal(queue).count(b'"kept'), what="two outcomes")
    runner.kill()
    runner.wait()
    lock.execute("ROLLBACK")
    lock.close()
    assert {queue.state(good), queue.state(bad)} == {"running"}
    assert "no such shop" in queue.run().stderr
    assert sorted(queue.recorded()) == [f"{good} 1", f"{bad} 1"]
    assert (queue.state(good), queue.row(good)["result"]) == ("finished", '"kept"')
    assert (queue.state(bad), queue.row(bad)["error_message"]) == ("failed", "no such shop")
    assert not list((queue.directory / "cronq.db.locks").glob("*.journal"))


def _journal(queue: Queue) -> bytes:
    return b"".join(path.read_bytes() for path in (queue.directory / "cronq.db.locks").glob("*.journal"))


def test_a_half_written_line_in_the_journal_is_an_attempt_that_was_cut(queue: Queue) -> None:
    queue.tasks(SLOW_ONCE)
    job = queue.put("slow_once")
    runner = queue.start("--jobs", 1)
    child = int(queue.wait_for_record("begun"))
    runner.kill()
    runner.wait()
    wait_until_dead(child)
    [journal] = (queue.directory / "cronq.db.locks").glob("*.journal")
    with journal.open("ab") as file:
        file.write(b'[1,2,"succ')
    queue.run_silently()
    assert (queue.state(job), queue.row(job)["crashes"]) == ("finished", 1)


DAMAGE = {"empty": b"", "short": bytes(10), "nonsense": bytes(64) + b"\xff\xfe nonsense\n[1,2]\n{}\n[]\n"}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_journal_stops_nobody(queue: Queue, damage: bytes) -> None:
    queue.tasks(SLOW_ONCE.replace("current_job.attempt == 1", "not (HERE / 'go').exists()"))
    job = queue.put("slow_once")
    runner = queue.start("--jobs", 1)
    child = int(queue.wait_for_record("begun"))
    runner.kill()
    runner.wait()
    wait_until_dead(child)
    [journal] = (queue.directory / "cronq.db.locks").glob("*.journal")
    journal.write_bytes(damage)
    (queue.directory / "go").touch()
    queue.run_silently()
    assert queue.state(job) == "finished"


def test_a_dead_holder_frees_its_group_in_order(queue: Queue) -> None:
    queue.tasks(SLOW_ONCE)
    first = queue.put("slow_once", group="g")
    others = [queue.put("record", {"word": f"next {number}"}, group="g") for number in range(3)]
    runner = queue.start("--jobs", 2)
    queue.wait_for_record("begun")
    runner.kill()
    runner.wait()
    queue.run_silently()
    assert queue.recorded()[1:] == [queue.recorded()[1], "next 0", "next 1", "next 2"]
    assert {queue.row(job)["attempt"] for job in others} == {1}
    assert queue.state(first) == "finished"
    assert queue.settled()


def test_a_runner_that_only_sleeps_is_not_dead(queue: Queue) -> None:
    queue.tasks(
        "@queue.task\ndef slow():\n    mark('begun', os.getpid())\n    pause_until((HERE / 'go').exists)\n",
        'lease = "1s"\n',
    )
    job = queue.put("slow")
    runner = queue.start("--jobs", 1)
    queue.wait_for_record("begun")
    queue.stop(runner.pid)
    wait_until(lambda: queue.row(job)["lease_until"] < time.time() * 1e6, what="the lease has ended")
    queue.run_silently("--queue", "default")
    assert queue.state(job) == "running", "its runner may come back"
    runner.send_signal(signal.SIGCONT)
    (queue.directory / "go").touch()
    assert runner.wait(timeout=60) == 0
    assert queue.state(job) == "finished"
    assert len(queue.recorded()) == 1


def test_where_nothing_is_known_of_a_runner_its_lease_decides(queue: Queue) -> None:
    job = queue.put("nothing")
    soon = int(time.time() * 1e6) + 3_600_000_000
    queue.sql(
        "UPDATE cronq_jobs SET state = 'running', worker = 'elsewhere-1', token = 7, attempt = 1, lease_until = ?,"
        " started_at = 1 WHERE id = ?",
        soon,
        job,
    )
    queue.run_silently()
    assert queue.state(job) == "running"
    queue.sql("UPDATE cronq_jobs SET lease_until = 2 WHERE id = ?", job)
    queue.run_silently()
    assert queue.state(job) == "finished"
    assert queue.attempt(job)["error_message"] == "job process lost: the lease of its runner elsewhere-1 ended"
    assert queue.row(job)["crashes"] == 0


def test_after_a_reboot_the_pid_of_another_is_no_sign_of_life(queue: Queue) -> None:
    queue.tasks(SLOW_ONCE)
    job = queue.put("slow_once")
    runner = queue.start("--jobs", 1)
    child = int(queue.wait_for_record("begun"))
    runner.kill()
    runner.wait()
    wait_until_dead(child)
    [alive_file] = (queue.directory / "cronq.db.locks").glob("*.alive")
    words = alive_file.read_text().split()
    alive_file.write_text(f"{os.getpid()} {words[1]} another-boot\n")
    queue.run_silently()
    assert queue.state(job) == "finished"
    assert queue.attempt(job)["error_message"] == "job process killed: the machine was restarted"
    assert queue.row(job)["crashes"] == 0


def test_a_reused_pid_is_left_alone(queue: Queue) -> None:
    """Only what carries the dead worker's mark is killed, also where the journal names another number."""
    queue.tasks(SLOW_ONCE)
    job = queue.put("slow_once")
    runner = queue.start("--jobs", 1)
    child = int(queue.wait_for_record("begun"))
    runner.kill()
    runner.wait()
    wait_until_dead(child)
    [journal] = (queue.directory / "cronq.db.locks").glob("*.journal")
    bystander = queue.project.start("wait", job, "--timeout", "100s")
    assert bystander.poll() is None
    content = bytearray(journal.read_bytes())
    content[32:40] = bystander.pid.to_bytes(8, "little")
    journal.write_bytes(content)
    queue.run_silently()
    assert queue.state(job) == "finished"
    assert bystander.wait(timeout=60) == 0
    bystander.communicate()


def test_the_children_of_a_killed_runner_let_the_next_one_in(queue: Queue) -> None:
    queue.tasks(SLOW_ONCE)
    queue.put("slow_once")
    runner = queue.start("--jobs", 1)
    child = int(queue.wait_for_record("begun"))
    lock = list((queue.directory / "cronq.db.locks").glob("run-*.lock"))
    runner.kill()
    runner.wait()
    assert Path(lock[0]).exists(), "a lock file stays: deleting it would let two in"
    queue.run_silently()
    assert not alive(child)
    assert len(queue.recorded()) == 2


def test_a_child_that_dies_beside_a_busy_one_is_replaced(queue: Queue) -> None:
    queue.tasks(
        "@queue.task\ndef busy():\n    pause_until(lambda: (HERE / 'record').exists() and"
        " (HERE / 'record').read_text().count('died') == 6)\n\n\n"
        "@queue.task\ndef dies():\n    mark('died')\n    os._exit(1)\n"
    )
    busy = queue.put("busy")
    for _ in range(6):
        queue.put("dies", max_attempts=1)
    queue.run("--jobs", 2)
    assert queue.state(busy) == "finished"
    assert queue.recorded() == ["died"] * 6
