"""kill -9 of runners and children at random moments: nothing is lost, stuck, doubled or out of order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import pytest

from tests.integration.running import Queue
from tests.integration.storm import Execution, Storm


@pytest.mark.parametrize(("kills", "jobs"), [pytest.param(200, 5000, marks=pytest.mark.slow), pytest.param(20, 500)])
def test_a_storm_of_kills(queue: Queue, kills: int, jobs: int) -> None:
    storm = Storm(queue, seed=kills)
    try:
        storm.blow(kills, jobs)
        storm.calm_down()
    finally:
        storm.stop()
    assert sum(storm.kills.values()) == kills
    assert storm.complaints() == ""
    executions = storm.executions()
    nothing_is_lost_or_stuck(queue, storm.expected)
    every_run_is_explained(queue, executions)
    groups_take_turns(queue, executions)
    twins_never_meet(queue, executions)
    assert queue.healthy()
    assert queue.left_running() == []


def nothing_is_lost_or_stuck(queue: Queue, expected: dict[int, str]) -> None:
    assert {row["id"]: row["state"] for row in queue.rows()} == expected
    assert queue.settled()
    assert not queue.rows("unique_key IS NOT NULL")


def every_run_is_explained(queue: Queue, executions: dict[int, list[Execution]]) -> None:
    """An attempt beyond the first has a row for each before it that says why there was another."""
    history: dict[int, dict[int, str]] = defaultdict(dict)
    for job, number, error, message in queue.sql(
        "SELECT job_id, number, error_class, error_message FROM cronq_attempts"
    ):
        assert number not in history[job], f"job {job} has two rows for attempt {number}"
        assert error in {"ExecutorDied", "Broken", "Fail"}, message
        if error == "ExecutorDied":
            assert message.startswith("executor died: SIGKILL"), message
        history[job][number] = error
    cut = 0
    for row in queue.rows():
        runs, explained = executions[row["id"]], history[row["id"]]
        last = row["attempt"]
        assert runs, f"job {row['id']} is {row['state']} and never ran"
        assert set(explained) == set(range(1, last + (row["state"] == "failed")))
        assert {run.attempt for run in runs} - set(explained) <= {last}
        assert row["crashes"] == list(explained.values()).count("ExecutorDied")
        for run in runs:
            cut += explained.get(run.attempt) == "ExecutorDied" and run.ended is not None
            assert run.ended is not None or explained[run.attempt] == "ExecutorDied"
    assert cut <= len(queue.rows()) / 100, f"{cut} attempts ran again though their code had come to its end"


def groups_take_turns(queue: Queue, executions: dict[int, list[Execution]]) -> None:
    """No two of a group at once; those alike in queue and priority one after the other, retries included."""
    groups: dict[str, list[Execution]] = defaultdict(list)
    alike: dict[tuple[str, str, int], list[Execution]] = defaultdict(list)
    for row in queue.rows("job_group IS NOT NULL"):
        runs = executions[row["id"]]
        groups[row["job_group"]] += runs
        alike[row["job_group"], row["queue"], row["priority"]] += runs
    for runs in groups.values():
        apart(runs)
    for runs in alike.values():
        order = [run.job for run in sorted(runs, key=lambda run: run.begun)]
        assert order == sorted(order)


def twins_never_meet(queue: Queue, executions: dict[int, list[Execution]]) -> None:
    """Jobs of one unique key run one after the other, each until it has ended."""
    keys: dict[str, list[Execution]] = defaultdict(list)
    for row in queue.rows("job_key IS NOT NULL"):
        keys[row["job_key"]] += executions[row["id"]]
    for runs in keys.values():
        apart(runs)
        order = [run.job for run in sorted(runs, key=lambda run: run.begun)]
        assert order == sorted(order)


def apart(runs: Iterable[Execution]) -> None:
    latest: Execution | None = None
    for run in sorted(runs, key=lambda run: run.begun):
        if latest is not None:
            assert (latest.ended or latest.begun) < run.begun, f"{latest} and {run} at once"
        latest = run
