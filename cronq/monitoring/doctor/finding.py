"""What a check found."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(NamedTuple):
    """One sentence on how something is and, where it isn't well, one on what to do."""

    level: Level
    text: str
    advice: str = ""


def fine(text: str) -> Finding:
    """It is as it should be."""
    return Finding(Level.OK, text)


def warning(text: str, advice: str) -> Finding:
    """It works, or may work, but somebody should look at it."""
    return Finding(Level.WARNING, text, advice)


def problem(text: str, advice: str) -> Finding:
    """It doesn't work."""
    return Finding(Level.PROBLEM, text, advice)
