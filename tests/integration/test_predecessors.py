"""Where the systems before cronq fail: one test for each failure, named after it."""

from __future__ import annotations

import os
import signal

from tests.integration import serving
from tests.integration.running import Queue, wait_until_dead
from tests.waiting import wait_until

DIES_ONCE = """
@queue.task
def dies_once():
    mark("begun", current_job.attempt, os.getpid())
    if current_job.attempt == 1:
        time.sleep(100)
"""

WAITS = "@queue.task\ndef slow():\n    mark('begun', os.getpid())\n    pause_until((HERE / 'go').exists)\n"
FAILS = """
@queue.task
def fails():
    mark("ran")
    raise Fail("no such shop")


@queue.task
def breaks(seconds=0.0):
    time.sleep(seconds)
    raise ValueError("no such shop")
"""

ENDS = "@queue.task\ndef {}():\n    {}\n\n\n"


def kill_in_the_middle(queue: Queue, job: int) -> None:
    """Start the job and kill its runner and its child while it runs."""
    runner = queue.start("--jobs", 1)
    child = int(queue.wait_for_record("begun"))
    os.kill(child, signal.SIGKILL)
    runner.kill()
    runner.wait()
    wait_until_dead(child)
    assert queue.state(job) in {"running", "retrying"}
    queue.make_due(job)


# Temma Asynk


PRINTS_AFTER_THE_CALLER_LEFT = """
@queue.task
def talks():
    print("before")
    mark("begun")
    pause_until((HERE / 'go').exists)
    print("after")
"""


def test_temma_a_print_after_the_caller_left_ends_the_task(queue: Queue) -> None:
    queue.tasks(PRINTS_AFTER_THE_CALLER_LEFT)
    job = queue.put("talks")
    caller, given = serving.connected()
    with serving.Server(queue.project, given) as server:
        given.close()
        caller.sendall(b"%d\n" % job)
        assert serving.answer(caller) == b"OK %d\n" % job
        caller.close()
        queue.wait_for_record("begun")
        queue.project.write("go", "")
        assert server.ended() == 0
    assert (queue.state(job), queue.row(job)["stdout"]) == ("finished", "before\nafter\n")


def test_temma_no_reply_and_2abc_runs_task_2(queue: Queue) -> None:
    first, second = queue.put("nothing"), queue.put("nothing")
    with serving.Listening(queue.project) as server:
        assert serving.ask(server.address, b"%dabc\n" % second) == b"ERR malformed\n"
        assert serving.ask(server.address, b"%d\n" % first) == b"OK %d\n" % first
    assert queue.state(second) == "ready"


def test_temma_a_silent_client_holds_a_process(queue: Queue) -> None:
    caller, given = serving.connected()
    with caller, serving.Server(queue.project, given) as server:
        given.close()
        assert serving.answer(caller) == b"ERR timeout\n"
        assert server.ended() == 65


def test_temma_the_producer_gets_an_exception_when_xinetd_is_down(queue: Queue) -> None:
    queue.tasks("", 'wake = "tcp://127.0.0.1:1"\n')
    job = queue.put("record", {"word": "done by cron"})
    queue.run_silently()
    assert (queue.state(job), queue.recorded()) == ("finished", ["done by cron"])


def test_temma_every_minute_one_more_drainer(queue: Queue) -> None:
    queue.tasks(WAITS)
    queue.put("slow")
    first = queue.start("--jobs", 1)
    queue.wait_for_record("begun")
    for _ in range(3):
        queue.put("record", {"word": "by another run"})
        queue.run_silently("--jobs", 1)
    assert queue.recorded()[1:] == []
    (queue.directory / "go").touch()
    assert first.wait(timeout=60) == 0
    assert queue.recorded()[1:] == ["by another run"] * 3


def test_temma_a_crash_leaves_processing_for_ever(queue: Queue) -> None:
    queue.tasks(DIES_ONCE)
    job = queue.put("dies_once")
    kill_in_the_middle(queue, job)
    queue.run_silently()
    assert queue.state(job) == "finished"


def test_temma_no_retry_no_history_no_error_text(queue: Queue) -> None:
    queue.tasks(FAILS)
    job = queue.put("breaks")
    for _ in range(2):
        queue.run_silently()
        queue.make_due(job)
    attempts = queue.attempts(job)
    assert [attempt["number"] for attempt in attempts] == [1, 2]
    assert {attempt["error_message"] for attempt in attempts} == {"no such shop"}
    assert all("jobs.py" in attempt["traceback"] for attempt in attempts)


# AppsDevTeam/background-queue


def test_background_queue_a_thousand_postponed_jobs_starve_everything(queue: Queue) -> None:
    spec = {"task": "jobs.nothing", "args": {}, "at": "+1d", "priority": 1}
    queue.app.enqueue_many([spec] * 1500, check=False)
    job = queue.put("nothing", priority=500)
    queue.run_silently("--limit", 1)
    assert queue.state(job) == "finished"


