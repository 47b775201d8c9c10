"""Define the result of a check."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(NamedTuple):
    """One sentence on the state of something and, if it isn't well, one on what to do."""

    level: Level
    text: str
    advice: str = ""


def fine(text: str) -> Finding:
    """Make a finding that all is well."""
    return Finding(Level.OK, text)


def warning(text: str, advice: str) -> Finding:
    """Make a finding that something works, or may work, but should be checked."""
    return Finding(Level.WARNING, text, advice)


def problem(text: str, advice: str) -> Finding:
    """Make a finding that something doesn't work."""
    return Finding(Level.PROBLEM, text, advice)
