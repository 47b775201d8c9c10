"""What people do to jobs: retry, cancel, clear."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cronq.errors import InvalidInput
from cronq.model.job import Failure
from cronq.model.selection import Selection
from cronq.store import Store
from cronq.testing import ManualClock
from tests.contract.steps import claim, end, later, new, put, states, stored

NO_ERROR = {"success", "warning"}


def test_retry_gives_a_fresh_budget_and_keeps_the_history(store: Store, clock: ManualClock) -> None:
    (job_id,) = put(store, new(max_attempts=1))
    end(store, claim(store)[0], "error")
    assert store.admin.retry([job_id, job_id + 1]) == [job_id]
    job = stored(store, job_id)
    assert (job.state, job.attempt, job.finished_at, job.error, job.outcome) == ("ready", 0, None, None, None)
    clock.advance(1)
    end(store, claim(store)[0], "error")
    assert [attempt.number for attempt in store.jobs.attempts(job_id)] == [1, 2]
    assert stored(store, job_id).state == "failed"
    assert store.admin.retry([job_id]) == [job_id]
    assert store.admin.retry([job_id]) == []


def test_retry_is_refused_while_a_twin_is_unfinished(store: Store) -> None:
    first, plain = put(store, new(key="k", unique=True), new())
    for job in claim(store):
        end(store, job)
    (twin,) = put(store, new(key="k", unique=True))
    with pytest.raises(InvalidInput, match=f"job {first} can't be retried: job {twin} with the same unique key 'k'"):
        store.admin.retry([plain, first])
    assert states(store, [first, plain, twin]) == ["finished", "finished", "ready"]
    store.admin.cancel([twin])
    assert store.admin.retry([first]) == [first]
    assert store.enqueue([new(key="k", unique=True)]) == [(first, True)]


def retry_named(store: Store, ids: list[int]) -> list[int]:
    return store.admin.retry(ids)


def retry_selected(store: Store, ids: list[int]) -> list[int]:
    return store.admin.retry_all_but_twins(ids).changed


@pytest.mark.parametrize("retry", [retry_named, retry_selected])
def test_an_attempt_before_a_retry_stays_in_the_history_once(
    store: Store, clock: ManualClock, retry: Callable[[Store, list[int]], list[int]]
) -> None:
    kinds = (("success", ""), ("warning", ""), ("error", "fail"), ("", "skip"), ("crashed", "cancel"))
    ids = put(store, *(new(priority=number) for number in range(6)))
    for job, (kind, verdict) in zip(claim(store, len(kinds), worker="first"), kinds, strict=True):
        end(
            store, job, kind, verdict, stdout=f"said by {job.id}", error=None if kind in NO_ERROR else Failure("E", "e")
        )
    store.admin.cancel(ids[5:])
    begun = [stored(store, job_id).started_at for job_id in ids[:5]]
    assert retry(store, ids) == ids
    assert retry(store, ids) == []
    told = [store.jobs.attempts(job_id) for job_id in ids]
    assert [len(one) for one in told] == [1, 1, 1, 1, 1, 0]
    assert [one.outcome for (one,) in told[:5]] == ["success", "warning", "error", "cancelled", "crashed"]
    assert [one.started_at for (one,) in told[:5]] == begun
    assert [(one.number, one.stdout) for (one,) in told[:5]] == [(1, f"said by {job_id}") for job_id in ids[:5]]
    assert told[0][0].worker == "first"
    clock.advance(1)
    for job in claim(store, worker="second"):
        end(store, job)
    retry(store, ids)
    again = [store.jobs.attempts(job_id) for job_id in ids]
    assert [[one.number for one in attempts] for attempts in again] == [[1, 2]] * 5 + [[1]]
    assert [attempts[-1].worker for attempts in again] == ["second"] * 6


@pytest.mark.parametrize("retry", [retry_named, retry_selected])
def test_retry_makes_what_is_not_due_yet_due_and_keeps_its_attempts(
    store: Store, retry: Callable[[Store, list[int]], list[int]]
) -> None:
    broken, asleep, ready, running = put(store, *(new(priority=number) for number in range(4)))
    first, second, third, _ = claim(store)
    end(store, first, "error")
    end(store, second, "snoozed", "snooze", delay=600.0)
    store.release([third])
    scheduled, never = put(store, new(available_at=later(store, 3600)), new(available_at=later(store, 3600)))
    everything = [broken, asleep, ready, running, scheduled]
    assert states(store, everything) == ["retrying", "waiting", "ready", "running", "scheduled"]
    assert retry(store, everything) == [broken, asleep, scheduled]
    assert states(store, [*everything, never]) == ["ready", "ready", "ready", "running", "ready", "scheduled"]
    assert [stored(store, job_id).attempt for job_id in (broken, asleep, scheduled)] == [1, 0, 0]
    assert (stored(store, asleep).snoozes, stored(store, broken).outcome) == (1, "error")
    assert sorted(job.id for job in claim(store)) == [broken, asleep, ready, scheduled]


def test_retry_of_a_job_whose_group_is_held_leaves_it_blocked(store: Store) -> None:
    holder, following = put(store, new(group="g"), new(group="g", available_at=later(store, 60)))
    (held,) = claim(store)
    assert store.admin.retry([following]) == [following]
    assert states(store, [holder, following]) == ["running", "blocked"]
    end(store, held, "error")
    assert states(store, [holder, following]) == ["retrying", "blocked"]
    assert store.admin.retry([holder]) == [holder]
    assert [job.id for job in claim(store)][:1] == [holder]


def test_cancel_what_is_not_running(store: Store) -> None:
    ready, running, scheduled, failed = put(
        store, new(priority=9), new(priority=1), new(available_at=later(store, 9)), new(priority=2)
    )
    _, broken = claim(store, 2)
    end(store, broken, "error", "fail")
    everything = [ready, running, scheduled, failed]
    assert store.admin.cancel(everything, reason="by hand") == [ready, scheduled, failed]
    assert states(store, everything) == ["cancelled", "running", "cancelled", "cancelled"]
    error = stored(store, ready).error
    assert error is not None
    assert (error.kind, error.message) == ("Cancelled", "by hand")
    assert store.admin.cancel(everything) == []


def test_a_cancelled_job_retried_finishes_without_an_error(store: Store) -> None:
    (job_id,) = put(store, new())
    store.admin.cancel([job_id], reason="by hand")
    store.admin.retry([job_id])
    end(store, claim(store)[0])
    assert (stored(store, job_id).state, stored(store, job_id).error) == ("finished", None)


def test_clear_goes_by_the_end_not_by_the_creation(store: Store, clock: ManualClock) -> None:
    old, late = put(store, new(), new())
    jobs = claim(store)
    end(store, jobs[0])
    clock.advance(3600)
    end(store, jobs[1])
    assert list(store.admin.clear(["finished"], older_than=1800)) == [1]
    assert store.jobs.ids(Selection()) == [late]
    assert store.jobs.get(old) is None


def test_clear_leaves_other_states_and_what_is_unfinished(store: Store, clock: ManualClock) -> None:
    ids = put(store, *(new(priority=number) for number in range(5)))
    finished, failed, retrying, running = claim(store, 4)
    end(store, finished)
    end(store, failed, "error", "fail")
    end(store, retrying, "error")
    clock.advance(99)
    assert sum(store.admin.clear(["finished", "ready", "running", "retrying"])) == 1
    assert store.jobs.ids(Selection()) == ids[1:]
    assert sum(store.admin.clear(["failed", "cancelled"])) == 1
    assert store.jobs.attempts(failed.id) == []
    assert len(store.jobs.attempts(retrying.id)) == 1
    assert stored(store, running.id).state == "running"


def test_clear_works_in_batches(store: Store, clock: ManualClock) -> None:
    ids = put(store, *[new()] * 2300)
    store.admin.cancel(ids)
    clock.advance(1)
    assert list(store.admin.clear(["cancelled"])) == [1000, 1000, 300]


def test_find_selects_by_every_field_newest_first(store: Store) -> None:
    ids = put(store, new("a", queue="q"), new("b", queue="q", key="k"), new("b", group="g"), new("b"))
    assert [job.id for job in store.jobs.find(Selection())] == ids[::-1]
    assert [job.id for job in store.jobs.find(Selection(), limit=2)] == ids[:1:-1]
    assert store.jobs.ids(Selection(queues=("q",))) == ids[:2]
    assert store.jobs.ids(Selection(tasks=("b",), queues=("q",))) == [ids[1]]
    assert store.jobs.ids(Selection(groups=("g",))) == [ids[2]]
    assert store.jobs.ids(Selection(keys=("k",))) == [ids[1]]
    assert store.jobs.ids(Selection(ids=(ids[0], 99))) == [ids[0]]
    assert store.jobs.ids(Selection(states=frozenset({"running"}))) == []
    assert store.jobs.counts() == [("default", "ready", 2), ("q", "ready", 2)]
    assert store.jobs.get(2**70) is None


def test_jobs_like_others(store: Store) -> None:
    plain, full = put(
        store,
        new("a", args='{"n":1}'),
        new(
            "b", queue="q", priority=7, available_at=later(store, 60), key="k", unique=True, group="g", max_attempts=3,
            time_limit=5.0, event="e", retry='{"base":1}',
        ),
    )  # fmt: skip
    like = store.jobs.as_new([full, plain, 99])
    assert like == {
        plain: new("a", args='{"n":1}'),
        full: new(
            "b", queue="q", priority=7, key="k", unique=True, group="g", max_attempts=3, time_limit=5.0, event="e",
            retry='{"base":1}',
        ),
    }  # fmt: skip
    assert [enqueued.existing for enqueued in store.enqueue(list(like.values()))] == [False, True]
