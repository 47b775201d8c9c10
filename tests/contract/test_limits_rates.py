"""Limits with a rate: no more starts in any period, however an attempt ends."""

from __future__ import annotations

import pytest

from cronq.model.dependencies import After
from cronq.model.limits import Bounds, Limit
from cronq.store import Lease, Store
from cronq.testing import ManualClock
from tests.contract.limit_steps import STRIPE, counts, loose_ends, mails
from tests.contract.steps import ALL, claim, claimed_ids, end, finish, new, put, states


def test_no_more_starts_than_the_rate(store: Store, clock: ManualClock) -> None:
    ids = mails(store, 7, STRIPE)
    assert counts(store, ids) == {"pending": 4, "ready": 3}
    finish(store, claim(store))
    assert counts(store, ids) == {"finished": 3, "pending": 4}
    assert store.open_rates() == 0
    opening = store.next_opening()
    assert opening is not None
    assert 8_000_000 <= opening - clock.now() <= 10_000_000
    clock.advance(11)
    assert store.open_rates() == 3
    assert counts(store, ids) == {"finished": 3, "pending": 1, "ready": 3}


def test_what_was_let_in_earlier_cannot_burst(store: Store, clock: ManualClock) -> None:
    ids = mails(store, 7, STRIPE)
    clock.advance(3600)
    store.keep_limits()
    store.open_rates()
    assert len(claim(store)) == 3
    assert counts(store, ids) == {"pending": 4, "running": 3}
    store.keep_limits()
    assert claim(store) == []
    clock.advance(5)
    store.keep_limits()
    assert claim(store) == []
    clock.advance(6)
    store.keep_limits()
    assert len(claim(store)) == 3


def test_long_running_jobs_count_once(store: Store, clock: ManualClock) -> None:
    mails(store, 7, STRIPE)
    assert len(claim(store)) == 3
    for _ in range(2):
        clock.advance(10.1)
        store.keep_limits()
        store.open_rates()
        assert claim(store)
    assert len(store.leases.held_by("one")) == 7


def test_a_rate_and_places(store: Store, clock: ManualClock) -> None:
    both = Limit("both", "both", Bounds(2, 3, 10_000_000))
    ids = mails(store, 6, both)
    assert counts(store, ids) == {"pending": 4, "ready": 2}
    finish(store, claim(store))
    assert counts(store, ids) == {"finished": 2, "pending": 3, "ready": 1}
    finish(store, claim(store))
    assert claim(store) == []
    clock.advance(11)
    store.open_rates()
    assert len(claim(store)) == 2


HOURLY = Limit("hourly", "hourly", Bounds(None, 3, 3_600_000_000))


def test_a_start_counts_from_when_the_claim_is_written(store: Store, other: Store, clock: ManualClock) -> None:
    """A claim may wait for the write lock while another process lets jobs in."""
    waiting = Lease("one", now=clock.now(), seconds=3600)
    clock.advance(5)
    ids = mails(other, 7, STRIPE)
    assert [job.id for job in store.claim(ALL, waiting, limit=2)] == ids[:2]
    store.claim_one(ids[2], waiting)
    clock.advance(5.1)
    other.open_rates()
    other.keep_limits()
    assert claim(store) == []
    assert counts(store, ids) == {"pending": 4, "running": 3}
    clock.advance(5)
    assert other.open_rates() == 3


@pytest.mark.parametrize("ending", [("crashed", "rescue"), ("crashed", "interrupted"), ("", "release")])
def test_an_attempt_that_was_cut_off_counts_as_a_start(
    store: Store, other: Store, clock: ManualClock, ending: tuple[str, str]
) -> None:
    ids = mails(store, 4, HOURLY)
    for job in claim(store, worker="dead"):
        end(other, job, *ending)
    assert counts(store, ids) == {"pending": 4}
    assert (claim(store), other.open_rates(), other.keep_limits()) == ([], 0, 0)
    assert 3_500_000_000 < (store.next_opening() or 0) - clock.now() <= 3_600_000_000
    clock.advance(3601)
    assert store.open_rates() == 3
    assert claimed_ids(store) == ids[:3]


def test_one_that_was_cut_off_starts_again_at_once_if_the_rate_allows_it(store: Store) -> None:
    ids = mails(store, 2, HOURLY, group="g")
    [parent, after] = put(store, new(limit=HOURLY), new(after=(After(0, here=True),)))
    for job in claim(store):
        if job.id == parent:
            finish(store, [job])
        else:
            end(store, job, "crashed", "rescue")
    assert states(store, [*ids, parent, after]) == ["ready", "pending", "finished", "ready"]
    assert claimed_ids(store) == [ids[0], after]


def test_a_claim_that_is_given_back_after_the_period_waits_for_another_start(
    store: Store, other: Store, clock: ManualClock
) -> None:
    """A runner that holds claims for longer than the rate's period dies: others were let in for them meanwhile."""
    [first] = mails(store, 1, STRIPE, group="g")
    mails(store, 8, STRIPE)
    held = claim(store, worker="dead")
    assert len(held) == 3
    clock.advance(11)
    assert other.open_rates() == 3
    other.release(held)
    assert states(store, [first]) == ["pending"]
    assert len(claim(store)) == 3
    assert (other.open_rates(), other.keep_limits(), claim(store)) == (0, 0, [])
    clock.advance(11)
    assert other.open_rates() == 3
    assert first in claimed_ids(store)
    assert loose_ends(store) == 0


def test_a_claim_that_is_given_back_at_once_starts_again_at_once(store: Store) -> None:
    ids = mails(store, 4, STRIPE)
    store.release(claim(store))
    assert counts(store, ids) == {"pending": 1, "ready": 3}
    assert claimed_ids(store) == ids[:3]
