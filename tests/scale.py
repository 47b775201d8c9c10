"""How much a test run does: `make test` each scenario, `make thorough` all tests, `make storm` repetitions in full.

A test that repeats a scenario on a further engine, or that takes minutes for what a quicker test shows too, has the
marker `thorough`; `make test` leaves it out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest

FULL = "STORM_JOBS" in os.environ
"""Whether this is `make storm`: what is strong by repetition repeats in full."""
THOROUGH = FULL or "THOROUGH" in os.environ
"""Whether tests with the marker `thorough` run."""
ENGINES = ("sqlite", "mariadb", "mysql", "postgresql")


def times(usual: int, *, full: int) -> int:
    """The number for this run."""
    return full if FULL else usual


def engines(*usual: str, of: Iterable[str] = ENGINES) -> list[Any]:
    """Parameters for a test whose subject is not the engine: all but the usual ones are left to thorough runs."""
    return [pytest.param(one, marks=() if one in usual else (pytest.mark.thorough,)) for one in of]


MINUTES = int(os.environ.get("STORM_MINUTES", "0"))
"""For how many due times a real cron daemon and a real timer are watched; 0 for as few as show something."""
