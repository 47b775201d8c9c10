"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], *, seconds: float = 30, what: str = "") -> T:
    """The first true value of `condition`; fails with `what` and the last value after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            waited_for = what or condition.__name__
            raise AssertionError(f"not within {seconds:g} s: {waited_for} (last: {value!r})")
        time.sleep(0.01)
    return value
