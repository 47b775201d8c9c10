"""Limits that are changed, and jobs that are put under another limit."""

from __future__ import annotations

from cronq.model.dependencies import After
from cronq.model.limits import Bounds, Limit
from cronq.store import Store
from tests.contract.limit_steps import ONE, SMTP, counts, loose_ends, mails
from tests.contract.steps import claim, finish, later, new, put, states

# Fewer and more


def test_fewer_places_send_ready_ones_back(store: Store) -> None:
    ids = mails(store, 6, Limit("smtp", "smtp", Bounds(4)))
    [running] = claim(store, 1)
    changed = store.definitions.set("smtp", Bounds(2), None)
    assert changed == ["smtp"]
    store.limits.admit(changed)
    assert states(store, ids) == ["running", "ready", "pending", "pending", "pending", "pending"]
    finish(store, [running])
    assert counts(store, ids) == {"finished": 1, "pending": 3, "ready": 2}


def test_running_ones_go_on_when_there_are_fewer_places(store: Store) -> None:
    ids = mails(store, 4)
    jobs = claim(store)
    store.limits.admit(store.definitions.set("smtp", Bounds(1), None) or ())
    finish(store, jobs[:1])
    assert states(store, ids) == ["finished", "running", "pending", "pending"]
    finish(store, jobs[1:])
    assert states(store, ids) == ["finished", "finished", "ready", "pending"]


def test_more_places_let_in_at_once_and_a_reset_takes_them_back(store: Store) -> None:
    ids = mails(store, 6)
    store.limits.admit(store.definitions.set("smtp", Bounds(4), None) or ())
    assert counts(store, ids) == {"pending": 2, "ready": 4}
    store.limits.admit(store.definitions.set("smtp", Bounds(), None) or ())
    assert counts(store, ids) == {"pending": 4, "ready": 2}


def test_a_pattern_that_is_set_counts_for_all_of_its_values(store: Store) -> None:
    ids = [job for n in range(2) for job in mails(store, 3, Limit(f"customer:{n}", "customer:*", Bounds(1)))]
    store.limits.admit(store.definitions.set("customer:*", Bounds(2), None) or ())
    assert counts(store, ids) == {"pending": 2, "ready": 4}
    store.limits.admit(store.definitions.set("customer:0", Bounds(3), None) or ())
    assert counts(store, ids) == {"pending": 1, "ready": 5}


def test_a_changed_configuration_counts_from_the_next_enqueue_on(store: Store) -> None:
    ids = mails(store, 4)
    ids += mails(store, 1, SMTP._replace(bounds=Bounds(3)))
    assert counts(store, ids) == {"pending": 2, "ready": 3}
    assert store.definitions.set("nonsense", Bounds(1), None) is None


# Another limit for jobs that exist


def test_a_place_is_handed_on_when_its_job_leaves_the_limit(store: Store) -> None:
    first, second, third = mails(store, 3, ONE)
    assert store.relimiter.change([first], None) == [first]
    assert states(store, [first, second, third]) == ["ready", "ready", "pending"]
    assert store.relimiter.change([third], None) == [third]
    assert states(store, [first, second, third]) == ["ready", "ready", "ready"]
    assert loose_ends(store) == 0
    finish(store, claim(store))
    assert counts(store, [first, second, third]) == {"finished": 3}


def test_jobs_that_are_put_under_a_limit_wait_for_a_place(store: Store) -> None:
    ids = put(store, *[new() for _ in range(3)])
    assert store.relimiter.change(ids, ONE) == ids
    assert states(store, ids) == ["ready", "pending", "pending"]
    finish(store, claim(store))
    assert states(store, ids) == ["finished", "ready", "pending"]


def test_from_one_limit_to_another(store: Store) -> None:
    other = mails(store, 2)
    first, second = mails(store, 2, ONE)
    assert store.relimiter.change([first], SMTP) == [first]
    assert states(store, [first, second, *other]) == ["pending", "ready", "ready", "ready"]
    assert store.limit_reader.name_of(first) == "smtp"
    assert store.relimiter.change([second], ONE) == [second], "it is under it already, and keeps its place"
    assert states(store, [second]) == ["ready"]


def test_one_that_runs_or_has_ended_keeps_its_limit(store: Store) -> None:
    first, second = mails(store, 2)
    running, _ = claim(store)
    assert store.relimiter.change([first, second], ONE) == []
    finish(store, [running])
    assert store.relimiter.change([first], None) == []
    assert store.limit_reader.name_of(first) == "smtp"


def test_one_that_comes_after_another_or_is_due_later_gets_no_place_yet(store: Store) -> None:
    [parent] = put(store, new())
    held, timed = put(store, new(after=(After(parent),)), new(available_at=later(store, 100)))
    assert store.relimiter.change([held, timed], ONE) == [held, timed]
    assert states(store, [held, timed]) == ["pending", "scheduled"]
    assert store.relimiter.change([held], None) == [held]
    assert states(store, [held]) == ["pending"]
    assert store.relimiter.change([held], ONE) == [held]
    finish(store, claim(store))
    assert states(store, [held]) == ["ready"]
