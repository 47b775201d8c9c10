"""What a job's end means for it: retried, failed, waiting, cancelled; and how a run is stopped."""

from __future__ import annotations

import json
import signal
import time

import pytest

from tests.integration.running import Queue, wait_until_dead
from tests.started import Process
from tests.waiting import wait_until

SAYS = """
@queue.task
def says(what, **how):
    verdicts = {"fail": Fail, "retry": Retry, "snooze": Snooze, "skip": Skip, "stop": Stop, "error": ValueError}
    raise verdicts[what](*how.get("args", ()), **how.get("options", {}))
"""


def delay_of(queue: Queue, job: int) -> float:
    """Seconds between the end of the last attempt and the next."""
    return float(queue.row(job)["available_at"] - queue.attempts(job)[-1]["finished_at"]) / 1e6


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 60), (2, 120), (3, 240), (4, 480), (5, 960), (6, 960), (19, 960)])
def test_the_delay_doubles_up_to_16_minutes_and_counts_from_the_end(queue: Queue, attempt: int, seconds: int) -> None:
    queue.tasks("@queue.task\ndef fails():\n    time.sleep(0.2)\n    raise ValueError\n")
    job = queue.put("fails")
    queue.sql("UPDATE cronq_jobs SET attempt = ? WHERE id = ?", attempt - 1, job)
    queue.run()
    assert (queue.state(job), queue.row(job)["attempt"]) == ("retrying", attempt)
    assert seconds <= delay_of(queue, job) <= seconds * 1.1


def test_the_last_attempt_fails_for_good(queue: Queue) -> None:
    queue.tasks(SAYS)
    job = queue.put("says", {"what": "error", "args": ["no such shop"]}, max_attempts=3)
    for number in (1, 2, 3):
        queue.run()
        assert queue.row(job)["attempt"] == number
        queue.sql("UPDATE cronq_jobs SET available_at = 1 WHERE state = 'retrying'")
    row = queue.row(job)
    assert (row["state"], row["error_class"], row["error_message"]) == ("failed", "ValueError", "no such shop")
    attempts = queue.attempts(job)
    assert [attempt["number"] for attempt in attempts] == [1, 2, 3]
    assert "jobs.py" in attempts[0]["traceback"]
    assert "/cronq/" not in attempts[0]["traceback"], "the task's own frames are what helps"


def test_delays_of_config_task_and_job(queue: Queue) -> None:
    queue.tasks(
        "@queue.task\ndef config():\n    raise ValueError\n\n\n"
        "@queue.task(base='5s', jitter=0.0)\ndef task():\n    raise ValueError\n",
        "[retry]\nbase = '7s'\njitter = 0.0\n[tasks.\"jobs.config\"]\nmax_attempts = 2\n",
    )
    jobs = [queue.put("config"), queue.put("task")]
    queue.run_silently()
    assert [delay_of(queue, job) for job in jobs] == [7.0, 5.0]
    assert queue.row(jobs[0])["max_attempts"] == 2


def test_retry_chooses_the_delay(queue: Queue) -> None:
    queue.tasks(SAYS)
    chosen = queue.put("says", {"what": "retry", "options": {"delay": "2m"}})
    usual = queue.put("says", {"what": "retry", "args": ["not yet"]})
    queue.run_silently()
    assert delay_of(queue, chosen) == 120
    assert 60 <= delay_of(queue, usual) <= 66
    assert queue.row(usual)["error_message"] == "not yet"


def test_fail_means_no_retry(queue: Queue) -> None:
    queue.tasks(SAYS)
    job = queue.put("says", {"what": "fail", "args": ["no such shop"]})
    ran = queue.run()
    assert ran.stderr.splitlines() == [
        f"cronq: job {job} (jobs.says) failed for good after 1 of 20 attempts: Fail: no such shop; cronq show {job}"
    ]
    assert (queue.state(job), queue.row(job)["attempt"]) == ("failed", 1)


def test_arguments_that_do_not_fit_any_more_fail_with_one_clear_line(queue: Queue) -> None:
    queue.tasks("@queue.task\ndef takes(number: int):\n    mark('ran')\n")
    job = queue.put("takes", {"word": "x"})
    other = queue.put("takes", {"number": "many"})
    queue.run()
    assert queue.recorded() == []
    assert queue.row(job)["state"] == queue.row(other)["state"] == "failed"
    assert "missing argument 'number'" in queue.row(job)["error_message"]
    assert queue.attempt(job)["traceback"] is None


