"""Draw figures as a row of bars."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"
_ASCII_BARS = "_.:-=+*#"


def sparkline(figures: Sequence[float], width: int, *, plain: bool = False) -> str:
    """Draw the figures in `width` columns, each the largest of its part; 0 is a blank."""
    bars = _ASCII_BARS if plain else _BARS
    columns = _squeezed(figures, width)
    most = max(columns, default=0)
    return "".join(bars[min(len(bars) - 1, int(one / most * len(bars)))] if one > 0 else " " for one in columns)


def _squeezed(figures: Sequence[float], width: int) -> list[float]:
    if width >= len(figures):
        return [0.0] * (width - len(figures)) + list(figures)
    bounds = [round(column * len(figures) / width) for column in range(width + 1)]
    return [max(figures[start:end]) for start, end in pairwise(bounds)]
