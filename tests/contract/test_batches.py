"""Batches: they end when they are closed and no member is outstanding, on every engine."""

from __future__ import annotations

from typing import Any

import pytest

from cronq.config.loader import Config
from cronq.errors import InvalidInput
from cronq.model.after import AFTER_END
from cronq.model.batch import CANCEL
from cronq.model.dependencies import After
from cronq.store import Store
from cronq.testing import ManualClock
from tests.contract.batch_steps import CALLBACKS, bits, callbacks, members, notes, opened, state
from tests.contract.steps import claim, end, finish, new, put, states, stored

# The end


def test_a_batch_ends_with_its_last_member(store: Store) -> None:
    batch = opened(store, *[new()] * 3)
    assert state(store, batch) == "running"
    jobs = claim(store)
    assert [job.id for job in jobs] == members(batch), "no callback is claimed before"
    finish(store, jobs[:2])
    assert state(store, batch) == "running"
    assert callbacks(store, batch) == ["pending"] * 3
    finish(store, jobs[2:])
    assert state(store, batch) == "finished"
    assert callbacks(store, batch) == ["ready", "cancelled", "ready"]
    assert store.batches.counts(batch.id) == {"finished": 3}
    assert notes(store) == 0


@pytest.mark.parametrize(
    ("ending", "outcome", "following"),
    [
        (("warning", ""), "finished", ["ready", "cancelled", "ready"]),
        (("", "skip"), "finished", ["ready", "cancelled", "ready"]),
        (("error", "fail"), "failed", ["cancelled", "ready", "ready"]),
        (("crashed", "cancel"), "cancelled", ["cancelled", "cancelled", "ready"]),
        (("error", ""), "running", ["pending"] * 3),
        (("snoozed", "snooze"), "running", ["pending"] * 3),
        (("crashed", "rescue"), "running", ["pending"] * 3),
    ],
)
def test_what_the_end_of_a_member_means(
    store: Store, ending: tuple[str, str], outcome: str, following: list[str]
) -> None:
    batch = opened(store, new(), new())
    one, two = claim(store)
    extra: dict[str, Any] = {"delay": 60.0} if ending[1] == "snooze" else {}
    end(store, one, *ending, **extra)
    assert state(store, batch) == "running"
    finish(store, [two])
    assert state(store, batch) == outcome
    assert callbacks(store, batch) == following


def test_why_a_callback_does_not_come(store: Store) -> None:
    batch = opened(store, new())
    end(store, claim(store)[0], "error", "fail")
    error = stored(store, batch.callbacks[0].id).error
    assert error is not None
    assert error.message == f"batch {batch.id}, which it comes after, failed"


def test_an_open_batch_never_ends_by_itself(store: Store) -> None:
    batch = opened(store, new(), closed=False)
    finish(store, claim(store))
    assert state(store, batch) == "open"
    assert store.batches.close(batch.id)
    assert state(store, batch) == "finished"
    assert not store.batches.close(batch.id)
    assert callbacks(store, batch) == ["ready", "cancelled", "ready"]


def test_an_empty_batch_ends_when_it_is_closed(store: Store) -> None:
    """celery#3597: an empty header never calls back."""
    assert state(store, opened(store)) == "finished"
    batch = opened(store, closed=False)
    assert state(store, batch) == "open"
    store.batches.close(batch.id)
    assert callbacks(store, batch) == ["ready", "cancelled", "ready"]


def test_a_batch_of_nothing_but_twins_ends_at_once(store: Store) -> None:
    (twin,) = put(store, new(key="k", unique=True))
    batch = opened(store, new(key="k", unique=True))
    assert [(job.id, job.existing) for job in batch.jobs] == [(twin, True)]
    assert state(store, batch) == "finished"
    assert bits(store, twin) is None


