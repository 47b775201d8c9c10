"""Many processes enqueue while several runs drain: nobody is refused, nobody waits long."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.integration.running import Queue
from tests.project import ROOT
from tests.waiting import wait_until

PRODUCERS = 16
JOBS = 250
"""Jobs of each producer, one a call."""

PRODUCER = """
import json, sys, time
from cronq import Cronq, config
queue = Cronq(config.load(file=sys.argv[1], environ={}))
taken = []
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    before = time.monotonic()
    queue.enqueue("jobs.nothing", {}, check=False, queue="abc"[number % 3], key=f"{sys.argv[2]}-{number}")
    taken.append(time.monotonic() - before)
print(json.dumps(taken))
"""

STARVED = 1.0
"""Seconds for the slowest hundredth on a machine that has other things to do; SQLite's own way of
waiting takes several there. On an idle machine it is a few milliseconds."""


def test_16_processes_enqueue_while_3_runs_drain(queue: Queue) -> None:
    queue.tasks("")
    queue.put("nothing", queue="a")
    producers = [producer(queue.directory / "cronq.toml", name) for name in range(PRODUCERS)]
    lanes = [("--queue", lane) for lane in "abc"]
    runs = {lane: queue.start(*lane) for lane in lanes}
    for process in producers:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    failures = []
    while any(process.poll() is None for process in producers):
        for lane, run in runs.items():
            if run.poll() is not None:
                failures.append(run.communicate()[1])
                runs[lane] = queue.start(*lane)
        wait_until(lambda: any(p.poll() is not None for p in [*runs.values(), *producers]), seconds=60)
        producers_done = [p for p in producers if p.poll() is not None]
        if len(producers_done) == len(producers):
            break
    taken: list[float] = []
    for process in producers:
        output, complaint = process.communicate(timeout=60)
        assert process.returncode == 0, complaint
        taken += json.loads(output)
    for run in runs.values():
        failures.append(run.communicate(timeout=60)[1])
        assert run.returncode == 0
    assert set(failures) == {""}
    queue.run_silently()
    taken.sort()
    report(taken)
    assert len(taken) == PRODUCERS * JOBS
    assert taken[len(taken) * 99 // 100] < STARVED
    states = {row["state"] for row in queue.rows()}
    assert states == {"finished"}
    assert len(queue.rows()) == PRODUCERS * JOBS + 1
    assert {row["attempt"] for row in queue.rows()} == {1}
    assert queue.healthy()


def producer(config: Path, name: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PRODUCER, str(config), str(name), str(JOBS)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def report(taken: list[float]) -> None:
    """Show the figures with `pytest -rP`."""
    half, last = taken[len(taken) // 2], taken[len(taken) * 99 // 100]
    print(f"enqueue: p50 {half * 1e3:.1f} ms, p99 {last * 1e3:.1f} ms, slowest {taken[-1] * 1e3:.1f} ms")  # noqa: T201
