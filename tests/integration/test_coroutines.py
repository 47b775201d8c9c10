"""Coroutines: one event loop for the life of a child, each job on it in a context of its own."""

from __future__ import annotations

import pytest

from tests.integration.running import Queue

LOOPS = """
import asyncio, contextvars

seen = contextvars.ContextVar("seen", default="nothing")


@queue.task
async def loop(word):
    mark("loop", os.getpid(), id(asyncio.get_running_loop()), seen.get())
    seen.set(word)
    return word


@queue.task
async def leaves():
    async def stay():
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            mark("stopped")

    leaves.kept = asyncio.create_task(stay())
    await asyncio.sleep(0)
    mark(await asyncio.to_thread(lambda: "thread"))


@queue.task
class Steps:
    async def before(self):
        seen.set("before")
        self.loop = asyncio.get_running_loop()

    async def perform(self):
        assert asyncio.get_running_loop() is self.loop
        return seen.get()

    async def after(self):
        mark("after", seen.get())
"""

LIMITED = """
import asyncio


@queue.task(time_limit=1)
async def waits(how):
    try:
        if how == "busy":
            while True:
                pass
        if how == "beside":
            await asyncio.gather(asyncio.sleep(60), busy())
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.01)
        mark("cleaned", how)


async def busy():
    while True:
        pass


@queue.task(time_limit=0.4)
async def swallows():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass
"""


def test_a_child_has_one_loop_and_each_job_a_context(queue: Queue) -> None:
    queue.tasks(LOOPS)
    jobs = [queue.put("loop", {"word": word}) for word in ("one", "two")]
    left, steps = queue.put("leaves"), queue.put("Steps")
    last = queue.put("loop", {"word": "three"})
    queue.run_silently("--jobs", 1)
    assert {queue.state(job) for job in (*jobs, left, steps, last)} == {"finished"}
    lines = [line for line in queue.recorded() if line.startswith("loop")]
    assert len(lines) == 3
    assert len(set(lines)) == 1, "the same process, the same loop, and nothing of another job's context"
    assert lines[0].endswith(" nothing")
    assert [line for line in queue.recorded() if not line.startswith("loop")] == ["thread", "stopped", "after before"]
    assert queue.row(steps)["result"] == '"before"'


@pytest.mark.parametrize("how", ["waiting", "busy", "beside"])
def test_the_time_limit_cancels_a_coroutine_which_has_the_grace_to_clean_up(queue: Queue, how: str) -> None:
    queue.tasks(LIMITED, 'grace = "30s"\n')
    job, after = queue.put("waits", {"how": how}), queue.put("nothing")
    queue.run("--jobs", 1)
    row = queue.row(job)
    assert (row["state"], row["outcome"], row["error_class"]) == ("retrying", "timeout", "TimeLimitExceeded")
    assert queue.recorded() == [f"cleaned {how}"]
    assert queue.state(after) == "finished"
    assert "in waits" in queue.attempt(job)["traceback"]


def test_a_coroutine_that_ignores_its_cancellation_is_killed(queue: Queue) -> None:
    queue.tasks(LIMITED)
    job = queue.put("swallows")
    queue.run("--jobs", 1)
    assert (queue.state(job), queue.row(job)["outcome"]) == ("retrying", "timeout")
