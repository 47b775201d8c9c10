"""Rows that were damaged or written by hand are read: what can't be read of them is left out, and a warning says so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cronq.config.loader import Config
from cronq.model.selection import Selection
from cronq.monitoring.why import Facts, explain
from cronq.render.job_text import job_page
from cronq.storage.drivers.opening import open_database
from cronq.store import Store
from cronq.times import to_datetime
from tests.contract.steps import new, put, stored

DIGITS = "9" * 5000
BEYOND = 2**62

SHOWN: list[tuple[str, Any, str]] = [
    ("args", DIGITS, "arguments can't be read"),
    ("notes", "no json", "notes can't be read"),
    ("notes", "[1]", "notes can't be read"),
    ("warnings", "no json", "warnings can't be read"),
    ("warnings", "[1]", "warnings can't be read"),
    ("result", f"[{DIGITS}]", "result can't be read"),
    ("available_at", BEYOND, "available_at can't be read"),
    ("available_at", -BEYOND, "available_at can't be read"),
    ("started_at", BEYOND, "started_at can't be read"),
    ("created_at", BEYOND, "created_at can't be read"),
    ("scheduled_for", "at noon", "scheduled_for can't be read"),
]
"""Column, what stands in it, and what a warning says."""


@pytest.mark.parametrize(("column", "value", "said"), SHOWN)
def test_what_can_not_be_read_is_shown(store: Store, config: Config, column: str, value: Any, said: str) -> None:
    first, damaged, last = put(store, new(), new(), new())
    _write(config, damaged, column, value)
    assert [job.id for job in store.jobs.find(Selection())] == [last, damaged, first]
    job = stored(store, damaged)
    assert job.warnings[0].startswith(said)
    assert len(job.warnings[0]) < 300
    page = "\n".join(job_page(job, store.jobs.attempts(damaged), (None, None)))
    assert said in page
    assert json.loads(json.dumps(job.to_json()))["warnings"] == list(job.warnings)
    assert explain(job, Facts(now=to_datetime(store.clock.now()))).startswith(f"Job {damaged} ")


def test_a_state_that_cronq_does_not_know(store: Store, config: Config) -> None:
    (job_id,) = put(store, new())
    _write(config, job_id, "state", "bogus")
    job = stored(store, job_id)
    said = explain(job, Facts(now=to_datetime(store.clock.now())))
    assert said.startswith(f'Job {job_id} has the state "bogus", which cronq doesn\'t know: ')


def _write(config: Config, job: int, column: str, value: Any) -> None:
    database = open_database(config)
    database.execute(f"UPDATE cronq_jobs SET {column} = ? WHERE id = ?", (value, job))
    database.close()
