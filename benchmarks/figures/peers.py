"""Measure enqueue, bulk and drain: every queue once in each round, so that all have the same load of the machine."""

from __future__ import annotations

from typing import Literal, NamedTuple

from benchmarks.contest import Drain, drain_rate, enqueue_rate
from benchmarks.needs import can
from benchmarks.peer import peer
from benchmarks.progress import say
from benchmarks.result import Figure, Must, Rate, Standing, of_rates

OURS = "cronq_sqlite"
BARE = "bare_sqlite"
HUEY = "huey_sqlite"
PROCRASTINATE = "procrastinate_postgresql"
BEYOND_PYTHON = (
    ("cronq_postgresql", "graphile_worker"), ("cronq_postgresql", "pg_boss"), (OURS, "bullmq_redis"),
    (OURS, "sidekiq_redis"),
)  # fmt: skip
"""Pairs of our queue and one for Node or Ruby with the same durability."""

OTHERS = (
    "cronq_mariadb", "cronq_postgresql", HUEY, PROCRASTINATE, "celery_rabbitmq", "celery_redis", "dramatiq_rabbitmq",
    "litequeue_sqlite", "huey_redis_fsync", "huey_redis", "rq_redis", "rq_simple_redis", "graphile_worker", "pg_boss",
    "bullmq_redis", "sidekiq_redis",
)  # fmt: skip

Measure = Literal["enqueue", "bulk", "drain"]
MEASURES: tuple[Measure, ...] = ("enqueue", "bulk", "drain")
RATES = {"enqueue": "one_a_call", "bulk": "bulk", "drain": "drain"}
"""The rate that each measurement takes."""

ONE_A_CALL, BULK = 2_000, 10_000


class Target(NamedTuple):
    """The ratio that a queue of ours must reach to another one."""

    ours: str
    reference: str
    must: Must
    rates: dict[str, str]
    """The rates that are compared, and their names in the table."""


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
        *(Target(ours, theirs, Must(at_least=1), DRAIN) for ours, theirs in BEYOND_PYTHON),
    ),
}


def contestants(measure: Measure, *, alone: bool) -> list[str]:
    """Return the names of the queues that take part: ours and their references, and all others unless `alone`."""
    needed = [name for target in TARGETS[measure] for name in (target.ours, target.reference)]
    able = [name for name in dict.fromkeys([*needed, *(() if alone else OTHERS)]) if can(name, measure)]
    return [name for name in able if measure != "bulk" or peer(name).has_bulk()]


class Contest:
    """The rates of every queue that were measured so far."""

    def __init__(self, *, rounds: int, alone: bool) -> None:
        self._rounds = rounds
        self._alone = alone
        self._rates: dict[str, dict[str, list[Rate]]] = {}

    def measure(self, measure: Measure) -> list[Figure]:
        """Measure every queue that can do this, and return our figures beside their references."""
        for number in range(1, self._rounds + 1):
            for name in contestants(measure, alone=self._alone):
                rates = _measured(measure, name)
                for rate, value in rates.items():
                    self._rates.setdefault(name, {}).setdefault(rate, []).append(value)
                say(f"  {measure}, round {number} of {self._rounds}: {peer(name).name}: {rates[RATES[measure]]}")
        return _figures(measure, self._rates)

    def standings(self) -> list[Standing]:
        """Return the rates of all queues."""
        return [Standing(peer(name).name, peer(name).promise, **measured) for name, measured in self._rates.items()]


def _measured(measure: Measure, name: str) -> dict[str, Rate]:
    if measure == "drain":
        drained: Drain = drain_rate(name)
        return {"drain": drained.whole, "drain_span": drained.span}
    count = BULK if measure == "bulk" else ONE_A_CALL
    return {RATES[measure]: enqueue_rate(RATES[measure], name, count)}


def _figures(measure: Measure, rates: dict[str, dict[str, list[Rate]]]) -> list[Figure]:
    return [
        of_rates(
            Figure(measure, f"{peer(ours).name}: {what}", "jobs/s", (), peer(reference).name, (), must),
            rates[ours][rate],
            rates[reference][rate],
        )
        for ours, reference, must, named in TARGETS[measure]
        if ours in rates and reference in rates
        for rate, what in named.items()
    ]