def test_background_queue_cron_ignores_priority(queue: Queue) -> None:
    for priority in (90, 50, 10):
        queue.put("record", {"word": str(priority)}, priority=priority)
    queue.run_silently("--jobs", 1)
    assert queue.recorded() == ["10", "50", "90"]


def test_background_queue_a_crash_or_a_reused_pid_blocks_cron_for_ever(queue: Queue) -> None:
    queue.put("nothing")
    queue.run_silently()
    [lock] = (queue.directory / "cronq.db.locks").glob("run-*.lock")
    for content in ("", "1 1\n", f"{os.getpid()} 1\n", "no pid at all"):
        lock.write_text(content)
        job = queue.put("nothing")
        queue.run_silently()
        assert queue.state(job) == "finished", content


def test_background_queue_after_a_permanent_failure_the_new_unique_job_never_runs(queue: Queue) -> None:
    queue.tasks(FAILS)
    first = queue.put("fails", key="k", unique=True)
    queue.run()
    second = queue.put("record", {"word": "again"}, key="k", unique=True)
    assert second != first
    queue.run_silently()
    assert queue.recorded() == ["ran", "again"]


def test_background_queue_one_permanently_failed_job_freezes_its_group(queue: Queue) -> None:
    queue.tasks(FAILS)
    queue.put("fails", group="g")
    job = queue.put("nothing", group="g")
    queue.run()
    assert queue.state(job) == "finished"


def test_background_queue_a_waiting_job_with_an_identifier_is_lost(queue: Queue) -> None:
    queue.tasks(
        "@queue.task\ndef waits():\n    if not current_job.snoozes:\n        raise Snooze('1m')\n    mark('done')\n"
    )
    job = queue.put("waits", key="k", unique=True)
    queue.run_silently()
    assert queue.state(job) == "waiting"
    assert queue.put("nothing", key="k", unique=True) == job
    queue.make_due(job)
    queue.run_silently()
    assert (queue.state(job), queue.recorded()) == ("finished", ["done"])


def test_background_queue_after_hook_errors_repeat_finished_work(queue: Queue) -> None:
    queue.tasks("@queue.after_job\ndef after(job, result):\n    raise ValueError('after')\n")
    job = queue.put("record", {"word": "work"})
    for _ in range(3):
        queue.run_silently()
        queue.make_due(job)
    assert queue.recorded() == ["work"]
    assert (queue.state(job), queue.row(job)["outcome"]) == ("finished", "warning")


def test_background_queue_clear_finished_goes_by_creation_time(queue: Queue) -> None:
    job, old = queue.put("nothing"), queue.put("nothing")
    month = 30 * 86400 * 1_000_000
    queue.run_silently()
    queue.sql("UPDATE cronq_jobs SET created_at = created_at - ?", month)
    queue.sql("UPDATE cronq_jobs SET finished_at = finished_at - ? WHERE id = ?", month, old)
    queue.project.done("clear-finished", "14")
    assert [row["id"] for row in queue.rows()] == [job]


def test_background_queue_shop_runs_the_jobs_of_shop2(queue: Queue) -> None:
    for name in ("shop", "shop2", "sho", "shop%"):
        queue.put("record", {"word": name}, queue=name)
    queue.run_silently("--queue", "shop")
    assert queue.recorded() == ["shop"]
    queue.run_silently("--queue", "shop%")
    assert queue.recorded() == ["shop", "shop%"]


def test_background_queue_update_schema_drops_columns_it_does_not_know(queue: Queue) -> None:
    job = queue.put("nothing")
    queue.sql("ALTER TABLE cronq_jobs ADD COLUMN ours TEXT")
    queue.sql("UPDATE cronq_jobs SET ours = 'kept'")
    for _ in range(2):
        queue.project.done("update-schema")
    assert queue.row(job)["ours"] == "kept"
    queue.run_silently()
    assert (queue.state(job), queue.row(job)["ours"]) == ("finished", "kept")


def test_background_queue_bulk_ids_are_wrong_under_a_concurrent_inserter(queue: Queue) -> None:
    lines = "".join(f'{{"task": "jobs.record", "args": {{"word": "%s-{n}"}}}}\n' for n in range(400))
    queue.put("nothing")
    others = [queue.project.start("enqueue", "--stdin") for _ in range(3)]
    for name, process in enumerate(others):
        assert process.stdin
        process.stdin.write(lines.replace("%s", str(name)))
        process.stdin.close()
        process.stdin = None
    for name, process in enumerate(others):
        printed = process.communicate(timeout=60)[0].split()
        assert len(printed) == 400
        words = [queue_word(queue, int(job)) for job in printed[::37]]
        assert words == [f'{{"word":"{name}-{n}"}}' for n in range(0, 400, 37)]


def queue_word(queue: Queue, job: int) -> str:
    return str(queue.row(job)["args"])


def test_background_queue_the_delay_counts_from_the_attempts_start(queue: Queue) -> None:
    queue.tasks(FAILS, "[retry]\njitter = 0.0\n")
    job = queue.put("breaks", {"seconds": 0.5})
    queue.run_silently()
    attempt, row = queue.attempt(job), queue.row(job)
    assert row["available_at"] - attempt["finished_at"] == 60_000_000
    assert row["available_at"] - attempt["started_at"] > 60_400_000


