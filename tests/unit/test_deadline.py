"""A time limit for calls that may hang."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from cronq.system.deadline import DeadlineExceeded, deadline


class Slow:
    """An object whose finaliser runs until it is interrupted: Python lets no error leave it."""

    def __del__(self) -> None:
        while True:
            pass


def hide_the_error() -> None:
    with deadline(0.1):
        Slow()
        time.sleep(60)


def nest() -> None:
    with deadline(0.2):
        with deadline(30):
            pass
        time.sleep(60)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("block", [hide_the_error, nest])
def test_it_holds(block: Callable[[], None]) -> None:
    begun = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        block()
    assert time.monotonic() - begun < 50
