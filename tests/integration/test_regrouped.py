"""What a job starts is ended with it, in whatever group or session it hides; what it leaves on purpose stays."""

from __future__ import annotations

import os
import signal

import pytest

from tests.integration.running import Queue, alive
from tests.integration.storm import children_of

JOB = "exec 8>>lock; flock -n 8 || echo two >> record; echo begun $$ >> record; exec sleep 100"
"""Locks a file for as long as any of it lives."""

HIDING = {
    "timeout": "timeout 60 sh -c '{}'",
    "setsid": "setsid -w sh -c '{}'",
    "job control": "bash -m -c \"sh -c '{}' & wait\"",
    "double fork": "(setsid sh -c '{}' &) ; sleep 100",
    "no descriptors": "setsid -w sh -c '{}' 100>&-",
}
"""Ways to leave the process group, the session or the descent of a job."""

TASKS = """
import fcntl


def begun():
    lock = os.open(HERE / "lock", os.O_WRONLY | os.O_CREAT)
    os.set_inheritable(lock, True)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        mark("two")
    mark("begun", os.getpid())
    time.sleep(100)


@queue.task
def forks_twice():
    if current_job.attempt > 1:
        return
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            begun()
        os._exit(0)
    os.wait()
    time.sleep(100)


@queue.task
def has_a_subprocess():
    if current_job.attempt == 1:
        subprocess.run(["sh", "-c", JOB], cwd=HERE, start_new_session=True)
"""

hidden = pytest.mark.parametrize("hiding", HIDING.values(), ids=HIDING)


def command(hiding: str) -> str:
    return f"[ $CRONQ_JOB_ATTEMPT = 1 ] || exit 0; {hiding.format(JOB)}"


@hidden
def test_a_rescue_ends_the_first_attempt_before_the_second(queue: Queue, hiding: str) -> None:
    job = queue.command(command(hiding))
    first = killed_while_it_runs(queue)
    queue.run_silently()
    assert not alive(first)
    assert queue.state(job) == "finished"
    assert queue.attempt(job)["error_message"].startswith("executor died: SIGKILL (its runner ")
    assert "two" not in queue.recorded()
    assert queue.left_running() == []


@pytest.mark.parametrize("task", ["forks_twice", "has_a_subprocess"])
def test_a_rescue_ends_what_a_task_has_started(queue: Queue, task: str) -> None:
    queue.tasks(f"JOB = {JOB!r}\n{TASKS}")
    job = queue.put(task)
    first = killed_while_it_runs(queue)
    queue.run_silently()
    assert not alive(first)
    assert (queue.state(job), queue.row(job)["attempt"]) == ("finished", 2)
    assert queue.left_running() == []


def killed_while_it_runs(queue: Queue) -> int:
    """The process of the only job's first attempt, whose runner was killed."""
    runner = queue.start()
    first = int(queue.wait_for_record("begun"))
    runner.kill()
    runner.wait()
    return first


@pytest.mark.parametrize("task", ["forks_twice", "has_a_subprocess"])
def test_a_child_that_dies_takes_what_its_task_started_along(queue: Queue, task: str) -> None:
    queue.tasks(f"JOB = {JOB!r}\n{TASKS}", '[retry]\nbase = "0.01s"\n')
    job = queue.put(task)
    runner = queue.start("--jobs", 1)
    first = int(queue.wait_for_record("begun"))
    [child] = children_of(runner.pid)
    os.kill(child, signal.SIGKILL)
    runner.wait(timeout=20)
    queue.make_due(job)
    queue.run_silently()
    assert not alive(first)
    assert (queue.state(job), queue.row(job)["crashes"]) == ("finished", 1)
    assert "two" not in queue.recorded()


@hidden
def test_the_time_limit_ends_all_of_it(queue: Queue, hiding: str) -> None:
    job = queue.command(command(hiding), time_limit=0.5)
    queue.run_silently()
    assert queue.attempt(job)["outcome"] == "timeout"
    assert queue.left_running() == []


