"""Jobs of one group run one at a time, in the order of the line."""

from __future__ import annotations

import pytest

from cronq.model.retry import Policy
from cronq.model.selection import Filter
from cronq.store import Store
from cronq.testing import ManualClock
from tests.contract.steps import claim, claimed_ids, end, ending, finish, later, new, outcome, put, states, stored

HOLD = Policy(jitter=0.0, group_on_failed="hold")


def group_of(store: Store, size: int) -> list[int]:
    return put(store, *[new(group="g")] * size)


def test_one_holds_and_followers_of_the_claim_step_up(store: Store, other: Store) -> None:
    one, two, three, four = group_of(store, 4)
    jobs = claim(store, 3)
    assert [(job.id, job.state) for job in jobs] == [(one, "running"), (two, "blocked"), (three, "blocked")]
    assert states(store, [one, two, three, four]) == ["running", "blocked", "blocked", "blocked"]
    assert claimed_ids(other, worker="other") == []
    assert stored(store, four).blocked_by == one
    end(store, jobs[0])
    assert states(store, [one, two, three, four]) == ["finished", "running", "blocked", "blocked"]
    assert stored(store, four).blocked_by == two
    finish(store, jobs[1:])
    assert states(store, [two, three, four]) == ["finished", "finished", "ready"]
    assert claimed_ids(other, worker="other") == [four]


def test_two_workers_never_have_one_group(store: Store, other: Store) -> None:
    group_of(store, 2)
    put(store, new(group="h"))
    (mine,) = claim(store, 1)
    theirs = claim(other, worker="other")
    assert (mine.group, [job.group for job in theirs]) == ("g", ["h"])


@pytest.mark.parametrize(("kind", "verdict", "state"), [("error", "", "retrying"), ("snoozed", "snooze", "waiting")])
def test_a_holder_that_comes_again_keeps_the_others_blocked(
    store: Store, clock: ManualClock, kind: str, verdict: str, state: str
) -> None:
    ids = group_of(store, 3)
    holder, follower = claim(store, 2)
    end(store, holder, kind, verdict, delay=30.0)
    store.release([follower])
    assert states(store, ids) == [state, "blocked", "blocked"]
    assert claimed_ids(store) == []
    assert stored(store, ids[1]).attempt == 0
    clock.advance(30)
    store.leases.promote(clock.now())
    (holder,) = claim(store)
    assert holder.id == ids[0]
    end(store, holder)
    assert claimed_ids(store) == ids[1:]


def test_a_failed_holder_frees_the_group(store: Store) -> None:
    ids = group_of(store, 2)
    end(store, claim(store, 1)[0], "error", "fail")
    assert states(store, ids) == ["failed", "ready"]


def test_hold_keeps_the_group_until_the_failed_job_is_retried(store: Store) -> None:
    ids = group_of(store, 2)
    end(store, claim(store, 1)[0], "error", "fail", policy=HOLD)
    assert states(store, ids) == ["failed", "blocked"]
    assert stored(store, ids[1]).blocked_by == ids[0]
    assert store.admin.retry(ids[:1]) == ids[:1]
    assert claimed_ids(store) == ids


def test_hold_keeps_the_group_until_the_failed_job_is_cancelled(store: Store) -> None:
    ids = group_of(store, 2)
    end(store, claim(store, 1)[0], "error", "fail", policy=HOLD)
    assert store.admin.cancel(ids[:1]) == ids[:1]
    assert states(store, ids) == ["cancelled", "ready"]


def test_a_failed_holder_is_not_cleared_away(store: Store, clock: ManualClock) -> None:
    ids = group_of(store, 2)
    end(store, claim(store, 1)[0], "error", "fail", policy=HOLD)
    clock.advance(1)
    assert list(store.admin.clear(["failed"])) == []
    assert states(store, ids) == ["failed", "blocked"]


@pytest.mark.parametrize("how", ["retrying", "ready"])
def test_a_cancelled_holder_frees_the_group(store: Store, how: str) -> None:
    ids = group_of(store, 2)
    (holder,) = claim(store, 1)
    if how == "retrying":
        end(store, holder, "error")
    else:
        store.release([holder])
    assert store.admin.cancel(ids[:1]) == ids[:1]
    assert states(store, ids) == ["cancelled", "ready"]


def test_a_scheduled_job_blocks_no_other_and_is_blocked_when_it_comes(store: Store, clock: ManualClock) -> None:
    (future,) = put(store, new(group="g", available_at=later(store, 60)))
    (due,) = group_of(store, 1)
    assert claimed_ids(store) == [due]
    clock.advance(60)
    store.leases.promote(clock.now())
    assert states(store, [future]) == ["blocked"]


def test_the_best_in_line_comes_next(store: Store) -> None:
    group_of(store, 2)
    (holder,) = claim(store, 1)
    (urgent,) = put(store, new(group="g", priority=1))
    end(store, holder)
    assert states(store, [urgent]) == ["ready"]
    assert claimed_ids(store, 1) == [urgent]


def test_a_claim_given_back_is_as_before(store: Store) -> None:
    ids = group_of(store, 3)
    store.release(claim(store, 2))
    assert states(store, ids) == ["ready", "blocked", "blocked"]
    assert [stored(store, job_id).attempt for job_id in ids] == [0, 0, 0]
    assert store.leases.owners() == []
    assert claimed_ids(store) == ids


def test_whoever_is_rescued_without_knowledge_keeps_the_line(store: Store) -> None:
    """On another host it isn't known which of the claimed ones had begun: all may have."""
    ids = group_of(store, 3)
    jobs = claim(store, 2)
    assert store.settle([ending(job, outcome(store, "crashed", "rescue")) for job in jobs]) == []
    assert claimed_ids(store) == ids


def test_a_chain_whose_middle_fails(store: Store) -> None:
    ids = group_of(store, 4)
    jobs = claim(store, 3)
    store.settle([ending(jobs[0], outcome(store)), ending(jobs[1], outcome(store, "error"))])
    store.release([jobs[2]])
    assert states(store, ids) == ["finished", "retrying", "blocked", "blocked"]
    assert stored(store, ids[2]).blocked_by == ids[1]


def test_other_queues_and_priorities_of_a_group_wait_for_their_own_runner(store: Store) -> None:
    one, two = put(store, new(group="g", queue="a"), new(group="g", queue="b"))
    jobs = claim(store, wanted=Filter(("a",)))
    assert [job.id for job in jobs] == [one]
    end(store, jobs[0])
    assert claimed_ids(store, wanted=Filter(("b",))) == [two]


def test_the_first_of_a_group_is_first_also_where_many_claim_at_once(store: Store) -> None:
    first, _ = ([*put(store, *[new(group=f"g{number}") for number in range(8)])] for _ in range(2))
    store._claimer.slices.slices = 16
    assert sorted(job for _ in range(8) for job in claimed_ids(store, 1)) == first


def test_jobs_of_another_queue_hide_none_of_the_group(store: Store) -> None:
    ours = Filter(("ours",))
    put(store, new(group="g", queue="ours"), *[new(group="g", queue="theirs")] * 3)
    (one,) = put(store, new(group="g", queue="ours"))
    finish(store, claim(store, 1, wanted=ours))
    (two,) = put(store, new(group="g", queue="ours"))
    assert claimed_ids(store, 2, wanted=ours) == [one, two]
