"""Many processes enqueue while several runs drain: none is refused, none waits long."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.integration.running import Queue
from tests.project import ROOT
from tests.scale import times
from tests.waiting import wait_until

PRODUCERS = 16
JOBS = times(40, full=250)
"""Jobs of each producer, one a call."""

PRODUCER = """
import json, sys, time
from cronq import Cronq
from cronq.config import loader
queue = Cronq(loader.load(file=sys.argv[1], environ={}))
taken = []
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    before = time.monotonic()
    queue.enqueue("jobs.nothing", {}, check=False, queue="abc"[number % 3], key=f"{sys.argv[2]}-{number}")
    taken.append(time.monotonic() - before)
print(json.dumps(taken))
"""

STARVED, SHARE = 1.0, 10
"""Seconds for the slowest hundredth on a machine that has other things to do, or so many times the mean where
that is busier still; SQLite's own way of waiting takes several seconds. On an idle machine it is a few milliseconds."""


def test_16_processes_enqueue_while_3_runs_drain(queue: Queue) -> None:
    queue.put("nothing", queue="a")
    producers = [producer(queue.directory / "cronq.toml", name) for name in range(PRODUCERS)]
    for process in producers:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    complaints = drain_while(queue, producers)
    taken = sorted(seconds for process in producers for seconds in taken_by(process))
    report(taken)
    queue.run_silently()
    assert complaints == set()
    assert len(taken) == PRODUCERS * JOBS
    assert taken[len(taken) * 99 // 100] < max(STARVED, SHARE * sum(taken) / len(taken))
    rows = queue.rows()
    assert len(rows) == PRODUCERS * JOBS + 1
    assert {(row["state"], row["attempt"]) for row in rows} == {("finished", 1)}
    assert queue.healthy()


def drain_while(queue: Queue, producers: list[subprocess.Popen[str]]) -> set[str]:
    """Keep a run for each queue going until all producers have ended; returns what the runs complained of."""
    runs = {name: queue.start("--queue", name) for name in "abc"}
    complaints: set[str] = set()

    def produced() -> bool:
        for name, run in runs.items():
            if run.poll() is not None:
                complaints.add(run.communicate()[1])
                runs[name] = queue.start("--queue", name)
        return all(process.poll() is not None for process in producers)

    wait_until(produced, seconds=120, what="all producers have ended")
    return (complaints | {run.communicate(timeout=60)[1] for run in runs.values()}) - {""}


def taken_by(process: subprocess.Popen[str]) -> list[float]:
    """Seconds of each of a producer's calls."""
    output, complaint = process.communicate(timeout=60)
    assert process.returncode == 0, complaint
    taken: list[float] = json.loads(output)
    return taken


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
