"""Rows that were damaged or written by hand: shown as what they are, and no other job suffers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.test_damage import SHOWN
from tests.integration.running import Queue

DIGITS = "9" * 5000

FAILING: list[tuple[str, Any, str]] = [
    ("args", "no json", "the arguments can't be read: "),
    ("args", "[1]", "the arguments can't be read: "),
    ("args", f'{{"a":{DIGITS}}}', "the arguments can't be read: "),
    ("args", "[" * 3000, "the arguments can't be read: "),
    ("retry", "{", "the job's own retry settings can't be read: "),
    ("retry", '{"base":"x"}', "the job's own retry settings can't be read: base: 'x' can't be used"),
    ("retry", '{"nosuch":1}', "the job's own retry settings can't be read: nosuch: 1 can't be used"),
    ("retry", "[1]", "the job's own retry settings can't be read: "),
]
"""Column, what stands in it, and what the job fails with."""

UNTYPED: list[tuple[str, Any]] = [
    ("time_limit", "soon"), ("time_limit", -5), ("time_limit", DIGITS), ("created_at", "yesterday"),
    ("available_at", DIGITS), ("available_at", "soon"), ("priority", "first"), ("pid", "x"), ("host", b"\xff"),
    ("attempt", "x"), ("cpu_time", "x"), ("max_attempts", 5.5),
    *((name, b"\xff") for name in ("queue", "state", "task", "job_group", "job_key", "event", "error_class")),
]  # fmt: skip
"""What only SQLite lets into a column."""


def test_such_a_job_alone_fails(queue: Queue) -> None:
    failing = {queue.put("nothing"): case for case in FAILING}
    command = queue.command("true")
    shown = [queue.put("nothing") for _ in (*SHOWN, *UNTYPED)]
    unknown, healthy = queue.put("nothing"), queue.put("record", {"word": "done"})
    for job, (column, value, _) in failing.items():
        _damage(queue, job, column, value)
    _damage(queue, command, "args", '{"command":5}')
    for job, (column, value, *_) in zip(shown, (*SHOWN, *UNTYPED), strict=True):
        _damage(queue, job, column, value)
    _damage(queue, unknown, "state", "bogus")
    assert queue.run().status == 0
    assert queue.recorded() == ["done"]
    assert queue.state(healthy) == "finished"
    for job, (_, _, said) in failing.items():
        row = queue.row(job)
        assert (row["state"], row["attempt"]) == ("failed", 1)
        assert row["error_message"].startswith(said)
    assert queue.row(command)["error_message"] == 'the arguments hold no command: {"command":5}'
    for line in ("ls", "ls --json", "ls --state bogus", f"show {shown[0]}", f"why {shown[0]}", f"why {unknown}",
                    f"cancel {unknown}", "status", "errors", "metrics", "doctor -q", "health",
                    "top --once"):  # fmt: skip
        ran = queue.project.cronq(*line.split())
        assert "internal error" not in ran.stderr + ran.stdout, (line, ran)
    assert queue.settled()


def _damage(queue: Queue, job: int, column: str, value: Any) -> None:
    queue.sql(f"UPDATE cronq_jobs SET {column} = ? WHERE id = ?", value, job)


@pytest.mark.parametrize("column", ["args", "task", "queue", "job_key", "event"])
def test_a_text_that_is_not_utf8_hides_no_other_job(queue: Queue, column: str) -> None:
    damaged, healthy = queue.put("nothing"), queue.put("record", {"word": "done"})
    queue.sql(f"UPDATE cronq_jobs SET {column} = CAST(X'7BFF' AS TEXT) WHERE id = ?", damaged)
    for command in ("ls", f"show {damaged}", "run", f"why {damaged}"):
        ran = queue.project.cronq(*command.split())
        assert ran.status == 0, (command, ran)
    assert queue.recorded() == ["done"]
    assert queue.sql("SELECT state FROM cronq_jobs WHERE id = ?", healthy) == [("finished",)]
    assert "\\xff" in queue.project.cronq("show", str(damaged)).stdout


@pytest.mark.parametrize(
    ("column", "value", "named", "mended"),
    [
        ("job_group", b"ab", "group can't be read (it is no text but bytes): ab", "--no-group"),
        ("job_group", b"ab", "group can't be read (it is no text but bytes): ab", "--group g"),
        ("queue", b"ab", "queue can't be read (it is no text but bytes): ab", "--queue mail"),
        ("priority", "first", "priority can't be read (it is no whole number): first", "--priority 50"),
    ],
)
def test_a_job_that_no_runner_claims_is_named_with_the_way_out(
    queue: Queue, column: str, value: Any, named: str, mended: str
) -> None:
    job = queue.command("true")
    assert "no runner takes it" not in queue.project.cronq("doctor").stdout
    _damage(queue, job, column, value)
    queue.run()
    said = queue.project.done("why", job)
    option = "--no-group" if column == "job_group" else mended.replace("mail", "NAME")
    assert f"no runner takes it: {named}; `cronq edit {job} {option}` puts that right" in said
    doctor = queue.project.cronq("doctor")
    assert (doctor.status, f"PROBLEM jobs: job {job}: no runner takes it" in doctor.stdout) == (1, True), doctor
    queue.project.done("edit", job, *mended.split())
    queue.run()
    assert queue.state(job) == "finished"
