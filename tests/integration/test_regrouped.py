"""What a job starts is ended with it, in any process group or session; what it leaves on purpose stays."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import scale
from tests.integration.running import Queue, alive, wait_until_dead
from tests.integration.storm import children_of
from tests.project import Project
from tests.started import Process
from tests.waiting import wait_until

JOB = (
    "exec 8>>lock$CRONQ_JOB_ID; flock -n 8 || echo two >> record; echo begun$CRONQ_JOB_ID $$ >> record; exec sleep 100"
)
"""Locks a file of its job for as long as any of it lives."""

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

KILLED_WITH_ITS_RUNNER = "job process killed: SIGKILL (its runner "

LONG_GRACE = 'grace = "30s"\n'
"""For what cleans up when it is told to end, however long that takes."""

SHORT_GRACE = 'grace = "0.2s"\n'
"""For what does not end when it is told to."""


def hidden(queue: Queue, before: str = "", **options: Any) -> dict[int, str]:
    """Enqueue a command for each way to hide; the ways by job."""
    once = "[ $CRONQ_JOB_ATTEMPT = 1 ] || exit 0; "
    return {queue.command(before + once + hiding.format(JOB), **options): name for name, hiding in HIDING.items()}


def began(queue: Queue, jobs: Iterable[int]) -> dict[int, int]:
    """The process of each job, when all have begun."""
    return {job: int(queue.wait_for_record(f"begun{job} ")) for job in jobs}


def test_a_rescue_ends_the_first_attempt_before_the_second(queue: Queue) -> None:
    jobs = hidden(queue)
    runner = queue.start("--jobs", len(jobs))
    first = began(queue, jobs)
    runner.kill()
    runner.wait()
    queue.run_silently()
    assert [jobs[job] for job, pid in first.items() if alive(pid)] == []
    assert {jobs[job]: queue.state(job) for job in jobs} == dict.fromkeys(HIDING, "finished")
    said = {jobs[job]: queue.attempt(job)["error_message"] for job in jobs}
    assert [name for name, why in said.items() if not why.startswith(KILLED_WITH_ITS_RUNNER)] == []
    assert "two" not in queue.recorded()
    queue.wait_until_nothing_runs()


@pytest.mark.parametrize("task", ["forks_twice", "has_a_subprocess"])
def test_a_rescue_ends_what_a_task_has_started(queue: Queue, task: str) -> None:
    queue.tasks(f"JOB = {JOB!r}\n{TASKS}")
    job = queue.put(task)
    first = killed_while_it_runs(queue)
    queue.run_silently()
    assert not alive(first)
    assert (queue.state(job), queue.row(job)["attempt"]) == ("finished", 2)
    queue.wait_until_nothing_runs()


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
    runner.wait(timeout=60)
    queue.make_due(job)
    queue.run_silently()
    assert not alive(first)
    assert (queue.state(job), queue.row(job)["crashes"]) == ("finished", 1)
    assert "two" not in queue.recorded()


@pytest.mark.parametrize("before", ["", "trap '' TERM; "], ids=["hears SIGTERM", "ignores SIGTERM"])
def test_the_time_limit_ends_all_of_it(queue: Queue, before: str) -> None:
    queue.tasks("", SHORT_GRACE if before else LONG_GRACE)
    jobs = hidden(queue, before, time_limit=0.5)
    queue.run_silently("--jobs", len(jobs))
    assert {jobs[job]: queue.attempt(job)["outcome"] for job in jobs} == dict.fromkeys(HIDING, "timeout")
    queue.wait_until_nothing_runs()


def test_two_sigterms_end_all_of_it(queue: Queue) -> None:
    jobs = hidden(queue)
    runner = queue.start("--jobs", len(jobs))
    first = began(queue, jobs)
    runner.terminate()
    runner.send_signal(signal.SIGINT)
    runner.wait(timeout=60)
    for pid in first.values():
        wait_until_dead(pid)
    left = {jobs[job]: (queue.state(job), queue.row(job)["attempt"]) for job in jobs}
    assert left == dict.fromkeys(HIDING, ("ready", 0))
    queue.wait_until_nothing_runs()


def test_cancelling_ends_all_of_it(queue: Queue) -> None:
    queue.tasks("", SHORT_GRACE)
    jobs = hidden(queue, "trap '' TERM; ")
    runner = queue.start("--jobs", len(jobs))
    first = began(queue, jobs)
    queue.project.cronq("cancel", *jobs, "--kill")
    runner.wait(timeout=60)
    for pid in first.values():
        wait_until_dead(pid)
    assert {jobs[job]: queue.state(job) for job in jobs} == dict.fromkeys(HIDING, "cancelled")
    queue.wait_until_nothing_runs()


def test_a_command_that_is_cancelled_may_clean_up(queue: Queue) -> None:
    queue.tasks("", LONG_GRACE)
    job = queue.command("trap 'echo cleaned >> record; echo bye; exit 3' TERM; echo begun >> record; sleep 100 & wait")
    runner = queue.start()
    queue.wait_for_record("begun")
    queue.project.cronq("cancel", job, "--kill")
    runner.wait(timeout=60)
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
""",
        LONG_GRACE,
    )
    job, after = queue.put("slow"), queue.put("record", {"word": "after"})
    runner = queue.start("--jobs", 1)
    queue.wait_for_record("begun")
    queue.project.cronq("cancel", job, "--kill")
    runner.wait(timeout=60)
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


