"""Define the progress of a running job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.times import SECOND, iso, span

if TYPE_CHECKING:
    from datetime import datetime


class Progress(NamedTuple):
    """The progress that a running job reported last; `at` is the instant of the report."""

    done: float
    total: float | None
    """The value of `done` at the end; None if it isn't known."""
    rate: float | None
    """The increase of `done` per second; None before it is known."""
    note: str
    at: int

    @property
    def left(self) -> float | None:
        """The seconds from `at` until all is done, at the rate so far; None if that isn't known."""
        if self.total is None or not self.rate:
            return None
        return max(0.0, self.total - self.done) / self.rate

    def text(self, now: datetime) -> str:
        """Write the progress for people, with the time left at `now`: `25 of 100 (25 %), 2.5/s, 30s left: page 7`."""
        parts = [_number(self.done)]
        if self.total is not None:
            share = f" ({self.done / self.total:.0%})".replace("%", " %") if self.total else ""
            parts = [f"{_number(self.done)} of {_number(self.total)}{share}"]
        if self.rate:
            parts.append(f"{self.rate:.3g}/s" if self.rate < _LARGE else f"{self.rate:,.0f}/s")
        if self.left is not None:
            since = now.timestamp() - self.at / SECOND
            parts.append(f"{span(round(max(0.0, self.left - max(0.0, since))))} left")
        return ", ".join(parts) + (f": {self.note}" if self.note else "")

    def to_json(self) -> dict[str, Any]:
        """Return the progress with its documented field names."""
        return {
            "done": _plain(self.done),
            "total": None if self.total is None else _plain(self.total),
            "rate": self.rate,
            "left": self.left,
            "note": self.note or None,
            "at": iso(self.at),
        }


_LARGE = 1000


def _plain(number: float) -> int | float:
    return int(number) if float(number).is_integer() else number


def _number(number: float) -> str:
    return f"{int(number):,}" if float(number).is_integer() else f"{number:,g}"
