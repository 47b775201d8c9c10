"""Wait for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_SHORTEST, _LONGEST = 0.01, 0.3
_PART = 50
"""Pauses grow to this part of the time waited, so that conditions that run commands don't keep a processor busy."""


def wait_until(condition: Callable[[], T], *, seconds: float = 60, what: str = "", pause: float = _SHORTEST) -> T:
    """Return the first true value of `condition`; after `seconds` fail with `what` and the last value.

    A condition that starts processes should have a longer `pause` between two calls.
    """
    begun = time.monotonic()
    while not (value := condition()):
        waited = time.monotonic() - begun
        if waited > seconds:
            waited_for = what or condition.__name__
            raise AssertionError(f"not within {seconds:g} s: {waited_for} (last: {value!r})")
        time.sleep(max(pause, min(_LONGEST, waited / _PART)))
    return value
