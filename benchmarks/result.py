"""Define a figure with its values of each round, and the bound that it must reach."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from benchmarks.processor import Spent


class Must(NamedTuple):
    """The bounds of a figure: of the ratio to its reference or, without one, of its value."""

    at_least: float | None = None
    at_most: float | None = None

    def holds(self, value: float) -> bool:
        """Tell whether the value is within the bounds."""
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
        """Return what each of these jobs took."""
        return cls(spent.own * 1e6 / jobs, spent.server * 1e6 / jobs)

    @property
    def whole(self) -> float:
        """The sum of both."""
        return self.own + self.server


class Rate(NamedTuple):
    """Jobs a second and, where it is known, the processor time of each."""

    a_second: float
    cost: Cost | None = None

    def __str__(self) -> str:
        rate = f"{amount([self.a_second])} jobs/s"
        return f"{rate}, processor time a job {cost_text([self.cost])}" if self.cost else rate


class Figure(NamedTuple):
    """One line of the table. Round n of `ours` was measured beside round n of `reference`."""

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
        """Return ours divided by the reference, round by round; empty without a reference."""
        return [a / b for a, b in zip(self.ours, self.reference, strict=False)]

    def cost_ratios(self) -> list[float]:
        """Return the reference's processor time of a job divided by ours, so that more is better, as with rates."""
        return [b.whole / a.whole for a, b in zip(self.cost, self.reference_cost, strict=False)]

    def decisive(self) -> float:
        """Return the median that the bounds are about: of the ratios, or without a reference of our values."""
        return median(self.ratios() or self.ours)

    def reached(self) -> bool:
        """Tell whether the median is within the bounds."""
        return self.must.holds(self.decisive())

    def to_json(self) -> dict[str, Any]:
        """Return the values of all rounds, the ratios and the verdict."""
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
    """Return the figure with these rates and the processor time of their jobs."""
    return figure._replace(
        ours=[rate.a_second for rate in ours],
        reference=[rate.a_second for rate in reference],
        cost=costs(ours),
        reference_cost=costs(reference),
    )


def costs(rates: Sequence[Rate]) -> list[Cost]:
    """Return the processor time of a job for each rate that has one."""
    return [rate.cost for rate in rates if rate.cost is not None]


def amount(values: Sequence[float]) -> str:
    """Write the median, without decimals from 100 on; `-` without values."""
    if not values:
        return "-"
    middle = median(values)
    return f"{middle:,.0f}" if middle >= 100 else f"{middle:.2f}"


def cost_text(costs: Sequence[Cost]) -> str:
    """Write the median of the processor time of a job, and the server's part of it."""
    if not costs:
        return "-"
    server = median(cost.server for cost in costs)
    whole = f"{amount([cost.whole for cost in costs])} µs"
    return f"{whole} (server {amount([server])})" if server else whole


class Standing(NamedTuple):
    """The rates of one peer in jobs a second, one for each round; empty for what it can't do."""

    name: str
    promise: str
    one_a_call: Sequence[Rate] = ()
    bulk: Sequence[Rate] = ()
    drain: Sequence[Rate] = ()
    drain_span: Sequence[Rate] = ()

    def to_json(self) -> dict[str, Any]:
        """Return all rates, and the processor time of their jobs."""
        document: dict[str, Any] = {"name": self.name, "promise": self.promise}
        for name in ("one_a_call", "bulk", "drain", "drain_span"):
            rates = getattr(self, name)
            document[name] = [rate.a_second for rate in rates]
            document[f"{name}_processor_us_a_job"] = [cost._asdict() for cost in costs(rates)]
        return document
