"""What one job costs at each step, in processor time and statements: `python -m benchmarks.steps`.

Each step is measured in a process of its own, on a database of its own: enqueueing one job a call and a
hundred a call, claiming and settling in groups, and `cronq run --jobs 2` as a whole. Of that, what claiming and
settling took and what a run without jobs takes is subtracted; what remains of the runner is handing over, and what
its children took is the running. Wall clock counts for nothing, all files are in memory, and of many portions and
rounds the cheapest counts, so that disk and other processes disturb little.
"""

from __future__ import annotations

import _sqlite3  # whose `connect` cronq's driver calls
import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import servers
from benchmarks.contest import ROOT, environment
from benchmarks.needs import can
from benchmarks.peer import Peer, ServerKind, peer
from benchmarks.peers import cronq_sqlite
from benchmarks.processor import Stopwatch, attribute, of_ended_children
from benchmarks.progress import say
from benchmarks.work import Order
from daemons import databases

if TYPE_CHECKING:
    from cronq.storage.drivers.database import Database

BARE = "bare_sqlite"
ENGINES = ("cronq_sqlite", "cronq_mariadb", "cronq_postgresql")
ONE_A_CALL, JOBS, AT_ONCE, WARM_UP = 2_000, 10_000, 400, 400
"""Numbers of jobs of each measurement; AT_ONCE are claimed and settled together, as by a busy runner."""

_COUNTING = ("-c", "shared_preload_libraries=pg_stat_statements", "-c", "pg_stat_statements.max=10000")
_COUNT = {
    "mysql": "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'QUESTIONS'",
    "postgresql": "SELECT sum(calls) FROM pg_stat_statements",
}
_traced = 0


class Taken(NamedTuple):
    """The cost of one job at a step: microseconds of the processors, and statements."""

    own: float
    children: float
    server: float
    statements: float


class Meter:
    """Measures processor time and statements from its creation."""

    def __init__(self, queue: Peer) -> None:
        self._counted = _counter(queue)
        self._statements = self._counted()
        self._children = of_ended_children()
        self._watch = Stopwatch(queue.place, time.process_time)
        self._portions: list[float] = []
        self._before = time.process_time()

    def portion(self, jobs: int) -> None:
        """Note that so many jobs are done; the own time of the cheapest portion stands for all."""
        now = time.process_time()
        self._portions.append((now - self._before) * 1e6 / jobs)
        self._before = now

    def taken(self, jobs: int) -> Taken:
        """Return what each of so many jobs has taken since the creation."""
        spent, children = self._watch.spent(), of_ended_children() - self._children
        statements = self._counted() - self._statements
        own, children, server = (seconds * 1e6 / jobs for seconds in (spent.own, children, spent.server))
        return Taken(min(self._portions, default=own), children, server, statements / jobs)


def _counter(queue: Peer) -> Callable[[], int]:
    if queue.server is None:
        return lambda: _traced
    database = _opened(servers.url(queue.place))
    return lambda: int(database.query(_COUNT[database.family])[0][0])


def _opened(url: str) -> Database:
    from cronq.config.loader import from_database
    from cronq.storage.drivers.opening import open_database

    return open_database(from_database(url))


def _trace_connections() -> None:
    """Count the statements on connections that cronq opens to SQLite in this process from now on."""
    connect = _sqlite3.connect

    def traced(*args: Any, **kwargs: Any) -> _sqlite3.Connection:
        connection: _sqlite3.Connection = connect(*args, **kwargs)
        connection.set_trace_callback(_note)
        return connection

    _sqlite3.connect = traced  # type: ignore[assignment]


def _note(_: str) -> None:
    global _traced
    _traced += 1


# The steps, each in a process of its own


