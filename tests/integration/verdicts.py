"""Check what must hold after a storm: nothing is lost, stuck, doubled, unexplained or out of order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

from tests.integration.running import Queue
from tests.integration.storm import Execution

KILLED = "job process killed: SIGKILL"
CUT_OFF = "could not renew the lease"
LEASE_ENDED = "job process lost: the lease of its runner"
ANSWER_LOST = "job process lost: its runner knows nothing of this attempt"
"""The error if the database server died between the COMMIT of a claim and the answer."""


def nothing_is_lost_or_stuck(queue: Queue, expected: dict[int, str]) -> None:
    states = {row["id"]: row["state"] for row in queue.rows()}
    both = states.keys() | expected.keys()
    wrong = {job: (states.get(job), expected.get(job)) for job in both if states.get(job) != expected.get(job)}
    assert wrong == {}, "is, and should be"
    assert queue.settled()
    assert not queue.rows("unique_key IS NOT NULL")


def every_run_is_explained(
    queue: Queue, executions: dict[int, list[Execution]], *, deaths: tuple[str, ...] = (KILLED,)
) -> None:
    """Check that each attempt beyond the first has a row for each one before it that explains it."""
    history = explanations(queue, deaths)
    cut = 0
    for row in queue.rows("state <> 'cancelled'"):
        runs, explained = executions[row["id"]], history[row["id"]]
        last = row["attempt"]
        assert runs, f"job {row['id']} is {row['state']} and never ran"
        assert set(explained) == set(range(1, last + (row["state"] == "failed")))
        assert {run.attempt for run in runs} - set(explained) <= {last}
        assert row["crashes"] == sum(why.startswith(KILLED) and CUT_OFF not in why for why in explained.values())
        for run in {run.attempt: run for run in runs}.values():
            cut += run.ended is not None and explained.get(run.attempt, "").startswith(KILLED)
            assert run.ended is not None or explained[run.attempt].startswith(deaths)
    assert cut <= max(3, len(queue.rows()) / 100), f"{cut} attempts ran again though their code had come to its end"


def explanations(queue: Queue, deaths: tuple[str, ...]) -> dict[int, dict[int, str]]:
    """Return, by job and attempt, the class of the error, or the message about its death."""
    history: dict[int, dict[int, str]] = defaultdict(dict)
    for job, number, error, message in queue.sql(
        "SELECT job_id, number, error_class, error_message FROM cronq_attempts"
    ):
        assert number not in history[job], f"job {job} has two rows for attempt {number}"
        assert error in {"Broken", "Fail"} or (error == "ExecutorDied" and message.startswith(deaths)), message
        history[job][number] = message if error == "ExecutorDied" else error
    return history


def groups_take_turns(queue: Queue, executions: dict[int, list[Execution]]) -> None:
    """Check that no two jobs of a group ran at once, and that those alike in queue and priority ran in order."""
    groups: dict[str, list[Execution]] = defaultdict(list)
    alike: dict[tuple[str, str, int], list[Execution]] = defaultdict(list)
    forgotten = begun_anew(queue)
    for row in queue.rows("job_group IS NOT NULL"):
        runs = executions[row["id"]]
        groups[row["job_group"]] += runs
        alike[row["job_group"], row["queue"], row["priority"]] += without(forgotten, runs)
    for runs in groups.values():
        apart(runs)
    for runs in alike.values():
        in_order(runs)


def twins_never_meet(queue: Queue, executions: dict[int, list[Execution]]) -> None:
    """Check that jobs of one unique key ran one after the other, each until it had ended."""
    keys: dict[str, list[Execution]] = defaultdict(list)
    for row in queue.rows("job_key IS NOT NULL"):
        keys[row["job_key"]] += executions[row["id"]]
    for runs in keys.values():
        apart(runs)
        in_order(runs)


def begun_anew(queue: Queue) -> set[tuple[int, int]]:
    """Return the jobs and attempts whose progress was unknown when their leases ended.

    Of a group whose jobs were handed over together, all run again from the first.
    """
    sql = "SELECT job_id, number FROM cronq_attempts WHERE error_message LIKE ?"
    return {(job, number) for job, number in queue.sql(sql, f"{LEASE_ENDED}%")}


def without(forgotten: set[tuple[int, int]], runs: Iterable[Execution]) -> list[Execution]:
    return [run for run in runs if (run.job, run.attempt) not in forgotten]


def apart(runs: Iterable[Execution]) -> None:
    latest: Execution | None = None
    for run in sorted(runs, key=lambda run: run.begun):
        if latest is not None:
            assert (latest.ended or latest.begun) < run.begun, f"{latest} and {run} at once"
        latest = run


def in_order(runs: Iterable[Execution]) -> None:
    by_time = sorted(runs, key=lambda run: run.begun)
    overtaken = [(before, run) for before, run in pairwise(by_time) if before.job > run.job]
    assert not overtaken, f"ran after a later one of its group: {overtaken}"
