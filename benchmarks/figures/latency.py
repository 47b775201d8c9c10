"""Measure the time from an enqueue to the start of the job with idle workers, and what an idle worker takes."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

from benchmarks.contest import ROOT, environment, place_for
from benchmarks.needs import can
from benchmarks.peer import peer
from benchmarks.progress import say
from benchmarks.result import Figure, Must
from benchmarks.work import Order

SAMPLES, WARM_UP = 150, 20
PATIENCE = 30
IDLE_SECONDS = 30

SQLITE = "cronq_sqlite"
HUEY = "huey_redis"
PAIRS = (
    (SQLITE, "rq_redis"),
    ("cronq_postgresql_notify", "procrastinate_postgresql"),
    ("cronq_mariadb_redis", "celery_redis"),
    ("cronq_mariadb_rabbitmq", "celery_rabbitmq"),
    ("cronq_mariadb_rabbitmq", "dramatiq_rabbitmq"),
    ("cronq_postgresql_notify", "graphile_worker"),
    (SQLITE, "bullmq_redis"),
    (SQLITE, "sidekiq_redis"),
)


class Latency(NamedTuple):
    """Milliseconds."""

    p50: float
    p95: float


def run(*, rounds: int) -> list[Figure]:
    """Measure each queue once in a round; compare cronq on SQLite with huey on Redis, and the pairs of PAIRS."""
    names = dict.fromkeys([SQLITE, HUEY, *(name for pair in PAIRS for name in pair)])
    able = [name for name in names if can(name, "latency")]
    taken: dict[str, list[Latency]] = {name: [] for name in able}
    for number in range(1, rounds + 1):
        for name in able:
            taken[name].append(_measured(name))
            p50, p95 = taken[name][-1]
            say(f"  latency, round {number} of {rounds}: {peer(name).name}: p50 {p50:.2f} ms, p95 {p95:.2f} ms")
    return [*_sqlite(taken), *(figure for ours, theirs in PAIRS for figure in _beside(taken, ours, theirs))]


def _sqlite(taken: dict[str, list[Latency]]) -> list[Figure]:
    ours = taken[SQLITE]
    p50, p95 = [one.p50 for one in ours], [one.p95 for one in ours]
    what = "enqueue to start, SQLite"
    figures = [
        Figure("latency", f"{what}, p50", "ms", p50, "", [], Must(at_most=1.5)),
        Figure("latency", f"{what}, p95", "ms", p95, "", [], Must(at_most=4)),
    ]
    if HUEY in taken:
        huey = [one.p50 for one in taken[HUEY]]
        figures.append(Figure("latency", f"{what}, p50", "ms", p50, peer(HUEY).name, huey, Must(at_most=1.5)))
    return figures


def _beside(taken: dict[str, list[Latency]], ours: str, theirs: str) -> list[Figure]:
    if ours not in taken or theirs not in taken:
        return []
    what = f"enqueue to start, {peer(ours).name.partition(', ')[2]}"
    return [
        Figure(
            "latency",
            f"{what}, {which}",
            "ms",
            [getattr(one, which) for one in taken[ours]],
            peer(theirs).name,
            [getattr(one, which) for one in taken[theirs]],
            Must(),
        )
        for which in ("p50", "p95")
    ]


def _measured(name: str) -> Latency:
    with place_for(name) as place:
        command = [sys.executable, "-m", __name__, name, str(place)]
        done = subprocess.run(command, cwd=ROOT, env=environment(place), check=True, stdout=subprocess.PIPE)
    return Latency(*json.loads(done.stdout))


# In a process of its own, which enqueues


def measure(name: str, place: Path) -> Latency:
    """Enqueue jobs one after the other, each a moment after the one before began; return the times to their starts."""
    queue = peer(name)(place)
    queue.open()
    with _workers(queue.staying(), place):
        taken = []
        for number in range(WARM_UP + SAMPLES):
            mark = place / f"started-{number}"
            began = time.monotonic_ns()
            queue.put(Order(number, str(mark)))
            taken.append((_noted(mark) - began) / 1e6)
            time.sleep(0.015 + random.random() * 0.02)
    rest = taken[WARM_UP:]
    return Latency(median(rest), quantiles(rest, n=20)[-1])


def _noted(mark: Path) -> int:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        time.sleep(0.005)
        if mark.exists() and (text := mark.read_text()):
            return int(text)
    raise TimeoutError(f"{mark.name}: not started within {PATIENCE} s")


@contextmanager
def _workers(commands: list[list[str]], place: Path) -> Iterator[list[int]]:
    with (place / "said").open("wb") as said:
        workers = [
            subprocess.Popen(command, cwd=ROOT, env=environment(place), stdout=said, stderr=said)
            for command in commands
        ]
        try:
            yield [worker.pid for worker in workers]
        except TimeoutError:
            sys.stderr.write((place / "said").read_text(errors="replace"))
            raise
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait()


# An idle worker


def idle(*, rounds: int) -> list[Figure]:
    """Measure memory and processor time of `work --jobs 2` while it has nothing to do."""
    with place_for(SQLITE) as place:
        queue = peer(SQLITE)(place)
        queue.open()
        mark = place / "up"
        queue.put(Order(0, str(mark)))
        with _workers(queue.staying(), place) as [worker]:
            _noted(mark)
            time.sleep(3)
            processes = [worker, *_children(worker)]
            memory, load = [], []
            for _ in range(rounds):
                before = sum(map(_processor_time, processes))
                time.sleep(IDLE_SECONDS)
                load.append((sum(map(_processor_time, processes)) - before) * 1000 / IDLE_SECONDS)
                memory.append(sum(map(_share, processes)))
    return [
        Figure("idle-work", "memory of an idle work --jobs 2, all processes", "MB", memory, "", [], Must(at_most=60)),
        Figure("idle-work", "processor time of an idle work --jobs 2", "ms/s", load, "", [], Must(at_most=1)),
    ]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _share(pid: int) -> float:
    """Return the proportional set size in megabytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("Pss:"))


def _processor_time(pid: int) -> float:
    """Return the processor time in seconds, to the nanosecond if the kernel has it."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except OSError:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    _, who, where = sys.argv
    print(json.dumps(measure(who, Path(where))))