@hidden
def test_the_time_limit_ends_what_ignores_sigterm(queue: Queue, hiding: str) -> None:
    job = queue.command("trap '' TERM; " + command(hiding), time_limit=0.5)
    queue.run_silently()
    assert queue.attempt(job)["outcome"] == "timeout"
    assert queue.left_running() == []


@hidden
def test_two_sigterms_end_all_of_it(queue: Queue, hiding: str) -> None:
    job = queue.command(command(hiding))
    runner = queue.start()
    first = int(queue.wait_for_record("begun"))
    runner.terminate()
    runner.send_signal(signal.SIGINT)
    runner.wait(timeout=20)
    assert not alive(first)
    assert (queue.state(job), queue.row(job)["attempt"]) == ("ready", 0)
    assert queue.left_running() == []


@hidden
def test_cancelling_ends_all_of_it(queue: Queue, hiding: str) -> None:
    job = queue.command("trap '' TERM; " + command(hiding))
    runner = queue.start()
    first = int(queue.wait_for_record("begun"))
    queue.project.cronq("cancel", job, "--kill")
    runner.wait(timeout=20)
    assert not alive(first)
    assert queue.state(job) == "cancelled"
    assert queue.left_running() == []


def test_a_command_that_is_cancelled_may_clean_up(queue: Queue) -> None:
    job = queue.command("trap 'echo cleaned >> record; echo bye; exit 3' TERM; echo begun >> record; sleep 100 & wait")
    runner = queue.start()
    queue.wait_for_record("begun")
    queue.project.cronq("cancel", job, "--kill")
    runner.wait(timeout=20)
    assert queue.recorded() == ["begun", "cleaned"]
    row = queue.row(job)
    assert (row["state"], row["error_message"]) == ("cancelled", "killed by `cronq cancel --kill`")
    assert (queue.attempt(job)["signal"], queue.attempt(job)["stdout"]) == ("SIGTERM", "bye\n")


def test_a_task_that_is_cancelled_may_clean_up(queue: Queue) -> None:
    queue.tasks(
        """
@queue.task
def slow():
    try:
        mark("begun")
        time.sleep(100)
    except Exception:
        mark("swallowed")
    finally:
        mark("cleaned")
"""
    )
    job, after = queue.put("slow"), queue.put("record", {"word": "after"})
    runner = queue.start("--jobs", 1)
    queue.wait_for_record("begun")
    queue.project.cronq("cancel", job, "--kill")
    runner.wait(timeout=20)
    assert queue.recorded() == ["begun", "cleaned", "after"]
    assert (queue.state(job), queue.state(after)) == ("cancelled", "finished")


@pytest.mark.parametrize("left", ["nohup sleep 100 >/dev/null 2>&1 &", "(setsid sleep 100 &);"])
def test_what_is_left_on_purpose_stays_and_holds_nothing(queue: Queue, left: str) -> None:
    job = queue.command(f"{left} echo begun >> record")
    after = queue.command("echo after $$ >> record; [ $CRONQ_JOB_ATTEMPT = 2 ] || sleep 100")
    runner = queue.start("--jobs", 1)
    queue.wait_for_record("after")
    runner.kill()
    runner.wait()
    queue.run_silently()
    assert (queue.state(job), queue.row(job)["attempt"]) == ("finished", 1)
    assert (queue.state(after), queue.row(after)["attempt"]) == ("finished", 2)
    assert len(queue.left_running()) == 1, "it is as it was left"


def test_its_output_is_not_another_jobs(queue: Queue) -> None:
    queue.tasks(
        """
@queue.task
def leaves():
    late = "until [ -e running ]; do sleep 0.01; done; echo late; touch printed; exec sleep 100"
    subprocess.Popen(["sh", "-c", late], cwd=HERE)


@queue.task
def after():
    (HERE / "running").touch()
    pause_until((HERE / "printed").exists)
    print("mine")
"""
    )
    queue.put("leaves")
    after = queue.put("after")
    queue.run_silently("--jobs", 1)
    assert queue.row(after)["stdout"] == "mine\n"
