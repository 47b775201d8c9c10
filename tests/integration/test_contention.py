"""Many processes enqueue while several runs drain: none is refused, none waits long."""

from __future__ import annotations

import multiprocessing
import time
from typing import Any

import pytest

from cronq import Cronq
from cronq.config.loader import Config
from tests.integration.running import Queue
from tests.scale import times
from tests.waiting import wait_until

PRODUCERS = 16
JOBS = times(40, full=250)
"""Jobs of each producer, one a call."""

STARVED, SHARE = 1.0, 10
"""Seconds for the slowest hundredth on a machine that has other things to do, or so many times the mean where
that is busier still; SQLite's own way of waiting takes several seconds. On an idle machine it is a few milliseconds."""


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_16_processes_enqueue_while_3_runs_drain(queue: Queue) -> None:
    queue.put("nothing", queue="a")
    context = multiprocessing.get_context("fork")
    begin, answers = context.Barrier(PRODUCERS), context.Queue()
    for name in range(PRODUCERS):
        context.Process(target=produce, args=(queue.app.config, name, begin, answers), daemon=True).start()
    complaints, taken = drain_while(queue, answers)
    report(taken)
    queue.run_silently()
    assert complaints == set()
    assert len(taken) == PRODUCERS * JOBS
    assert taken[len(taken) * 99 // 100] < max(STARVED, SHARE * sum(taken) / len(taken))
    rows = queue.rows()
    assert len(rows) == PRODUCERS * JOBS + 1
    assert {(row["state"], row["attempt"]) for row in rows} == {("finished", 1)}
    assert queue.healthy()


def drain_while(queue: Queue, answers: Any) -> tuple[set[str], list[float]]:
    """Keep a run for each queue going until all producers have ended.

    Returns what the runs complained of, and the seconds of each of the producers' calls in order.
    """
    runs = {name: queue.start("--queue", name) for name in "abc"}
    complaints: set[str] = set()
    answered: list[list[float] | str] = []

    def produced() -> bool:
        for name, run in runs.items():
            if run.poll() is not None:
                complaints.add(run.communicate()[1])
                runs[name] = queue.start("--queue", name)
        while not answers.empty():
            answered.append(answers.get(timeout=60))
        return len(answered) == PRODUCERS

    wait_until(produced, seconds=120, what="all producers have ended")
    complaints |= {run.communicate(timeout=60)[1] for run in runs.values()}
    failed = {one for one in answered if isinstance(one, str)}
    taken = sorted(seconds for one in answered if not isinstance(one, str) for seconds in one)
    return (complaints | failed) - {""}, taken


def produce(config: Config, name: int, begin: Any, answers: Any) -> None:
    """Enqueue one job a call when all producers are there; answer with the seconds of each call, or the error."""
    taken = []
    try:
        with Cronq(config) as queue:
            begin.wait(60)
            for number in range(JOBS):
                before = time.monotonic()
                queue.enqueue("jobs.nothing", {}, check=False, queue="abc"[number % 3], key=f"{name}-{number}")
                taken.append(time.monotonic() - before)
        answers.put(taken)
    except Exception as error:
        answers.put(repr(error))


def report(taken: list[float]) -> None:
    """Show the figures with `pytest -rP`."""
    half, last = taken[len(taken) // 2], taken[len(taken) * 99 // 100]
    print(f"enqueue: p50 {half * 1e3:.1f} ms, p99 {last * 1e3:.1f} ms, slowest {taken[-1] * 1e3:.1f} ms")  # noqa: T201
