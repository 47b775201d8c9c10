"""What is read out of a traceback for Sentry, in each form."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cronq.notifications.channels import _event
from cronq.notifications.notice import Notice


def frames(text: str) -> list[dict[str, Any]]:
    notice = Notice(1, "t", "default", 1, 1, "failed", "ValueError", "x", text)
    error = _event(notice)["exception"]["values"][0]
    found: list[dict[str, Any]] = error.get("stacktrace", {"frames": []})["frames"]
    return found


@contextmanager
def processor_seconds(most: float) -> Iterator[None]:
    """Fail as soon as this process has used so much processor time; a regular expression is interrupted, too."""

    def over(*_: object) -> None:
        pytest.fail(f"took more than {most} s of processor time")

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, most)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def test_the_frames_of_a_traceback() -> None:
    try:
        raise ValueError("x")  # noqa: TRY301 - its traceback is wanted
    except ValueError:
        [frame] = frames(traceback.format_exc())
    assert frame["filename"] == __file__
    assert frame["function"] == "test_the_frames_of_a_traceback"
    assert frame["context_line"].startswith('raise ValueError("x")')


@pytest.mark.parametrize(
    "text",
    [
        '  File "' + '", line 1' * 4000,
        '  File "' + '", line 1, in ' * 2500,
        '  File "x", line ' + "9" * 31_000 + ", in f\n",
        '  File "' * 4000,
        '  File "x", line 1, in ' * 1500,
    ],
    ids=["lines", "functions", "a number", "files", "all"],
)
def test_a_crafted_traceback_takes_no_time(text: str) -> None:
    with processor_seconds(0.5):
        frames(text)


def test_what_is_no_frame_is_passed_over() -> None:
    assert frames('  File "x", line ²\n  File "x", line 1\nFile "x", line 1, in f\n  File x, line 1, in f\n') == []
