"""Context managers around each attempt, and around the life of a child."""

from __future__ import annotations

import pytest

from tests.integration.running import Queue
from tests.waiting import wait_until

AROUND = """
import asyncio
from contextlib import suppress


@queue.around_job
def outer(job):
    mark("enter outer", job.task)
    try:
        yield
    except BaseException as error:
        mark("outer saw", type(error).__name__)
        raise
    finally:
        mark("left outer")


@queue.around_job
async def inner(job):
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    try:
        yield
    finally:
        assert loop is asyncio.get_running_loop() and task is asyncio.current_task()
        mark("left inner")


@queue.before_job
def before(job):
    mark("before")


@queue.on_error
def told(job, error):
    mark("on_error")


@queue.task
def does(what=""):
    verdicts = {"skip": Skip("s"), "snooze": Snooze("1h"), "exit": SystemExit(3), "error": KeyError("k")}
    if what:
        raise verdicts[what]


@queue.task(time_limit=1)
def sleeps():
    time.sleep(60)
"""

FAILING = """
from contextlib import suppress


@queue.around_job
def commits(job):
    yield
    raise OSError("no commit")


@queue.around_job
def swallows(job):
    return suppress(KeyError)


@queue.task
def fine():
    return 1


@queue.task
def fails():
    raise KeyError("k")


@queue.task
def waits():
    raise Snooze("1h")
"""

CHILD = """
import asyncio


@queue.around_child
def whole():
    mark("begin", os.getpid())
    yield
    mark("end", os.getpid())


@queue.around_child
async def pool():
    loop = asyncio.get_running_loop()
    beat = asyncio.create_task(asyncio.sleep(60))
    mark("pool")
    yield
    assert loop is asyncio.get_running_loop() and not beat.done()
    beat.cancel()
    mark("closed")


@queue.task
async def uses():
    await asyncio.sleep(0)
    mark("used")
"""


@pytest.mark.parametrize(
    ("what", "state", "seen"),
    [
        ("", "finished", []),
        ("skip", "cancelled", ["left inner", "outer saw Skip"]),
        ("snooze", "waiting", ["left inner", "outer saw Snooze"]),
        ("error", "retrying", ["on_error", "left inner", "outer saw KeyError"]),
        ("exit", "retrying", ["on_error", "left inner", "outer saw SystemExit"]),
    ],
)
def test_the_managers_are_left_however_an_attempt_ends(queue: Queue, what: str, state: str, seen: list[str]) -> None:
    queue.tasks(AROUND)
    job = queue.put("does", {"what": what})
    queue.run("--jobs", 1)
    assert queue.state(job) == state
    middle = seen or ["left inner"]
    assert queue.recorded() == ["enter outer jobs.does", "before", *middle, "left outer"]


def test_the_managers_are_left_at_the_time_limit_and_with_a_command(queue: Queue) -> None:
    queue.tasks(AROUND, 'grace = "30s"\n')
    job = queue.put("sleeps")
    queue.run("--jobs", 1)
    assert queue.row(job)["outcome"] == "timeout"
    assert queue.recorded()[-3:] == ["left inner", "outer saw TimeLimitExceeded", "left outer"]
    queue.command("exit 3")
    queue.run("--jobs", 1)
    assert queue.recorded()[-3:] == ["left inner", "outer saw Fail", "left outer"]


def test_an_error_of_leaving_fails_an_attempt_that_had_succeeded_and_hides_no_other(queue: Queue) -> None:
    queue.tasks(FAILING)
    fine, fails, waits = (queue.put(task) for task in ("fine", "fails", "waits"))
    queue.run("--jobs", 1)
    assert (queue.state(fine), queue.row(fine)["error_message"]) == ("retrying", "no commit")
    assert (queue.state(fails), queue.row(fails)["error_class"]) == ("retrying", "KeyError")
    assert queue.state(waits) == "waiting"


def test_a_childs_managers_last_from_job_to_job(queue: Queue) -> None:
    queue.tasks(CHILD, 'grace = "30s"\n')
    for _ in range(3):
        queue.put("nothing")
        queue.put("uses")
    queue.run_silently("--jobs", 1)
    wait_until(lambda: queue.recorded()[-1].startswith("end"), what="the child's end")
    begin, *between, end = queue.recorded()
    assert begin.replace("begin", "end") == end
    assert between == ["pool", "used", "used", "used", "closed"]