def test_only_the_last_member_leaves_a_note_where_there_is_one_writer(
    store: Store, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = opened(store, *[new()] * 3)
    store.follow_up()
    first, *others = claim(store)
    with monkeypatch.context() as patched:
        patched.setattr(store._settler, "_follow_up", lambda: 0)
        finish(store, [first])
        assert notes(store) == (0 if config.sqlite_path() else 1)
        finish(store, others)
        assert notes(store) == (1 if config.sqlite_path() else 2)
    store.follow_up()
    assert (state(store, batch), notes(store)) == ("finished", 0)


def test_a_pending_member_is_outstanding(store: Store) -> None:
    batch = opened(store, new(), new(after=(After(0, here=True),)))
    finish(store, claim(store))
    assert state(store, batch) == "running"
    finish(store, claim(store))
    assert state(store, batch) == "finished"


def test_a_member_that_is_cancelled_because_of_another_ends_the_batch(store: Store) -> None:
    """bullmq#3122, rq#2074: a failed child leaves its parent waiting."""
    batch = opened(store, new(), new(after=(After(0, here=True),)), new(after=(After(1, here=True),)))
    end(store, claim(store)[0], "error", "fail")
    assert state(store, batch) == "failed"
    assert store.batches.counts(batch.id) == {"cancelled": 2, "failed": 1}
    assert callbacks(store, batch) == ["cancelled", "ready", "ready"]


def test_members_of_other_batches_and_other_jobs_do_not_count(store: Store) -> None:
    first, second = opened(store, new(priority=1)), opened(store, new(priority=2))
    put(store, new(priority=3))
    finish(store, claim(store, 1))
    assert [state(store, one) for one in (first, second)] == ["finished", "running"]


def test_a_batch_that_comes_after_a_batch(store: Store) -> None:
    """celery#9107: the error callback of nested ones is not called."""
    inner = opened(store, new())
    outer = opened(store, new(after=(After(-inner.id),)))
    end(store, claim(store)[0], "error", "fail")
    assert [state(store, one) for one in (inner, outer)] == ["failed", "cancelled"]
    assert callbacks(store, inner) == ["cancelled", "ready", "ready"]
    assert callbacks(store, outer) == ["cancelled", "cancelled", "ready"]


# Adding


def test_members_are_added_until_the_end(store: Store) -> None:
    batch = opened(store, new())
    (added,) = put(store, new(batch=batch.id))
    (alone,) = put(store, new(batch=batch.id, unique=True, key="k"))
    one, two, three = claim(store)
    assert [one.id, two.id, three.id] == [*members(batch), added, alone]
    finish(store, [one, two])
    assert state(store, batch) == "running"
    finish(store, [three])
    with pytest.raises(InvalidInput, match=rf"batch {batch.id} \(import\) ended at 2026-01-01 00:00:00 UTC"):
        put(store, new(), new(batch=batch.id))
    with pytest.raises(InvalidInput, match=f"there is no batch {batch.id + 1000}"):
        put(store, new(batch=batch.id + 1000))
    assert sum(number for *_, number in store.jobs.counts()) == 6, "all or none"


def test_adding_through_a_callers_transaction(store: Store, config: Config) -> None:
    from tests.contract.test_flow import caller

    batch = opened(store, new())
    with caller(config) as connection:
        store.enqueue_through(connection, [new(batch=batch.id)])
        connection.rollback()
    with caller(config) as connection:
        (added,) = store.enqueue_through(connection, [new(batch=batch.id)])
        connection.commit()
    assert store.batches.counts(batch.id) == {"ready": 2}
    finish(store, claim(store))
    assert stored(store, added.id).state == "finished"
    assert state(store, batch) == "finished"


def test_thousands_at_once(store: Store) -> None:
    batch = opened(store, *[new()] * 2500)
    assert store.batches.counts(batch.id) == {"ready": 2500}


def test_a_job_cant_come_after_its_own_batch(store: Store) -> None:
    batch = opened(store, new(), closed=False)
    with pytest.raises(InvalidInput, match=f"a job of batch {batch.id} can't come after batch {batch.id}"):
        put(store, new(batch=batch.id, after=(After(-batch.id),)))
    (last,) = put(store, new(after=(After(-batch.id),)))
    other = opened(store, new(after=(After(last),)), closed=False)
    with pytest.raises(InvalidInput, match="can't come after"):
        put(store, new(batch=batch.id, after=(After(-other.id),)))
    with pytest.raises(InvalidInput, match="can't come after"):
        put(store, new(after=(After(last),)), new(batch=batch.id, after=(After(0, here=True),)))
    put(store, new(batch=batch.id, after=(After(batch.jobs[0].id),)))


def test_what_can_be_named(store: Store) -> None:
    batch = opened(store, new())
    end(store, claim(store)[0], "error", "fail")
    with pytest.raises(InvalidInput, match=rf"after: batch {batch.id} failed; `cronq retry --batch {batch.id}"):
        put(store, new(after=(After(-batch.id),)))
    with pytest.raises(InvalidInput, match="after: there is no batch 1000"):
        put(store, new(after=(After(-1000),)))
    ids = put(store, new(after=(After(-batch.id, AFTER_END),)), new(after=(After(-batch.id, must_exist=False),)))
    assert states(store, ids) == ["ready", "ready"]


# Retry, cancel


def test_a_retried_member_reopens_the_batch_and_arms_its_callback(store: Store) -> None:
    """Parsl#473: what was given up must come back when the retry succeeds."""
    batch = opened(store, new(), new())
    one, two = claim(store)
    end(store, one, "error", "fail")
    finish(store, [two])
    assert callbacks(store, batch) == ["cancelled", "ready", "ready"]
    finish(store, claim(store))
    store.admin.retry([one.id])
    assert state(store, batch) == "running"
    assert callbacks(store, batch) == ["pending", "finished", "finished"]
    finish(store, claim(store))
    assert state(store, batch) == "finished"
    assert callbacks(store, batch) == ["ready", "finished", "finished"], "what has run stays run"


def test_a_member_that_was_retried_and_ended_before_anybody_looked(store: Store, other: Store) -> None:
    batch = opened(store, new())
    end(store, claim(store)[0], "error", "fail")
    other.admin._follow_up = lambda: 0
    other.admin.retry(members(batch))
    assert state(store, batch) == "failed"
    finish(store, [job for job in claim(store) if job.id in members(batch)])
    assert state(store, batch) == "finished"
    assert callbacks(store, batch)[0] == "ready"


def test_all_members_are_retried(store: Store) -> None:
    batch = opened(store, *[new()] * 3, callbacks=CALLBACKS[:1])
    for job in claim(store):
        end(store, job, "error", "fail")
    assert state(store, batch) == "failed"
    assert len(store.admin.retry_all_but_twins(members(batch)).changed) == 3
    finish(store, claim(store))
    assert state(store, batch) == "finished"
    assert callbacks(store, batch) == ["ready"]


def test_cancelling_a_batch(store: Store) -> None:
    batch = opened(store, *[new()] * 3, closed=False)
    [running] = claim(store, 1)
    assert store.batches.cancel(batch.id)
    assert states(store, members(batch)) == ["running", "cancelled", "cancelled"]
    assert state(store, batch) == "running"
    with pytest.raises(InvalidInput, match="was cancelled at"):
        put(store, new(batch=batch.id))
    end(store, running, "error", "")
    assert stored(store, running.id).state == "cancelled", "it isn't tried again"
    assert state(store, batch) == "cancelled"
    assert callbacks(store, batch) == ["cancelled", "cancelled", "ready"]
    assert not store.batches.cancel(batch.id)
    assert store.actions.of_job(running.id) == []


def test_a_retry_after_the_cancelling(store: Store) -> None:
    batch = opened(store, new())
    store.batches.cancel(batch.id)
    assert state(store, batch) == "cancelled"
    store.admin.retry(members(batch))
    assert state(store, batch) == "running"
    finish(store, claim(store))
    assert state(store, batch) == "finished"


def test_a_failed_member_cancels_the_others_if_that_is_asked_for(store: Store) -> None:
    batch = opened(store, *[new()] * 1200, on_failed=CANCEL)
    one, two = claim(store, 2)
    finish(store, [one])
    assert store.batches.counts(batch.id)["ready"] == 1198
    end(store, two, "error", "fail")
    assert store.batches.counts(batch.id) == {"cancelled": 1198, "failed": 1, "finished": 1}
    assert state(store, batch) == "failed"
    assert callbacks(store, batch) == ["cancelled", "ready", "ready"]


def test_a_failed_member_stops_no_other_by_default(store: Store) -> None:
    batch = opened(store, new(), new())
    end(store, claim(store, 1)[0], "error", "fail")
    assert states(store, members(batch)) == ["failed", "ready"]


def test_members_of_a_group_that_are_cancelled_free_it(store: Store) -> None:
    batch = opened(store, new(group="g"), new(group="g"), callbacks=())
    put(store, new(group="g"))
    store.batches.cancel(batch.id)
    assert [job.group for job in claim(store)][:1] == ["g"]


# Clearing


def test_members_stay_until_their_batch_has_ended(store: Store, clock: ManualClock) -> None:
    batch = opened(store, new(), new(), callbacks=())
    one, two = claim(store)
    finish(store, [one])
    clock.advance(10)
    assert sum(store.admin.clear({"finished"})) == 0
    assert store.admin.clear_selected(members(batch), {"finished"}) == 0
    finish(store, [two])
    clock.advance(10)
    assert sum(store.admin.clear({"finished"})) == 2
    assert store.batches.get(batch.id) is None
    assert store._tables.query(f"SELECT count(*) FROM {store._sql.names.members}") == [(0,)]


def test_a_batch_stays_while_a_job_comes_after_it(store: Store, clock: ManualClock) -> None:
    batch = opened(store, new(), callbacks=CALLBACKS[:1])
    finish(store, claim(store))
    clock.advance(10)
    assert sum(store.admin.clear({"finished"})) == 1
    assert store.batches.get(batch.id) is not None
    finish(store, claim(store))
    clock.advance(10)
    assert sum(store.admin.clear({"finished"})) == 1
    assert store.batches.get(batch.id) is None


# What it costs


def test_a_long_batch_is_not_read_from_its_start_again_and_again(store: Store) -> None:
    batch = opened(store, *[new()] * 1000, callbacks=())
    for _ in range(9):
        finish(store, claim(store, 100))
    assert store.batches.require(batch.id).looked_to >= members(batch)[600]
    finish(store, claim(store, 100))
    assert state(store, batch) == "finished"


def test_jobs_in_no_batch_have_no_flow(store: Store) -> None:
    opened(store, new(), callbacks=())
    (job_id,) = put(store, new())
    assert bits(store, job_id) is None
    finish(store, claim(store))
    assert notes(store) == 0
