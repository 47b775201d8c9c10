"""A figure as it was measured, round by round, and what must be reached."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from benchmarks.processor import Spent


class Must(NamedTuple):
    """What is asked of a figure: of the ratio to its reference or, without one, of its value."""

    at_least: float | None = None
    at_most: float | None = None

    def holds(self, value: float) -> bool:
        """Whether the value is within the bounds."""
        enough = self.at_least is None or value >= self.at_least
        return enough and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        bounds = (("≥", self.at_least), ("≤", self.at_most))
        return " ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)


class Cost(NamedTuple):
    """Processor time of one job in microseconds, user and system: of the queue's processes and of its server's."""

    own: float
    server: float

    @classmethod
    def of(cls, spent: Spent, jobs: int) -> Cost:
        """What each of these jobs took."""
        return cls(spent.own * 1e6 / jobs, spent.server * 1e6 / jobs)

    @property
    def whole(self) -> float:
        """Both together."""
        return self.own + self.server


class Rate(NamedTuple):
    """Jobs a second and, where it can be told, what each took of the processors."""

    a_second: float
    cost: Cost | None = None

    def __str__(self) -> str:
        rate = f"{amount([self.a_second])} jobs/s"
        return f"{rate}, processor time a job {cost_text([self.cost])}" if self.cost else rate


class Figure(NamedTuple):
    """One line of the table. Round n of ours was measured beside round n of the reference."""

    name: str
    what: str
    unit: str
    ours: Sequence[float]
    reference_name: str
    reference: Sequence[float]
    must: Must
    cost: Sequence[Cost] = ()
    reference_cost: Sequence[Cost] = ()

    def ratios(self) -> list[float]:
        """Ours divided by the reference, round by round; empty without a reference."""
        return [a / b for a, b in zip(self.ours, self.reference, strict=False)]

    def cost_ratios(self) -> list[float]:
        """The reference's processor time a job divided by ours, so that more is better, as with rates."""
        return [b.whole / a.whole for a, b in zip(self.cost, self.reference_cost, strict=False)]

    def decisive(self) -> float:
        """The median that the requirement is about."""
        return median(self.ratios() or self.ours)

    def reached(self) -> bool:
        """Whether the requirement is met."""
        return self.must.holds(self.decisive())

    def to_json(self) -> dict[str, Any]:
        """Everything that was measured and what follows from it."""
        return {
            "figure": self.name,
            "what": self.what,
            "unit": self.unit,
            "ours": list(self.ours),
            "reference_name": self.reference_name,
            "reference": list(self.reference),
            "ratios": self.ratios(),
            "must": str(self.must),
            "reached": self.reached(),
            "processor_us_a_job": [cost._asdict() for cost in self.cost],
            "reference_processor_us_a_job": [cost._asdict() for cost in self.reference_cost],
            "processor_ratios": self.cost_ratios(),
        }

    def __str__(self) -> str:
        beside = f", {median(self.ratios()):.2f} times {self.reference_name}" if self.reference else ""
        reached = "reached" if self.reached() else f"missed, must be {self.must}"
        ratios = self.cost_ratios()
        cost = f"; processor time a job {cost_text(self.cost)}" if self.cost else ""
        saved = f", {median(ratios):.2f} times less" if ratios else ""
        return f"{self.what}: {amount(self.ours)} {self.unit}{beside}: {reached}{cost}{saved}"


def of_rates(figure: Figure, ours: Sequence[Rate], reference: Sequence[Rate]) -> Figure:
    """The figure with these rates and what each job took."""
    return figure._replace(
        ours=[rate.a_second for rate in ours],
        reference=[rate.a_second for rate in reference],
        cost=costs(ours),
        reference_cost=costs(reference),
    )


def costs(rates: Sequence[Rate]) -> list[Cost]:
    """What each job took, where it is known."""
    return [rate.cost for rate in rates if rate.cost is not None]


def amount(values: Sequence[float]) -> str:
    """The median, as precise as it matters."""
    if not values:
        return "-"
    middle = median(values)
    return f"{middle:,.0f}" if middle >= 100 else f"{middle:.2f}"


def cost_text(costs: Sequence[Cost]) -> str:
    """The median of the processor time a job, and how much of it is the server's."""
    if not costs:
        return "-"
    server = median(cost.server for cost in costs)
    whole = f"{amount([cost.whole for cost in costs])} µs"
    return f"{whole} (server {amount([server])})" if server else whole


class Standing(NamedTuple):
    """A peer's rates in jobs a second, one for each round; empty where it has no such thing."""

    name: str
    promise: str
    one_a_call: Sequence[Rate] = ()
    bulk: Sequence[Rate] = ()
    drain: Sequence[Rate] = ()
    drain_span: Sequence[Rate] = ()

    def to_json(self) -> dict[str, Any]:
        """Everything that was measured of it."""
        document: dict[str, Any] = {"name": self.name, "promise": self.promise}
        for name in ("one_a_call", "bulk", "drain", "drain_span"):
            rates = getattr(self, name)
            document[name] = [rate.a_second for rate in rates]
            document[f"{name}_processor_us_a_job"] = [cost._asdict() for cost in costs(rates)]
        return document
