"""A figure as it was measured, round by round, and what must be reached."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple


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


class Figure(NamedTuple):
    """One line of the table. Round n of ours was measured beside round n of the reference."""

    name: str
    what: str
    unit: str
    ours: Sequence[float]
    reference_name: str
    reference: Sequence[float]
    must: Must

    def ratios(self) -> list[float]:
        """Ours divided by the reference, round by round; empty without a reference."""
        return [a / b for a, b in zip(self.ours, self.reference, strict=False)]

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
        }


class Standing(NamedTuple):
    """A peer's rates in jobs a second, one for each round; empty where it has no such thing."""

    name: str
    promise: str
    one_a_call: Sequence[float] = ()
    bulk: Sequence[float] = ()
    drain: Sequence[float] = ()
    drain_span: Sequence[float] = ()

    def to_json(self) -> dict[str, Any]:
        """Everything that was measured of it."""
        return self._asdict()
