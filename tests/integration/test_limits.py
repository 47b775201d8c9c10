"""The time limit: each job ends within limit + grace, and nothing of it stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from cronq import Cronq
from cronq.model.selection import Selection
from tests import scale
from tests.contract.conftest import engine_queue
from tests.integration.running import HEADER, Queue
from tests.project import Project
from tests.waiting import wait_until

LIMIT = 1.0
"""Seconds in which a job has begun, on a busy machine too."""

GRACE = 1.0
"""As in the config that running.py writes."""

SLACK = 40.0
"""Seconds in which the start of Python, the next job and the end must fit as well, on a busy machine."""

LONG_GRACE = 'grace = "30s"\n'
"""For what ends when it is told to, however long that takes."""

INTERRUPTED = {
    "a busy loop": "while True: pass",
    "a sleep": "time.sleep(60)",
    "a loop that swallows exceptions": """
    while True:
        try:
            time.sleep(60)
        except Exception:
            pass""",
    "a regular expression that backtracks": "__import__('re').match('(a+)+$', 'a' * 50 + 'b')",
    "a lock nobody opens": "lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "a program it waits for": "subprocess.run(['sleep', '60'])",
}
KILLED = {
    "a loop that swallows everything": """
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass""",
    "a block in C": "os.system('sleep 60')",
    "an ignored SIGTERM": "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
    "a SIGSTOP of itself": "os.kill(os.getpid(), signal.SIGSTOP)",
    "a handler that never returns": """
    try:
        time.sleep(60)
    finally:
        time.sleep(60)""",
}
COMMANDS = {
    "sleep": ("sleep 100", False),
    "many in the background": ("sleep 100 & sleep 100 & sleep 100", False),
    "a clean end on SIGTERM": ("trap 'exit 0' TERM; while :; do sleep 0.05; done", False),
    "a trapped SIGTERM": ("trap '' TERM; sleep 100; sleep 100", True),
    "a trapped SIGTERM in the background": ("(trap '' TERM; sleep 100) & sleep 100", True),
    "a program that isn't a shell": (["sleep", "100"], False),
}


def run_out_of_time(queue: Queue, job: int) -> str:
    """Run the job and one after it in the same child; returns what the job's attempt says."""
    following = queue.put("record", {"word": "next"})
    before = time.monotonic()
    queue.run_silently("--jobs", 1)
    assert time.monotonic() - before < LIMIT + GRACE + SLACK
    queue.wait_until_nothing_runs()
    row, attempt = queue.row(job), queue.attempt(job)
    assert (row["state"], row["outcome"], row["attempt"]) == ("retrying", "timeout", 1)
    assert (attempt["outcome"], attempt["error_class"]) == ("timeout", "TimeLimitExceeded")
    took = (attempt["finished_at"] - attempt["started_at"]) / 1e6
    assert LIMIT <= took < LIMIT + GRACE + SLACK
    assert queue.state(following) == "finished"
    assert queue.recorded() == ["next"]
    return str(attempt["error_message"])


@pytest.mark.parametrize("body", INTERRUPTED.values(), ids=INTERRUPTED)
def test_a_python_task_is_interrupted_at_its_limit(queue: Queue, body: str) -> None:
    queue.tasks(f"@queue.task\ndef slow():\n    {body}\n", LONG_GRACE)
    assert run_out_of_time(queue, queue.put("slow", time_limit=LIMIT)) == "ran past its time limit of 1s"


@pytest.mark.parametrize("body", KILLED.values(), ids=KILLED)
def test_a_python_task_that_goes_on_is_killed_after_the_grace(queue: Queue, body: str) -> None:
    queue.tasks(f"@queue.task\ndef slow():\n    {body}\n")
    message = run_out_of_time(queue, queue.put("slow", time_limit=LIMIT))
    assert message == "killed: ran past its time limit of 1s and ignored SIGTERM"


@pytest.mark.parametrize(("command", "killed"), COMMANDS.values(), ids=COMMANDS)
def test_a_command_and_all_that_it_started_ends_at_its_limit(
    queue: Queue, command: str | list[str], killed: bool
) -> None:
    queue.tasks("", "" if killed else LONG_GRACE)
    message = run_out_of_time(queue, queue.command(command, time_limit=LIMIT))
    assert message.startswith("killed: " if killed else "ran past its time limit of 1s")


def test_a_process_that_an_interrupted_task_left_is_killed_too(queue: Queue) -> None:
    queue.tasks("@queue.task\ndef slow():\n    subprocess.Popen(['sleep', '100'])\n    time.sleep(60)\n")
    run_out_of_time(queue, queue.put("slow", time_limit=LIMIT))


@pytest.mark.parametrize(
    "command", ["echo begun; echo oops >&2; sleep 100", "trap '' TERM; echo begun; echo oops >&2; sleep 100"]
)
def test_what_a_command_printed_before_its_limit_is_kept(queue: Queue, command: str) -> None:
    job = queue.command(command, time_limit=LIMIT)
    run_out_of_time(queue, job)
    assert (queue.attempt(job)["stdout"], queue.attempt(job)["stderr"]) == ("begun\n", "oops\n")


def test_a_task_may_clean_up_when_its_time_is_up(queue: Queue) -> None:
    queue.tasks(
        """
@queue.task
def slow():
    try:
        time.sleep(60)
    except TimeLimitExceeded:
        mark("cleaned")
        raise
""",
        LONG_GRACE,
    )
    job = queue.put("slow", time_limit=LIMIT)
    queue.run_silently()
    assert queue.recorded() == ["cleaned"]
    assert queue.row(job)["outcome"] == "timeout"


