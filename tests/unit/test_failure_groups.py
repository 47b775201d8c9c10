"""Which failures are of one kind."""

from __future__ import annotations

import pytest

from cronq.storage.failure_groups import fingerprint, grouped, is_fingerprint, pattern_of


@pytest.mark.parametrize(
    ("message", "rest"),
    [
        ("order 17 of customer 'c3' is gone", "order # of customer # is gone"),
        ('no such file: "/tmp/tmpab12/x"', "no such file: #"),
        ("object at 0x7f3a9c failed", "object at # failed"),
        ("commit 3f9a1c77b2 is bad", "commit # is bad"),
        ("id 550e8400-e29b-41d4-a716-446655440000", "id #"),
        ("can't reach it, it isn't there", "can't reach it, it isn't there"),
        ("took  1.25 s\n at 10:05:33", "took # s at #"),
        ("decade of defeat", "decade of defeat"),
    ],
)
def test_a_message_without_its_particulars(message: str, rest: str) -> None:
    assert pattern_of(message) == rest


def test_a_fingerprint_stays_what_it_is() -> None:
    """It stands in people's notes and scripts."""
    assert fingerprint("mail.send", None, "ConnectionError", "host 10.0.0.1 refused") == "c236942b"
    assert is_fingerprint("c236942b")
    assert not is_fingerprint("ConnectionError")


def test_task_class_and_words_tell_failures_apart() -> None:
    one = fingerprint("a", None, "E", "it broke")
    others = [("b", None, "E", "it broke"), ("a", None, "F", "it broke"), ("a", None, "E", "it bent")]
    assert one not in {fingerprint(*other) for other in others}


def test_commands_are_told_apart_by_what_they_run_and_their_exit_status() -> None:
    def of(command: str, status: int) -> str:
        return fingerprint("command", f'{{"command": "{command}"}}', "ExitStatus", f"exit status {status}: x {status}")

    assert of("backup 1", 3) == of("backup 2", 3)
    assert len({of("backup 1", 3), of("backup 1", 4), of("restore 1", 3)}) == 3


def test_groups_add_up_and_the_newest_is_the_example() -> None:
    rows = [
        ("t", None, "E", "no 1", 2, 1, 100, 500, 7),
        ("t", None, "E", "no 2", 1, 1, 50, 300, 9),
        ("t", None, "E", "other", 1, 0, 60, 60, 8),
    ]
    first, second = grouped(rows)
    assert (first.jobs, first.failed, first.first_seen, first.last_seen, first.example) == (3, 2, 50, 500, 9)
    assert (first.message, second.message) == ("no 2", "other")
    assert grouped([]) == []


def test_a_command_is_shown_though_its_json_was_cut() -> None:
    (shown,) = grouped([("command", '{"command": "tar czf /bac', "ExitStatus", "exit status 2", 1, 1, 1, 1, 1)])
    assert shown.command == "tar czf /bac"