def test_the_process_of_a_running_job_is_its_own(queue: Queue) -> None:
    queue.tasks("@queue.task\ndef slow():\n    mark('slow', os.getpid())\n    time.sleep(100)\n")
    task, command = queue.put("slow"), queue.command("echo command $$ >> record; exec sleep 100")
    queue.start("--jobs", 2)
    pids = {task: int(queue.wait_for_record("slow")), command: int(queue.wait_for_record("command"))}
    assert {job: queue.project.show(job)["pid"] for job in pids} == pids
    assert {job["id"]: job["pid"] for job in queue.project.jobs()} == pids
    assert f" as process {pids[command]} since " in queue.project.done("why", command)


NOBODY = 65534


@pytest.fixture
def another_users() -> Iterator[Queue]:
    """A queue of a user who may not kill root's processes, and a set-uid program in its directory."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a program set-uid to another user")
    directory = Path(tempfile.mkdtemp(dir="/tmp"))
    with Queue(Project(directory)) as queue:
        queue.tasks("", 'lease = "2s"\nlog = "log"\n')
        queue.project.make_database()  # migrations are read from files, which may lie where only root can read
        become_root = directory / "become-root"
        shutil.copy(str(shutil.which("setpriv")), become_root)
        for path in (directory, *directory.rglob("*")):
            if path != become_root:
                os.chown(path, NOBODY, NOBODY)
        become_root.chmod(0o4755)
        yield queue
    shutil.rmtree(directory)


def as_nobody(queue: Queue, *arguments: str | int) -> Process:
    return queue.project.start(*arguments, user=NOBODY)


def done_as_nobody(queue: Queue, *arguments: str | int) -> str:
    process = as_nobody(queue, *arguments)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    return stdout + stderr


IMMORTAL = "echo begun $$ >> record; exec ./become-root --reuid 0 sleep 100"


def test_a_process_that_may_not_be_killed_keeps_its_job_from_starting_again(another_users: Queue) -> None:
    queue = another_users
    done_as_nobody(queue, "enqueue", "--", "sh", "-c", IMMORTAL)
    immortal = killed_while_a_program_sleeps(queue)
    for _ in range(2):
        assert done_as_nobody(queue, "run") == ""
        assert (queue.state(1), len(queue.recorded()), alive(immortal)) == ("running", 1, True)
    said = f"not started again before process {immortal} (sleep) has ended, which cronq may not kill"
    assert said in done_as_nobody(queue, "why", 1)
    doctor = as_nobody(queue, "doctor").communicate(timeout=60)[0]
    assert f"PROBLEM jobs: job 1 is {said}" in doctor
    os.kill(immortal, signal.SIGKILL)
    wait_until_dead(immortal)
    assert "which cronq may not kill" not in as_nobody(queue, "doctor").communicate(timeout=60)[0]
    queue.sql("UPDATE cronq_jobs SET args = ?", '{"command": "true"}')
    assert done_as_nobody(queue, "run") == ""
    assert (queue.state(1), queue.row(1)["attempt"]) == ("finished", 2)


def test_a_set_uid_program_that_may_be_killed_is(another_users: Queue) -> None:
    """Neither its environment nor its descriptors can be seen."""
    queue = another_users
    shutil.copy("/bin/sleep", queue.directory / "sleep")
    (queue.directory / "sleep").chmod(0o4755)
    once = "[ $CRONQ_JOB_ATTEMPT = 1 ] || exit 0; echo begun $$ >> record; exec ./sleep 100"
    done_as_nobody(queue, "enqueue", "--", "sh", "-c", once)
    program = killed_while_a_program_sleeps(queue)
    assert done_as_nobody(queue, "run") == ""
    assert not alive(program)
    assert queue.state(1) == "finished"


def killed_while_a_program_sleeps(queue: Queue) -> int:
    runner = as_nobody(queue, "run")
    program = int(queue.wait_for_record("begun"))
    wait_until(lambda: Path(f"/proc/{program}/comm").read_text() == "sleep\n", what="the program sleeps")
    runner.kill()
    runner.communicate()
    return program


def test_a_runner_waits_for_what_it_may_not_kill(another_users: Queue) -> None:
    queue = another_users
    done_as_nobody(queue, "enqueue", "--time-limit", "2", "--", "sh", "-c", IMMORTAL)
    done_as_nobody(queue, "enqueue", "--", "sh", "-c", "echo other >> record")
    runner = as_nobody(queue, "run", "--jobs", 1)
    immortal = int(queue.wait_for_record("begun"))
    said = f"job 1 is not over before process {immortal} (sleep) has ended, which cronq may not kill"
    wait_until(lambda: said in (queue.directory / "log").read_text(), what="the log says so")
    assert (queue.state(1), queue.row(1)["attempt"], runner.poll()) == ("running", 1, None)
    os.kill(immortal, signal.SIGKILL)
    runner.communicate(timeout=60)
    assert (queue.state(1), queue.attempt(1)["outcome"], queue.state(2)) == ("retrying", "timeout", "finished")


WORK = """
exec 8>>locks/$CRONQ_JOB_ID
flock -n 8 || echo $CRONQ_JOB_ID >> two
echo $CRONQ_JOB_ID >> begun
exec sleep 0.05
"""
SHELL = {
    "plain": "sh work",
    "timeout": "timeout 60 sh work",
    "setsid": "setsid -w sh work",
    "double fork": "(setsid sh work &); sleep 0.06",
    "no descriptor": "setsid -w sh work 100>&-",
}


def test_a_storm_of_kills_over_commands_that_regroup(queue: Queue) -> None:
    """Each attempt locks its job's file through all that it starts: no two hold it at once."""
    queue.tasks("", 'crash_limit = 1000\n[retry]\nbase = "0.01s"\ncap = "0.01s"\nmax_attempts = 1000\n')
    (queue.directory / "work").write_text(WORK)
    (queue.directory / "locks").mkdir()
    jobs = [queue.command(command) for command in SHELL.values() for _ in range(scale.times(5, full=8))]
    begun = queue.directory / "begun"
    for kill in range(scale.times(6, full=20)):
        runner = queue.start("--jobs", 4)
        before = len(lines(begun))
        wait_until(lambda: runner.poll() is not None or len(lines(begun)) > before, what="a job begins")  # noqa: B023
        victims = [runner.pid] if kill % 2 else children_of(runner.pid)[:2]
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):  # the run may have just ended
                os.kill(pid, signal.SIGKILL)
        runner.kill()
        runner.communicate()
    wait_until(lambda: all_finished(queue), seconds=60, what="all have finished")
    assert lines(queue.directory / "two") == []
    assert {int(line) for line in lines(begun)} == set(jobs)
    assert sum(row["crashes"] for row in queue.rows()) > 0
    queue.wait_until_nothing_runs()


def all_finished(queue: Queue) -> bool:
    queue.run()
    return not queue.rows("state != 'finished'")


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
