"""Enqueue, bulk and drain: every queue once in each round, so that all see the same minute of the machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from benchmarks.contest import Drain, drain_rate, enqueue_rate
from benchmarks.peer import peer
from benchmarks.redis_server import available
from benchmarks.result import Figure, Must, Standing

OURS = "cronq_sqlite"
BARE = "bare_sqlite"
HUEY = "huey_sqlite"
OTHERS = ("litequeue_sqlite", "huey_redis_fsync", "huey_redis", "rq_redis", "rq_simple_redis")

Measure = Literal["enqueue", "bulk", "drain"]
MEASURES: tuple[Measure, ...] = ("enqueue", "bulk", "drain")
ONE_A_CALL, BULK = 2_000, 10_000


def contestants(measure: Measure, *, alone: bool) -> list[str]:
    """Who takes part: cronq and its reference, and everybody who can if not `alone`."""
    reference = HUEY if measure == "drain" else BARE
    able = [OURS, reference] + [name for name in (HUEY, *OTHERS) if not alone and name != reference]
    return [name for name in able if _can(name, measure)]


def _can(name: str, measure: Measure) -> bool:
    queue = peer(name)
    if queue.redis is not None and not available():
        return False
    return queue.has_bulk() if measure == "bulk" else True


def run(measures: Iterable[Measure], *, rounds: int, alone: bool) -> tuple[list[Figure], list[Standing]]:
    """The figures beside their references, and how all the queues stand."""
    rates: dict[str, dict[str, list[float]]] = {}
    figures: list[Figure] = []
    for measure in measures:
        for _ in range(rounds):
            for name in contestants(measure, alone=alone):
                _add(rates.setdefault(name, {}), measure, name)
        figures += _figures(measure, rates)
    standings = [Standing(peer(name).name, peer(name).promise, **measured) for name, measured in rates.items()]
    return figures, standings


def _add(measured: dict[str, list[float]], measure: Measure, name: str) -> None:
    if measure == "drain":
        drained: Drain = drain_rate(name)
        measured.setdefault("drain", []).append(drained.whole)
        measured.setdefault("drain_span", []).append(drained.span)
    elif measure == "bulk":
        measured.setdefault("bulk", []).append(enqueue_rate("bulk", name, BULK))
    else:
        measured.setdefault("one_a_call", []).append(enqueue_rate("one_a_call", name, ONE_A_CALL))


def _figures(measure: Measure, rates: dict[str, dict[str, list[float]]]) -> list[Figure]:
    def beside(reference: str, what: str, rate: str, must: Must) -> Figure:
        theirs: Sequence[float] = rates[reference][rate]
        return Figure(measure, what, "jobs/s", rates[OURS][rate], peer(reference).name, theirs, must)

    if measure == "enqueue":
        return [beside(BARE, "enqueue, one a call", "one_a_call", Must(at_least=0.9))]
    if measure == "bulk":
        return [beside(BARE, "enqueue, 100 a call", "bulk", Must(at_least=0.5))]
    return [
        beside(HUEY, "drain of 10,000, start of the command to the end", "drain", Must(at_least=6)),
        beside(HUEY, "drain of 10,000, first job's start to the last's", "drain_span", Must(at_least=6)),
    ]