def test_snooze_keeps_id_attempts_and_place_in_the_group(queue: Queue) -> None:
    queue.tasks(
        """
@queue.task
def patient():
    mark("patient", current_job.attempt, current_job.snoozes)
    if current_job.snoozes < 2:
        raise Snooze("15m", "not there yet")
"""
    )
    job = queue.put("patient", group="g")
    queue.put("record", {"word": "behind"}, group="g")
    for number in (1, 2):
        before = time.time()
        queue.run_silently()
        row = queue.row(job)
        assert (row["state"], row["attempt"], row["snoozes"]) == ("waiting", 0, number)
        assert before + 899 < row["available_at"] / 1e6 < time.time() + 901
        assert queue.rows("state = 'blocked'")
        queue.make_due(job)
    queue.run_silently()
    assert queue.recorded() == ["patient 1 0", "patient 1 1", "patient 1 2", "behind"]
    assert queue.attempts(job) == []
    assert queue.settled()


def test_who_snoozes_for_too_long_fails(queue: Queue) -> None:
    queue.tasks(SAYS)
    job = queue.put("says", {"what": "snooze", "args": ["1d"]})
    queue.run_silently()
    queue.sql("UPDATE cronq_jobs SET waiting_since = waiting_since - ?", int(6.5 * 86400e6))
    queue.make_due(job)
    assert "waited longer than 7 days" in queue.run().stderr
    assert queue.state(job) == "failed"


def test_a_snooze_that_is_no_duration_fails(queue: Queue) -> None:
    queue.tasks(SAYS)
    job = queue.put("says", {"what": "snooze", "args": ["soon"]})
    queue.run()
    assert queue.state(job) == "failed"
    assert "'soon' is not a duration" in queue.row(job)["error_message"]


def test_skip_cancels_with_the_reason_and_frees_the_group(queue: Queue) -> None:
    queue.tasks(SAYS)
    job = queue.put("says", {"what": "skip", "args": ["shop closed"]}, group="g", key="k", unique=True)
    behind = queue.put("nothing", group="g")
    queue.run_silently()
    assert (queue.state(job), queue.row(job)["error_message"]) == ("cancelled", "shop closed")
    assert queue.row(job)["unique_key"] is None
    assert queue.state(behind) == "finished"


def test_stop_ends_the_run_after_settling(queue: Queue) -> None:
    queue.tasks(SAYS)
    job = queue.put("says", {"what": "stop", "args": ["disk is full"]}, priority=1)
    rest = [queue.put("nothing") for _ in range(50)]
    ran = queue.run("--jobs", 1)
    assert "disk is full" in ran.stderr
    assert queue.state(job) == "failed"
    states = [queue.row(each) for each in rest]
    assert {row["state"] for row in states} <= {"ready", "finished"}
    assert any(row["state"] == "ready" for row in states)
    assert {row["attempt"] for row in states if row["state"] == "ready"} == {0}
    assert not queue.rows("lease_until IS NOT NULL")
    queue.run_silently()
    assert {queue.state(each) for each in rest} == {"finished"}


@pytest.mark.parametrize(
    ("cause", "state"),
    [("ValueError('x')", "retrying"), ("Fail('x')", "failed"), ("Snooze(60)", "waiting"), ("Skip('x')", "cancelled")],
)
def test_stop_from_an_error_follows_the_error(queue: Queue, cause: str, state: str) -> None:
    queue.tasks(f"@queue.task\ndef stops():\n    raise Stop() from {cause}\n")
    job = queue.put("stops", priority=1)
    rest = [queue.put("nothing") for _ in range(20)]
    queue.run("--jobs", 1)
    assert queue.state(job) == state
    assert "ready" in {queue.state(each) for each in rest}


def test_warn_and_note_are_kept(queue: Queue) -> None:
    queue.tasks(
        """
@queue.task
def remarks():
    current_job.note(size=3, attempt=current_job.attempt)
    current_job.warn("one item was left out")
    if current_job.attempt == 1:
        raise ValueError
    return {"items": 2}
"""
    )
    job = queue.put("remarks")
    queue.run_silently()
    queue.make_due(job)
    queue.run_silently()
    row = queue.row(job)
    assert (row["state"], row["outcome"], row["attempt"]) == ("finished", "warning", 2)
    assert json.loads(row["warnings"]) == ["one item was left out"]
    assert json.loads(row["notes"]) == {"size": 3, "attempt": 2}
    assert json.loads(row["result"]) == {"items": 2}


def test_an_unknown_task_waits_an_hour_and_fails(queue: Queue) -> None:
    job, before = queue.put("renamed"), time.time()
    queue.run_silently()
    row = queue.row(job)
    assert (row["state"], row["attempt"]) == ("waiting", 0)
    assert before + 59 < row["available_at"] / 1e6 < time.time() + 61
    assert "unknown task 'jobs.renamed'" in row["error_message"]
    queue.sql("UPDATE cronq_jobs SET unknown_since = unknown_since - 3400000000")
    queue.make_due(job)
    queue.run_silently()
    assert queue.state(job) == "waiting"
    queue.sql("UPDATE cronq_jobs SET unknown_since = unknown_since - 200000000")
    queue.make_due(job)
    assert "failed for good" in queue.run().stderr
    assert queue.state(job) == "failed"