def one_a_call(queue: Peer) -> list[Taken]:
    """Enqueue jobs one by one."""
    queue.put_each([Order(n, None) for n in range(WARM_UP)])
    meter = Meter(queue)
    for _ in range(ONE_A_CALL // 100):
        queue.put_each([Order(n, None) for n in range(100)])
        meter.portion(100)
    return [meter.taken(ONE_A_CALL)]


def bulk(queue: Peer) -> list[Taken]:
    """Enqueue jobs, a hundred a call."""
    queue.put_many([Order(n, None) for n in range(100)])
    meter = Meter(queue)
    for _ in range(JOBS // AT_ONCE):
        _fill(queue, AT_ONCE)
        meter.portion(AT_ONCE)
    return [meter.taken(JOBS)]


def claim_and_settle(queue: cronq_sqlite.Queue) -> list[Taken]:
    """Claim all jobs, and settle them afterwards."""
    from cronq.model.outcome import FINISHED, Outcome, Settlement
    from cronq.model.selection import Filter
    from cronq.store import Lease

    _fill(queue, JOBS + WARM_UP)
    store = queue.store()

    def claimed() -> Any:
        return store.claim(Filter(), Lease("bench", now=store.clock.now(), seconds=3600), limit=AT_ONCE)

    def settled(jobs: Any) -> None:
        now = store.clock.now()
        outcome = Outcome("success", now, now, pid=1, peak_memory=1, memory_before=1, cpu_time=0.001)
        assert store.settle([Settlement(job, outcome, FINISHED) for job in jobs]) == []

    settled(claimed())
    meter = Meter(queue)
    portions = []
    for _ in range(JOBS // AT_ONCE):
        portions.append(claimed())
        meter.portion(AT_ONCE)
    claims = meter.taken(JOBS)
    assert sum(map(len, portions)) == JOBS
    meter = Meter(queue)
    for jobs in portions:
        settled(jobs)
        meter.portion(AT_ONCE)
    return [claims, meter.taken(JOBS)]


def run(queue: cronq_sqlite.Queue) -> list[Taken]:
    """Measure `cronq run --jobs 2` in this process: what it takes with jobs, minus what it takes without."""
    _ran(queue)  # imports everything
    empty = _ran(queue)
    _fill(queue, JOBS)
    full = _ran(queue)
    return [Taken(*(late - early for late, early in zip(full, empty, strict=True)))]


def _ran(queue: cronq_sqlite.Queue) -> Taken:
    from cronq.cli import main

    meter = Meter(queue)
    status = main(["--config", str(queue.place / "cronq.toml"), "run", "--jobs", "2"])
    assert status == 0, status
    return meter.taken(JOBS)


def _fill(queue: Peer, count: int) -> None:
    for _ in range(count // 100):
        queue.put_many([Order(n, None) for n in range(100)])


STEPS: dict[str, Callable[[Any], list[Taken]]] = {
    "one_a_call": one_a_call,
    "bulk": bulk,
    "claim_and_settle": claim_and_settle,
    "run": run,
}


def _step(step: str, name: str, place: Path, *, counted: bool) -> None:
    if counted:
        _trace_connections()
    queue = peer(name)(place)
    queue.open()
    print(json.dumps(STEPS[step](queue)))


# All steps on all engines


@contextmanager
def _server(kind: ServerKind | None) -> Iterator[databases.Running | None]:
    """Start the engine's server with durable commits, and with counting of its statements."""
    if kind is None:
        yield None
        return
    options = _COUNTING if kind == "postgresql" else ()
    within = databases.quick_place()
    with databases.private(kind, *servers.DURABLE[kind], *options, within=within) as server:
        yield server


@contextmanager
def _place(server: databases.Running | None) -> Iterator[Path]:
    with TemporaryDirectory(prefix="cronq-bench-", dir=databases.quick_place()) as directory:
        place = Path(directory)
        if server is not None:
            name = f"steps{time.monotonic_ns()}"
            server.execute(f"CREATE DATABASE {name}")
            (place / "server").write_text(server.url(name))
            attribute(place, server.pid)
            if server.kind == "postgresql":
                _opened(server.url(name)).execute("CREATE EXTENSION pg_stat_statements")
        yield place


def measured(name: str, rounds: int) -> dict[str, list[Taken]]:
    """Return the least that each step took in so many rounds; SQLite's statements are counted in a further round."""
    with _server(peer(name).server) as server:
        return {step: _least(step, name, rounds, server) for step in STEPS}


def _least(step: str, name: str, rounds: int, server: databases.Running | None) -> list[Taken]:
    tries = [_in_a_process(step, name, server) for _ in range(rounds)]
    counted = _in_a_process(step, name, server, "counted") if server is None else tries[0]
    return [_smallest(parts, counts) for *parts, counts in zip(*tries, counted, strict=True)]


def _smallest(tries: Sequence[Taken], counts: Taken) -> Taken:
    own, children, server = (min(one[field] for one in tries) for field in range(3))
    return Taken(own, children, server, counts.statements)


def _in_a_process(step: str, name: str, server: databases.Running | None, *counted: str) -> list[Taken]:
    with _place(server) as place:
        command = [sys.executable, "-m", "benchmarks.steps", "step", step, name, str(place), *counted]
        done = subprocess.run(command, cwd=ROOT, env=environment(place), check=True, stdout=subprocess.PIPE, text=True)
    taken = [Taken(*one) for one in json.loads(done.stdout.splitlines()[-1])]
    say(f"  {peer(name).name}: {step}: {taken}")
    return taken


def main() -> None:
    """Print a table for each engine that this machine has; with `step`, measure one step and print it as JSON."""
    if sys.argv[1:2] == ["step"]:
        _, _, step, name, place, *counted = sys.argv
        _step(step, name, Path(place), counted=bool(counted))
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each step is measured (default: 5)")
    parser.add_argument("--only", action="append", choices=ENGINES, help="measure this engine; repeatable")
    asked = parser.parse_args()
    for name in asked.only or ENGINES:
        if can(name, "steps"):
            [bare] = _least("one_a_call", BARE, asked.rounds, None)
            show(peer(name).name, measured(name, asked.rounds), bare)


def show(name: str, steps: dict[str, list[Taken]], bare: Taken) -> None:
    """Print the engine's table in Markdown, beside what sqlite3 alone takes for one INSERT and COMMIT."""
    [one], [many], [claim, settle], [whole] = steps.values()
    over = whole._replace(own=whole.own - claim.own - settle.own, children=0, server=0, statements=0)
    run = Taken(whole.children, 0, 0, 0)
    print(f"\n| {name} | own µs | server's µs | statements |", "|---|---|---|---|", sep="\n")
    rows = {
        "bare sqlite3, one INSERT a COMMIT": bare,
        "enqueue, one a call": one,
        "enqueue, 100 a call": many,
        f"claim, {AT_ONCE} at once": claim,
        "hand over, and take back": over,
        "run, in the child": run,
        f"settle, {AT_ONCE} at once": settle,
        "`run --jobs 2`, whole": whole._replace(own=whole.own + whole.children),
    }
    for what, taken in rows.items():
        print(f"| {what} | {taken.own:.1f} | {taken.server:.1f} | {taken.statements:.3f} |")


if __name__ == "__main__":
    main()
