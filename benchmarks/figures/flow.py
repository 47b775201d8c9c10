"""Measure what batches and limits cost their jobs, and other jobs beside them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contest import ROOT, Drain, drain, environment, place_for
from benchmarks.peers import cronq_sqlite
from benchmarks.progress import say
from benchmarks.result import Figure, Must, Rate, of_rates
from benchmarks.work import Order, orders

OURS = "cronq_sqlite"
SETTLED, AT_ONCE, _TRIES = 20_000, 100, 7
MEMBERS, LIMITED, FREE, BESIDE = 10_000, 5_000, 10_000, 100_000
SMALL, LARGE = 10_000, 100_000
"""Numbers of members of the two batches whose memory is compared."""


class Queue(cronq_sqlite.Queue):
    """cronq on SQLite with a limit; its workers serve only the queue `default`."""

    def configure(self, locks: str = "locks") -> Path:
        """Write the configuration file, with a limit."""
        path = super().configure(locks)
        path.write_text(path.read_text() + "limits.ten = 10\n")
        return path

    def workers(self) -> list[list[str]]:
        """Return the command of the workers, which serve only the queue `default`."""
        [command] = super().workers()
        return [[*command, "--queue", "default"]]

    def put_limited(self, count: int) -> None:
        """Enqueue so many jobs under the limit."""
        self._put(orders(self.place, count), limit="ten")

    def put_aside(self, count: int) -> None:
        """Enqueue so many jobs under the limit into a queue that the workers don't serve."""
        self._put(orders(self.place / "aside", count), limit="ten", queue="aside")

    def put_plain(self, count: int) -> None:
        """Enqueue so many jobs without a limit."""
        self._put(orders(self.place, count))

    def put_members(self, count: int) -> None:
        """Enqueue a batch of so many jobs."""
        batch = self._queue.open_batch()
        batch.add(_specs(orders(self.place, count)))
        batch.close()

    def _put(self, given: Iterable[Order], **options: Any) -> None:
        self._queue.enqueue_many(list(_specs(given, **options)))


def _specs(given: Iterable[Order], **options: Any) -> Iterator[dict[str, Any]]:
    return ({"task": "no-op", "args": order.arguments(), **options} for order in given)


FILL: dict[str, Callable[[Queue, int], None]] = {
    "plain": Queue.put_plain,
    "members": Queue.put_members,
    "limited": Queue.put_limited,
    "aside": Queue.put_aside,
}
"""The functions that enqueue jobs before a drain, by the name that their process gets."""


def run(*, rounds: int) -> list[Figure]:
    """Measure settlements without flow, members of a batch, jobs under a limit and beside it, and memory."""
    return [_settling(rounds), *_members(rounds), *_beside(rounds), _limited(rounds), *_memory(rounds)]


# Jobs without flow


def _settling(rounds: int) -> Figure:
    """Measure claims and settlements in one process, beside the same with the statements from before there was flow."""
    tries: dict[str, list[float]] = {"now": [], "before": []}
    for number in range(rounds * _TRIES):
        for statements in ("now", "before") if number % 2 else ("before", "now"):
            tries[statements].append(_settled(statements))
    # Medians of several tries: one try differs from the next by a third, far more than the statements do.
    ours, reference = ([median(figures[n::rounds]) for n in range(rounds)] for figures in tries.values())
    what = "claim and settle without flow, processor time"
    return Figure("flow", what, "µs/job", ours, "statements before there was flow", reference, Must(at_most=1.02))


def _settled(statements: str) -> float:
    with place_for(OURS) as place:
        return float(_in_a_process("settle", statements, place, SETTLED))


