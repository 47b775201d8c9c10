from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cronq.model.job import Attempt, Failure, Job

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
DOCUMENTED = """
    id queue task args command state priority key group unique event attempt max_attempts snoozes crashes created_at
    available_at started_at finished_at duration outcome error host pid worker time_limit retry blocked_by result
    notes warnings peak_memory cpu_time schedule scheduled_for progress
"""


def job(**fields: object) -> Job:
    known = dict.fromkeys(Job._fields)
    return Job(**{**known, "id": 1, "state": "ready", "warnings": (), **fields})


def test_every_documented_field_is_there_in_its_order() -> None:
    assert list(job().to_json()) == DOCUMENTED.split()


def test_a_job_is_a_value() -> None:
    one = job(args={"n": 1})
    assert one == job(args={"n": 1}) != one._replace(queue="q")
    assert len({one, job(args={"n": 1})}) == 1
    assert one != 1


def test_what_is_known_later_is_asked_for_when_it_is_looked_at() -> None:
    asked = []

    def fields() -> dict[str, Any]:
        asked.append("once")
        return job(id=7, queue="q", priority=3)._asdict()

    known = Job.known_later(7, fields)
    assert (known.id, hasattr(known, "colour"), len(asked)) == (7, False, 0)
    assert (known.queue, known.priority, len(asked)) == ("q", 3, 1)
    assert known == job(id=7, queue="q", priority=3)


def test_times_end_in_z_and_unknown_is_null() -> None:
    shown = job(created_at=NOON, started_at=NOON, finished_at=NOON + timedelta(seconds=1.5)).to_json()
    assert shown["created_at"] == "2026-01-02T12:00:00.000000Z"
    assert (shown["duration"], shown["outcome"], shown["error"]) == (1.5, None, None)


def test_no_duration_is_negative() -> None:
    assert job(started_at=NOON, finished_at=NOON - timedelta(days=1)).duration == 0


def test_no_duration_without_an_end() -> None:
    assert job(started_at=NOON).duration is None


def test_error_is_class_and_message() -> None:
    assert job(error=Failure("ValueError", "no", "Traceback")).to_json()["error"] == {
        "class": "ValueError",
        "message": "no",
    }


def test_an_attempt_shows_its_traceback() -> None:
    attempt = Attempt(
        2, "error", NOON, None, "host", 7, Failure("E", "m", "t", "shop.E"), 3, "SIGTERM", "out", "err", "w"
    )
    assert attempt.to_json() == {
        "number": 2,
        "outcome": "error",
        "started_at": "2026-01-02T12:00:00.000000Z",
        "finished_at": None,
        "host": "host",
        "pid": 7,
        "worker": "w",
        "error": {"class": "E", "path": "shop.E", "message": "m", "traceback": "t"},
        "exit_status": 3,
        "signal": "SIGTERM",
    }