def test_an_unknown_task_that_comes_to_be_known_runs(queue: Queue) -> None:
    job = queue.put("renamed")
    queue.run_silently()
    queue.tasks("@queue.task\ndef renamed():\n    pass\n")
    queue.make_due(job)
    queue.run_silently()
    assert (queue.state(job), queue.row(job)["attempt"]) == ("finished", 1)


def test_an_unknown_name_inside_a_task_is_an_error_of_that_task(queue: Queue) -> None:
    queue.tasks("@queue.task\ndef chains():\n    queue.enqueue('jobs.nothin')\n")
    job = queue.put("chains")
    queue.run_silently()
    row = queue.row(job)
    assert (row["state"], row["attempt"], row["error_class"]) == ("retrying", 1, "UnknownTask")


@pytest.mark.parametrize("text", ["import nowhere", "raise SystemExit(0)", "def", "1 / 0"])
def test_an_app_that_fails_to_import_touches_no_job(queue: Queue, text: str) -> None:
    job = queue.put("nothing")
    before = queue.row(job)
    queue.project.write("jobs.py", text)
    ran = queue.project.cronq("run")
    assert ran.status == 78
    assert "importing jobs failed at " in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert queue.row(job) == before


def test_a_unique_job_may_come_again_when_its_twin_has_ended(queue: Queue) -> None:
    queue.tasks(SAYS)
    for what in ("fail", "skip", "snooze", "retry"):
        options = {"what": what, "args": [60] if what == "snooze" else []}
        first = queue.put("says", options, key=what, unique=True)
        assert queue.put("nothing", key=what, unique=True) == first
        queue.run()
        again = queue.put("nothing", key=what, unique=True)
        assert (again == first) == (what in {"snooze", "retry"})


def test_hold_keeps_the_group_until_somebody_decides(queue: Queue) -> None:
    queue.tasks("@queue.task(group_on_failed='hold')\ndef fails():\n    raise Fail('no')\n")
    job = queue.put("fails", group="g")
    behind = queue.put("nothing", group="g")
    queue.run()
    queue.run_silently()
    assert (queue.state(job), queue.state(behind)) == ("failed", "blocked")
    assert queue.app.cancel(job)
    queue.run_silently()
    assert queue.state(behind) == "finished"


def test_retention_deletes_what_finished_long_ago(queue: Queue) -> None:
    queue.tasks(SAYS, 'retention = "1d"\n')
    old, new, failed = queue.put("nothing"), queue.put("nothing"), queue.put("says", {"what": "fail"})
    queue.run()
    queue.sql("UPDATE cronq_jobs SET finished_at = finished_at - 90000000000 WHERE id IN (?, ?)", old, failed)
    queue.sql("UPDATE cronq_jobs SET created_at = 1 WHERE id = ?", new)
    queue.run_silently()
    assert {row["id"] for row in queue.rows()} == {new, failed}


# Stopping

WAITS = """
@queue.task
def waits():
    mark("waits", os.getpid())
    pause_until((HERE / "go").exists)
    mark("done")
"""


