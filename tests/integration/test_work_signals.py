"""What a worker does at each signal, and how it starts afresh."""

from __future__ import annotations

import signal

import pytest

from tests.integration.running import Queue
from tests.integration.working import NEVER, TASKS, begin, ended, finish, settle_down, wait_for_state, workers
from tests.waiting import wait_until


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