def settle(queue: Queue, statements: str, count: int) -> float:
    """Return the microseconds of processor time of each job, claimed and settled a hundred at a time."""
    from cronq.model.outcome import Outcome, Settlement
    from cronq.model.selection import Filter
    from cronq.model.settlement import settlement
    from cronq.store import Lease

    queue.put_plain(count)
    store = queue.store()
    if statements == "before":
        store.tables.sql.settle.finish = store.tables.sql.settle.finish_any
    before = time.process_time()
    for _ in range(count // AT_ONCE):
        now = store.clock.now()
        jobs = store.claim(Filter(), Lease("bench", now=now, seconds=3600), limit=AT_ONCE)
        policies: Any = None  # used only for failures
        ended: list[Settlement] = [
            settlement(job, Outcome("success", now, now), policies, chance=float, worker="bench") for job in jobs
        ]
        assert store.settle(ended) == []
    return (time.process_time() - before) * 1e6 / count


# Drains


def _members(rounds: int) -> list[Figure]:
    pairs = [(_drained("members", MEMBERS), _drained("plain", MEMBERS)) for _ in range(rounds)]
    rate = Figure("flow", "drain of a batch of 10,000", "jobs/s", (), "without a batch", (), Must())
    return [of_rates(rate, *_wholes(pairs)), _costs("members of a batch, processor time", pairs, Must(at_most=1.25))]


def _beside(rounds: int) -> list[Figure]:
    pending = "aside", BESIDE
    pairs = [(_drained("plain", FREE, pending), _drained("plain", FREE)) for _ in range(rounds)]
    what = "10,000 free jobs beside 100,000 pending under a limit of 10"
    rate = Figure("flow", what, "jobs/s", (), "alone", (), Must(at_least=0.95))
    return [of_rates(rate, *_wholes(pairs)), _costs("the same, processor time", pairs, Must(at_most=1.05))]


def _limited(rounds: int) -> Figure:
    rates = [_drained("limited", LIMITED).whole for _ in range(rounds)]
    figure = Figure("flow", "drain of 5,000 no-op jobs under a limit of 10", "jobs/s", (), "", (), Must(at_least=1000))
    return of_rates(figure, rates, [])


def _wholes(pairs: list[tuple[Drain, Drain]]) -> tuple[list[Rate], list[Rate]]:
    return [ours.whole for ours, _ in pairs], [reference.whole for _, reference in pairs]


def _costs(what: str, pairs: list[tuple[Drain, Drain]], must: Must) -> Figure:
    ours, reference = ([rate.cost.whole for rate in rates if rate.cost] for rates in _wholes(pairs))
    return Figure("flow", what, "µs/job", ours, "without", reference, must)


def _drained(what: str, count: int, *beside: tuple[str, int]) -> Drain:
    with place_for(OURS) as place:
        for name, number in (*beside, (what, count)):
            # Another process enqueues, so that this one has the same memory and imports in each round.
            _in_a_process("fill", name, place, number)
        done = drain(Queue(place), count)
        say(f"  flow: {count:,} {what}{' beside others' * bool(beside)}: {done.whole}")
        return done


# Memory


def _memory(rounds: int) -> list[Figure]:
    """Measure the peak memory of the process that opens and fills a batch, and of the run that ends it."""
    taken = [(_batch(LARGE), _batch(SMALL)) for _ in range(rounds)]
    return [
        Figure(
            "flow",
            f"memory of {what} a batch of 100,000",
            "MB",
            [large[number] for large, _ in taken],
            "of 10,000",
            [small[number] for _, small in taken],
            Must(at_most=1.2),
        )
        for number, what in enumerate(("the process that fills", "the run that ends"))
    ]


def _batch(size: int) -> tuple[float, float]:
    with place_for(OURS) as place:
        fill = [sys.executable, "-m", __name__, "fill", "members", str(place), str(size)]
        return _most_memory(fill, place), _most_memory(Queue(place).workers()[0], place)


def _most_memory(command: list[str], place: Path) -> float:
    """Return the peak memory of a process, or of one of its children, in megabytes."""
    with (place / "said").open("wb") as said:
        process = subprocess.Popen(command, cwd=ROOT, env=environment(place), stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (place / "said").read_text()
    return used.ru_maxrss * 1024 / 1e6


# In a process of its own


def _in_a_process(step: str, what: str, place: Path, count: int) -> str:
    command = [sys.executable, "-m", __name__, step, what, str(place), str(count)]
    done = subprocess.run(command, cwd=ROOT, env=environment(place), check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


if __name__ == "__main__":
    _, step, what, where, how_many = sys.argv
    queue = Queue(Path(where))
    queue.open()
    if step == "settle":
        print(settle(queue, what, int(how_many)))
    else:
        FILL[what](queue, int(how_many))
