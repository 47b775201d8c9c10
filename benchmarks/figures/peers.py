"""Enqueue, bulk and drain: every queue once in each round, so that all see the same minute of the machine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from benchmarks import redis_server, servers
from benchmarks.contest import Drain, drain_rate, enqueue_rate
from benchmarks.peer import peer
from benchmarks.result import Figure, Must, Standing

OURS = "cronq_sqlite"
BARE = "bare_sqlite"
HUEY = "huey_sqlite"
PROCRASTINATE = "procrastinate_postgresql"
OTHERS = (
    "cronq_mariadb", "cronq_postgresql", HUEY, PROCRASTINATE, "celery_rabbitmq", "celery_redis", "dramatiq_rabbitmq",
    "litequeue_sqlite", "huey_redis_fsync", "huey_redis", "rq_redis", "rq_simple_redis",
)  # fmt: skip

Measure = Literal["enqueue", "bulk", "drain"]
MEASURES: tuple[Measure, ...] = ("enqueue", "bulk", "drain")
ONE_A_CALL, BULK = 2_000, 10_000


class Target(NamedTuple):
    """How a queue of ours must stand to another one."""

    ours: str
    reference: str
    must: Must
    rates: dict[str, str]
    """Which of the rates are meant, and what they are in words."""


DRAIN = {
    "drain": "drain of 10,000, start of the command to the end",
    "drain_span": "drain of 10,000, first job's start to the last's",
}
TARGETS: dict[Measure, tuple[Target, ...]] = {
    "enqueue": (Target(OURS, BARE, Must(at_least=0.9), {"one_a_call": "enqueue, one a call"}),),
    "bulk": (Target(OURS, BARE, Must(at_least=0.5), {"bulk": "enqueue, 100 a call"}),),
    "drain": (
        Target(OURS, HUEY, Must(at_least=6), DRAIN),
        Target("cronq_mariadb", PROCRASTINATE, Must(at_least=10), DRAIN),
        Target("cronq_postgresql", PROCRASTINATE, Must(at_least=6), DRAIN),
    ),
}


def contestants(measure: Measure, *, alone: bool) -> list[str]:
    """Who takes part: ours and their references, and everybody who can if not `alone`."""
    needed = [name for target in TARGETS[measure] for name in (target.ours, target.reference)]
    return [name for name in dict.fromkeys([*needed, *(() if alone else OTHERS)]) if _can(name, measure)]


def _can(name: str, measure: Measure) -> bool:
    queue = peer(name)
    if queue.redis is not None and not redis_server.available():
        return False
    if queue.server is not None and not servers.available(queue.server):
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
    return [
        Figure(
            measure, f"{peer(ours).name}: {what}", "jobs/s", rates[ours][rate],
            peer(reference).name, rates[reference][rate], must,
        )
        for ours, reference, must, named in TARGETS[measure]
        if ours in rates and reference in rates
        for rate, what in named.items()
    ]  # fmt: skip