def test_the_signal_for_one_job_never_hits_the_next(queue: Queue) -> None:
    queue.tasks(
        """
@queue.task
def about_as_long_as_its_limit(seconds):
    time.sleep(seconds)


@queue.task
def innocent():
    time.sleep(0.03)
"""
    )
    innocent = []
    for number in range(25):
        queue.put("about_as_long_as_its_limit", {"seconds": 0.045 + 0.0005 * number}, time_limit=0.05)
        innocent.append(queue.put("innocent"))
    queue.run_silently("--jobs", 1)
    rows = queue.rows("task = 'jobs.innocent'")
    assert [(row["id"], row["state"], row["attempt"]) for row in rows] == [(job, "finished", 1) for job in innocent]
    others = {(row["state"], row["outcome"]) for row in queue.rows("task <> 'jobs.innocent'")}
    assert others <= {("finished", "success"), ("retrying", "timeout")}


def test_the_closest_limit_holds(queue: Queue) -> None:
    queue.tasks(
        """
@queue.task
def config():
    time.sleep(60)


@queue.task(time_limit="0.3s")
def task():
    time.sleep(60)


@queue.task(time_limit="50s")
def overridden():
    time.sleep(60)
""",
        f'{LONG_GRACE}time_limit = "0.2s"\n[tasks."jobs.overridden"]\ntime_limit = "0.4s"\n',
    )
    jobs = [queue.put("config"), queue.put("task"), queue.put("overridden"), queue.put("task", time_limit=0.5)]
    jobs.append(queue.command("sleep 60"))
    queue.run_silently("--jobs", 5)
    said = [queue.attempt(job)["error_message"].rpartition("of ")[2] for job in jobs]
    assert said == ["0.2s", "0.3s", "0.4s", "0.5s", "0.2s"]


HIDDEN = """
class Slow:
    def __del__(self):
        mark("began")
        while True:
            pass


@queue.task
def hidden():
    Slow()
    mark("went on")
    pause_until(lambda: False)
"""


def test_an_interruption_in_the_middle_of_a_finaliser_is_repeated(queue: Queue) -> None:
    """Python hands an error in a `__del__` to a hook, and goes on as if nothing had happened."""
    queue.tasks(HIDDEN, LONG_GRACE)
    job = queue.put("hidden", time_limit=0.5)
    queue.run_silently()
    assert queue.recorded() == ["began", "went on"]
    assert queue.attempt(job)["error_message"] == "ran past its time limit of 0.5s"
    assert queue.attempt(job)["stderr"] is None
    killed = queue.put("hidden")
    run = queue.start()
    wait_until(lambda: queue.recorded()[2:] == ["began"], what="the finaliser runs")
    queue.project.done("cancel", "--kill", killed)
    run.communicate(timeout=60)
    assert queue.recorded()[2:] == ["began", "went on"]
    assert queue.row(killed)["error_message"] == "killed by `cronq cancel --kill`"


UNIMPRESSED = """
def one_more():
    mark(queue.enqueue("jobs.record", at="+1h").id)


@queue.task
def unimpressed():
    try:
        while True:
            one_more()
    except TimeLimitExceeded:
        for _ in range(50):
            one_more()
        mark("caught")
"""


@pytest.mark.parametrize("engine", scale.engines("sqlite", "mariadb"))
def test_a_task_that_goes_on_enqueueing_at_its_limit_loses_no_job_and_locks_nothing(
    engine: str, tmp_path: Path, project: Project
) -> None:
    config = engine_queue(engine, tmp_path)
    lines = f'database = "{config.database}"\nlock_dir = "{tmp_path}/locks"\napp = "jobs:queue"\npatience = "20s"\n'
    project.write("cronq.toml", lines)
    project.write("jobs.py", HEADER + UNIMPRESSED)
    with Cronq(config) as queue:
        tried = [queue.enqueue("jobs.unimpressed", check=False, time_limit=0.3 + n / 100).id for n in range(6)]
        after = queue.enqueue("jobs.record", {"word": "after"}, check=False).id
        ran = project.cronq("run", "--jobs", 2)
        assert (ran.status, ran.stderr) == (0, "")
        recorded = (project.directory / "record").read_text().split()
        assert recorded.count("caught") == len(tried)
        acknowledged = sorted(int(word) for word in recorded if word.isdecimal())
        kept = {job.id: job for job in queue.store.jobs.find(Selection(), limit=100_000)}
    assert {kept[job].state for job in (*tried, after)} == {"finished"}
    assert len(set(acknowledged)) == len(acknowledged) > 50 * len(tried), "each is another job's"
    assert {kept[job].task for job in acknowledged} == {"jobs.record"}


def test_large_arguments_are_handed_over_in_one_go(queue: Queue) -> None:
    queue.tasks("@queue.task\ndef size(text):\n    mark(len(text))\n")
    queue.put("size", {"text": "x" * (32 << 20)})
    before = os.times()
    queue.start("--jobs", 1, anew=True).communicate(timeout=200)  # what a forked one spends isn't told to this process
    after = os.times()
    assert queue.recorded() == [str(32 << 20)]
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert spent < 8, "seconds of processor: copying what is left for each piece takes 15"
