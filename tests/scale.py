"""Define how much a test run does: `make test` each scenario, `make thorough` all tests, `make storm` full repetitions.

A test that repeats a scenario on a further engine, or that takes minutes to show what a quicker test shows too, has
the marker `thorough`; `make test` leaves it out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest

FULL = "STORM_JOBS" in os.environ
"""Whether this is `make storm`, in which tests that repeat something have all their repetitions."""
THOROUGH = FULL or "THOROUGH" in os.environ
"""Whether tests with the marker `thorough` run."""
ENGINES = ("sqlite", "mariadb", "mysql", "postgresql")


def times(usual: int, *, full: int) -> int:
    """Return the number of repetitions for this run."""
    return full if FULL else usual


def engines(*usual: str, of: Iterable[str] = ENGINES) -> list[Any]:
    """Return parameters for a test whose subject is not the engine: all but the usual ones are for thorough runs."""
    return [pytest.param(one, marks=() if one in usual else (pytest.mark.thorough,)) for one in of]


MINUTES = int(os.environ.get("STORM_MINUTES", "0"))
"""The number of due times for which a real cron daemon and a real timer are observed; 0 for the least number."""