def test_background_queue_a_dead_job_is_processing_for_ever(queue: Queue) -> None:
    queue.tasks("@queue.task\ndef dies():\n    os.kill(os.getpid(), signal.SIGKILL)\n")
    job = queue.put("dies", max_attempts=2)
    queue.run_silently()
    assert queue.state(job) == "retrying"
    queue.make_due(job)
    assert "job process killed: SIGKILL" in queue.run().stderr
    assert queue.state(job) == "failed"


# Leptir


def test_leptir_a_crash_loses_the_task_without_a_trace(queue: Queue) -> None:
    queue.tasks(DIES_ONCE)
    job = queue.put("dies_once")
    kill_in_the_middle(queue, job)
    assert [row["id"] for row in queue.rows()] == [job]
    queue.run_silently()
    assert queue.attempt(job)["error_message"].startswith("job process killed: SIGKILL")


def test_leptir_the_time_limit_does_not_interrupt(queue: Queue) -> None:
    queue.tasks("@queue.task\ndef loops():\n    while True: pass\n")
    job = queue.put("loops", time_limit=0.3)
    queue.run_silently()
    assert queue.row(job)["outcome"] == "timeout"


def test_leptir_unknown_classes_vanish(queue: Queue) -> None:
    job = queue.put("Gone")
    queue.run_silently()
    assert queue.state(job) == "waiting"
    assert "unknown task 'jobs.Gone'" in queue.row(job)["error_message"]


# php-resque, resque


def test_resque_a_child_that_is_killed_or_exits_stays_running_for_ever(queue: Queue) -> None:
    queue.tasks(ENDS.format("exits", "os._exit(0)") + ENDS.format("is_killed", "os.kill(os.getpid(), signal.SIGKILL)"))
    jobs = [queue.put("exits"), queue.put("is_killed")]
    queue.run_silently("--jobs", 1)
    assert [(queue.state(job), queue.row(job)["outcome"]) for job in jobs] == [("retrying", "crashed")] * 2
    assert queue.settled()


def test_resque_exit_1_counts_as_success(queue: Queue) -> None:
    queue.tasks(ENDS.format("exits", "sys.exit(1)") + ENDS.format("is_gone", "os._exit(1)"))
    jobs = [queue.put("exits"), queue.put("is_gone"), queue.command("exit 1")]
    queue.run_silently("--jobs", 1)
    assert [queue.state(job) for job in jobs] == ["retrying"] * 3


def test_resque_status_is_written_after_the_job_has_finished(queue: Queue) -> None:
    """A runner that lost its lease while it was stopped must not write over what came after."""
    queue.tasks(WAITS + "    return 'late'\n")
    job = queue.put("slow")
    runner = queue.start("--jobs", 1)
    queue.wait_for_record("begun")
    queue.stop(runner.pid)
    queue.sql(
        "UPDATE cronq_jobs SET state = 'finished', outcome = 'success', result = '\"first\"', token = token + 1,"
        " lease_until = NULL, finished_at = 1 WHERE id = ?",
        job,
    )
    (queue.directory / "go").touch()
    runner.send_signal(signal.SIGCONT)
    assert runner.wait(timeout=60) == 0
    row = queue.row(job)
    assert (row["state"], row["result"], row["finished_at"]) == ("finished", '"first"', 1)
    assert queue.attempts(job) == []


def test_resque_requeue_is_by_list_index(queue: Queue) -> None:
    queue.tasks(FAILS)
    jobs = [queue.put("fails") for _ in range(3)]
    queue.run()
    queue.project.done("retry", jobs[1])
    assert [queue.state(job) for job in jobs] == ["failed", "ready", "failed"]
    queue.project.cronq("retry", jobs[1])
    assert [queue.state(job) for job in jobs] == ["failed", "ready", "failed"]


# SonataNotificationBundle


def test_sonata_two_consumers_run_the_same_ten(queue: Queue) -> None:
    queue.tasks("@queue.task\ndef brief():\n    mark(current_job.id)\n    time.sleep(0.005)\n")
    jobs = [queue.put("brief") for _ in range(100)]
    consumers = [queue.start(), queue.start("--queue", "*")]
    wait_until(lambda: all(process.poll() is not None for process in consumers), seconds=60, what="both ended")
    queue.run_silently()
    assert sorted(map(int, queue.recorded())) == jobs


def test_sonata_newest_first(queue: Queue) -> None:
    words = [str(number) for number in range(30)]
    for word in words:
        queue.put("record", {"word": word})
    queue.run_silently("--jobs", 1)
    assert queue.recorded() == words


def test_sonata_a_type_without_a_consumer_becomes_done(queue: Queue) -> None:
    job = queue.put("nobody")
    queue.run_silently()
    assert queue.state(job) == "waiting"
    assert queue.app.emit("nobody.listens") == []
    assert len(queue.rows()) == 1
