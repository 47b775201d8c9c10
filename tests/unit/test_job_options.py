"""What a job may be, before it is stored."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime

import pytest

from cronq.client.job_options import LONGEST_ARGUMENT, command_line
from cronq.errors import InvalidInput
from cronq.times import parse_when


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("echo a\0b", "a NUL can't be in an argument"),
        (["echo", "a\0b"], "a NUL can't be in an argument"),
        ("echo " + "a" * LONGEST_ARGUMENT, "an argument of 131076 bytes, Linux takes at most 131071"),
        (["echo", "é" * 65_536], "an argument of 131072 bytes"),
    ],
)
def test_a_command_that_no_process_can_be_started_with_is_refused(command: str | list[str], said: str) -> None:
    with pytest.raises(InvalidInput, match=f"command: {said}"):
        command_line(command)


def test_the_longest_argument_is_what_the_kernel_takes() -> None:
    longest = "a" * LONGEST_ARGUMENT
    assert command_line(["true", longest]) == ["true", longest]
    subprocess.run(["true", longest], check=True)
    with pytest.raises(OSError, match="Argument list too long"):
        subprocess.run(["true", longest + "a"], check=True)


def test_a_datetime_without_a_zone_is_refused() -> None:
    when = datetime(2026, 11, 21, 8)
    with pytest.raises(InvalidInput, match=r"at: datetime.datetime\(.*\) has no time zone \(datetime.now"):
        parse_when(when, now=0)
    assert parse_when(when.replace(tzinfo=UTC), now=0) == parse_when("2026-11-21T08:00", now=0)
