"""The time limit: each job ends within limit + grace, and nothing of it stays."""

from __future__ import annotations

import os
from collections.abc import Mapping
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
"""Seconds in which a job has begun, on a busy machine too: a shell, or the first task of a new child."""

SHORT = 0.5
"""The same for a task in a child that runs already: it begins at once."""

GRACE = 0.2
"""Seconds that are over for what goes on."""

SLACK = 40.0
"""Seconds in which the start of Python, the next job and the end must fit as well, on a busy machine."""

SHORT_GRACE = f'grace = "{GRACE}s"\n'
LONG = 30.0
LONG_GRACE = f'grace = "{LONG}s"\n'
"""For what ends when it is told to, however long that takes."""

ONCE = '[retry]\nbase = "1h"\n'

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
    "a sleep, and a program it has started": "subprocess.Popen(['sleep', '100']); time.sleep(60)",
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
    "sleep": "sleep 100",
    "many in the background": "sleep 100 & sleep 100 & sleep 100",
    "a clean end on SIGTERM": "trap 'exit 0' TERM; while :; do sleep 0.05; done",
    "a program that isn't a shell": ["sleep", "100"],
    "a shell that prints": "echo begun; echo oops >&2; sleep 100",
}
KILLED_COMMANDS = {
    "a trapped SIGTERM": "trap '' TERM; sleep 100; sleep 100",
    "a trapped SIGTERM in the background": "(trap '' TERM; sleep 100) & sleep 100",
    "a shell that prints": "trap '' TERM; echo begun; echo oops >&2; sleep 100",
}


def run_out_of_time(queue: Queue, jobs: Mapping[str, int], grace: float, limit: float = LIMIT) -> dict[str, str]:
    """Run each job and one after it, all in the same child or the one that has replaced it; what the attempts say.

    What is after a job was enqueued before the next one.
    """
    queue.run_silently("--jobs", 1)
    queue.wait_until_nothing_runs()
    assert queue.recorded() == list(jobs)
    assert {row["state"] for row in queue.rows("task = 'jobs.record'")} == {"finished"}
    said = {}
    for name, job in jobs.items():
        row, attempt = queue.row(job), queue.attempt(job)
        assert (row["state"], row["outcome"], row["attempt"]) == ("retrying", "timeout", 1), name
        assert (attempt["outcome"], attempt["error_class"]) == ("timeout", "TimeLimitExceeded"), name
        assert limit <= (attempt["finished_at"] - attempt["started_at"]) / 1e6 < limit + grace + SLACK, name
        said[name] = str(attempt["error_message"])
    return said


def put_each(queue: Queue, bodies: Mapping[str, str], grace: str, limit: float = LIMIT) -> dict[str, int]:
    """Enqueue a task with each body, and one after each that puts the body's name on record; the jobs by name."""
    tasks = (f"@queue.task\ndef slow{n}():\n    {body}\n\n\n" for n, body in enumerate(bodies.values()))
    queue.tasks("".join(tasks), grace + ONCE)
    jobs = {}
    for number, name in enumerate(bodies):
        jobs[name] = queue.put(f"slow{number}", time_limit=limit)
        queue.put("record", {"word": name})
    return jobs


@pytest.mark.slow
def test_python_tasks_are_interrupted_at_their_limit(queue: Queue) -> None:
    jobs = put_each(queue, INTERRUPTED, LONG_GRACE, SHORT)
    said = run_out_of_time(queue, jobs, LONG, SHORT)
    assert said == dict.fromkeys(INTERRUPTED, "ran past its time limit of 0.5s")


@pytest.mark.slow
def test_python_tasks_that_go_on_are_killed_after_the_grace(queue: Queue) -> None:
    said = run_out_of_time(queue, put_each(queue, KILLED, SHORT_GRACE), GRACE)
    assert said == dict.fromkeys(KILLED, "killed: ran past its time limit of 1s and ignored SIGTERM")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("commands", "grace", "said"),
    [(COMMANDS, LONG, "ran past its time limit of 1s"), (KILLED_COMMANDS, GRACE, "killed: ")],
    ids=["they end", "they go on"],
)
def test_commands_and_all_that_they_started_end_at_their_limit(
    queue: Queue, commands: dict[str, str | list[str]], grace: float, said: str
) -> None:
    """What they printed until then is kept."""
    queue.tasks("", f'grace = "{grace}s"\n{ONCE}')
    jobs = {}
    for name, command in commands.items():
        jobs[name] = queue.command(command, time_limit=LIMIT)
        queue.put("record", {"word": name})
    ends = run_out_of_time(queue, jobs, grace)
    assert [name for name, why in ends.items() if not why.startswith(said)] == []
    printed = queue.attempt(jobs["a shell that prints"])
    assert (printed["stdout"], printed["stderr"]) == ("begun\n", "oops\n")


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
    tries = scale.times(3, full=12)
    with Cronq(config) as queue:
        tried = [queue.enqueue("jobs.unimpressed", check=False, time_limit=0.2 + n / 100).id for n in range(tries)]
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
    queue.put("size", {"text": "x" * (16 << 20)})
    before = os.times()
    queue.start("--jobs", 1, anew=True).communicate(timeout=200)  # what a forked one spends isn't told to this process
    after = os.times()
    assert queue.recorded() == [str(16 << 20)]
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert spent < 2.5, "seconds of processor: copying what is left for each piece takes 4"
