"""How often a test whose strength is repetition repeats: `make test` does a part of it, `make storm` all."""

from __future__ import annotations

import os

FULL = "STORM_JOBS" in os.environ
"""Whether this is `make storm`."""


def times(usual: int, *, full: int) -> int:
    """The number for this run."""
    return full if FULL else usual


MINUTES = int(os.environ.get("STORM_MINUTES", "0"))
"""For how many due times a real cron daemon and a real timer are watched; 0 for as few as show something."""