def test_sigterm_lets_running_jobs_end_and_gives_the_others_back(queue: Queue) -> None:
    queue.tasks(WAITS)
    running = [queue.put("waits"), queue.put("waits")]
    others = [queue.put("nothing") for _ in range(30)]
    runner = queue.start("--jobs", 2)
    wait_until(lambda: len(queue.recorded()) == 2, what="both run")
    runner.send_signal(signal.SIGTERM)
    wait_until(lambda: len(queue.rows("lease_until IS NOT NULL")) == 2, what="the others are given back")
    assert runner.poll() is None
    (queue.directory / "go").touch()
    assert runner.wait(timeout=60) == 0
    assert [queue.state(job) for job in running] == ["finished", "finished"]
    rows = [queue.row(job) for job in others]
    assert {(row["state"], row["attempt"], row["worker"]) for row in rows} <= {("ready", 0, None)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_kills_and_returns_the_attempt(queue: Queue, number: signal.Signals) -> None:
    queue.tasks(WAITS)
    job = queue.put("waits")
    runner = queue.start("--jobs", 1)
    child = int(queue.wait_for_record("waits"))
    runner.send_signal(number)
    wait_until(lambda: _ends_by(runner, number), what="the end of the run", pause=0.3)
    assert runner.returncode in (0, -number)  # one signal may come when all is done
    wait_until_dead(child)
    row = queue.row(job)
    assert (row["state"], row["attempt"], row["lease_until"]) == ("ready", 0, None)
    (queue.directory / "go").touch()
    queue.run_silently()
    assert (queue.state(job), queue.row(job)["attempt"]) == ("finished", 1)


def _ends_by(runner: Process, number: int) -> bool:
    """Whether it has ended; if not, the signal is sent again: two that come together arrive as one."""
    runner.send_signal(number)
    return runner.poll() is not None


def test_cancel_kill_ends_a_running_job(queue: Queue) -> None:
    queue.tasks(WAITS)
    job = queue.put("waits", group="g")
    behind, shell = queue.put("nothing", group="g"), queue.command("echo shell $$ >> record; sleep 100 & wait")
    runner = queue.start("--jobs", 2)
    child, command = int(queue.wait_for_record("waits")), int(queue.wait_for_record("shell"))
    queue.project.done("cancel", "--kill", job, shell)
    assert runner.wait(timeout=60) == 0
    wait_until_dead(child)
    wait_until_dead(command)
    assert [queue.state(job), queue.state(shell), queue.state(behind)] == ["cancelled", "cancelled", "finished"]
    assert queue.row(job)["error_message"] == "killed by `cronq cancel --kill`"
    queue.wait_until_nothing_runs()
    assert queue.app.retry(job)
    (queue.directory / "go").touch()
    queue.run_silently()
    assert queue.state(job) == "finished", "being killed once is enough"


# Telling a person


def test_a_person_is_told_at_notify_after_and_at_the_end_once_each(queue: Queue) -> None:
    queue.tasks(
        SAYS
        + "\n\n@queue.on_notify\ndef told(notice):\n    mark('hook', notice.reason, notice.job_id, notice.attempt)\n",
        "notify_after = 2\nnotify_command = 'echo command $CRONQ_NOTICE_REASON $CRONQ_NOTICE_JOB_ID >> record'\n",
    )
    job = queue.put("says", {"what": "error", "args": ["no\nsuch shop"]}, max_attempts=4)
    said = []
    for _ in range(4):
        said.append(queue.run().stderr)
        queue.make_due(job)
    why = f"ValueError: no such shop; cronq show {job}\n"
    assert said == [
        "",
        f"cronq: job {job} (jobs.says) keeps failing after 2 of 4 attempts: {why}",
        "",
        f"cronq: job {job} (jobs.says) failed for good after 4 of 4 attempts: {why}",
    ]
    wait_until(lambda: len(queue.recorded()) == 4, what="four notices")
    assert sorted(queue.recorded()) == [
        f"command attempts {job}", f"command failed {job}", f"hook attempts {job} 2", f"hook failed {job} 4",
    ]  # fmt: skip


def test_a_notice_that_fails_hurts_nobody(queue: Queue) -> None:
    queue.tasks(SAYS + "\n\n@queue.on_notify\ndef told(notice):\n    os._exit(1)\n", "notify_command = 'exit 1'\n")
    job, after = queue.put("says", {"what": "fail"}), queue.put("nothing", priority=99)
    assert queue.run("--jobs", 1).stderr.count("\n") == 1
    assert [queue.state(job), queue.state(after)] == ["failed", "finished"]
    assert queue.settled()


def test_a_snooze_of_nothing_lets_a_run_end(queue: Queue) -> None:
    queue.tasks("@queue.task\ndef waits():\n    mark('asked')\n    raise Snooze(0)\n")
    job = queue.put("waits")
    queue.run_silently("--max-time", "3s")
    row = queue.row(job)
    assert row["state"] == "waiting"
    assert len(queue.recorded()) <= 4


def test_a_retry_in_the_past_is_one_at_once_with_a_warning(queue: Queue) -> None:
    queue.tasks(
        "@queue.task\ndef again():\n    if current_job.attempt == 1:\n        raise Retry('late', delay=-1)\n"
        "    mark('done')\n"
    )
    job = queue.put("again")
    queue.run_silently()
    assert (queue.state(job), queue.row(job)["attempt"], queue.recorded()) == ("finished", 2, ["done"])


def test_a_terminal_that_closes_ends_a_run_as_sigterm_does(queue: Queue) -> None:
    queue.tasks("@queue.task\ndef slow():\n    mark('begun')\n    pause_until((HERE / 'go').exists)\n")
    job, after = queue.put("slow", max_attempts=1), queue.put("nothing")
    runner = queue.start("--jobs", 1)
    queue.wait_for_record("begun")
    runner.send_signal(signal.SIGHUP)
    wait_until(lambda: queue.state(after) == "ready" and queue.row(after)["attempt"] == 0, what="it is given back")
    (queue.directory / "go").touch()
    assert runner.wait(timeout=60) == 0
    assert (queue.state(job), queue.state(after)) == ("finished", "ready")
