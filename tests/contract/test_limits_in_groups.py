"""Limits and groups: the first of a group asks for the place, and those behind it go on."""

from __future__ import annotations

import pytest

from cronq.store import Store
from cronq.testing import ManualClock
from tests.contract.limit_steps import ONE, SMTP, counts, loose_ends, mails
from tests.contract.steps import claim, claimed_ids, end, finish, later, new, put, states, stored


def test_the_first_of_a_group_asks_for_the_place(store: Store) -> None:
    group = mails(store, 3, SMTP, group="g")
    other = mails(store, 2, SMTP)
    assert states(store, group + other) == ["ready", "pending", "pending", "ready", "pending"]
    jobs = {job.id: job for job in claim(store)}
    assert sorted(jobs) == [group[0], other[0]]
    finish(store, [jobs[group[0]]])
    assert states(store, group + other) == ["finished", "pending", "pending", "running", "ready"]
    finish(store, [jobs[other[0]], *claim(store)])
    assert states(store, group + other) == ["finished", "ready", "pending", "finished", "finished"]
    for _ in range(2):
        finish(store, claim(store))
    assert counts(store, group) == {"finished": 3}


def test_a_holder_that_is_retrying_keeps_its_group(store: Store, clock: ManualClock) -> None:
    ids = mails(store, 2, SMTP, group="g")
    end(store, claim(store)[0], "error")
    store.keep_limits()
    assert states(store, ids) == ["retrying", "pending"]
    clock.advance(3600)
    store.leases.promote(clock.now())
    assert states(store, ids) == ["ready", "pending"]
    finish(store, claim(store))
    assert states(store, ids) == ["finished", "ready"]


def test_a_group_with_jobs_that_are_under_no_limit(store: Store) -> None:
    free, limited = put(store, new(group="g"), new(group="g", limit=ONE))
    [job] = claim(store, 1)
    assert job.id == free
    store.keep_limits()
    finish(store, [job])
    store.leases.promote(store.clock.now())
    store.keep_limits()
    assert states(store, [free, limited]) == ["finished", "ready"]
    finish(store, claim(store))
    assert stored(store, limited).state == "finished"


@pytest.mark.parametrize("claimed", [True, False], ids=["running", "ready"])
def test_one_behind_a_job_without_a_limit_goes_on_when_that_has_ended(store: Store, claimed: bool) -> None:
    [free] = put(store, new(group="g"))
    jobs = claim(store) if claimed else []
    limited, other = mails(store, 1, ONE, group="g")[0], mails(store, 1, ONE)[0]
    assert states(store, [limited, other]) == ["pending", "ready"], "it takes no place while it can't start"
    jobs += claim(store)
    finish(store, [job for job in jobs if job.id == other])
    assert states(store, [limited]) == ["pending"]
    finish(store, [job for job in jobs if job.id == free])
    assert states(store, [free, limited, other]) == ["finished", "ready", "finished"]
    assert loose_ends(store) == 0


def test_several_without_a_limit_come_first_in_a_group(store: Store) -> None:
    put(store, new(group="g"))
    running = claim(store)
    put(store, new(group="g"))
    [limited] = mails(store, 1, ONE, group="g")
    [last] = put(store, new(group="g"))
    finish(store, running)
    assert states(store, [limited, last]) == ["pending", "blocked"]
    finish(store, claim(store, 1))
    assert states(store, [limited]) == ["ready"]
    assert claimed_ids(store) == [limited, last]


@pytest.mark.parametrize("ending", ["cancel", "edit", "regroup", "fail"])
def test_one_behind_a_job_without_a_limit_goes_on_when_that_leaves(store: Store, ending: str) -> None:
    [free] = put(store, new(group="g"))
    [limited] = mails(store, 1, ONE, group="g")
    assert states(store, [limited]) == ["pending"]
    if ending == "cancel":
        store.admin.cancel([free])
    elif ending == "edit":
        store.editor.edit([free], {"available_at": later(store, 100)})
    elif ending == "regroup":
        store.editor.edit([free], {"group": "h"})
    else:
        end(store, claim(store)[0], "error", "fail")
    assert states(store, [limited]) == ["ready"]


def test_one_behind_another_goes_on_when_that_is_edited_out_of_the_group(store: Store) -> None:
    first, second, third = mails(store, 3, SMTP, group="g")
    assert states(store, [first, second, third]) == ["ready", "pending", "pending"]
    assert store.editor.edit([first], {"group": None}) == [first]
    assert states(store, [first, second, third]) == ["ready", "ready", "pending"]
    assert loose_ends(store) == 0


def test_one_that_is_due_by_an_edit_has_its_place_at_once(store: Store) -> None:
    [scheduled] = mails(store, 1, ONE, available_at=later(store, 3600))
    assert store.editor.edit([scheduled], {"available_at": store.clock.now()}) == [scheduled]
    assert states(store, [scheduled]) == ["ready"]


@pytest.mark.parametrize("waits", [False, True], ids=["ready", "pending"])
def test_one_behind_a_job_that_is_taken_off_its_limit_goes_on_when_that_has_ended(store: Store, waits: bool) -> None:
    others = mails(store, 1, ONE) if waits else []
    first, second = mails(store, 2, ONE, group="g")
    assert store.relimiter.change([first], None) == [first]
    if waits:
        finish(store, [job for job in claim(store) if job.id != first])
        assert counts(store, others) == {"finished": 1}
        [held] = store.leases.held_by("one")
        assert (held.job.id, states(store, [second])) == (first, ["pending"])
        finish(store, [held.job])
    else:
        assert states(store, [first, second]) == ["ready", "pending"]
        finish(store, claim(store))
    assert states(store, [first, second]) == ["finished", "ready"]
    assert loose_ends(store) == 0


def test_in_a_group_only_the_first_one_asks_for_a_place(store: Store) -> None:
    first, second = put(store, new(group="g"), new(group="g"))
    assert store.relimiter.change([first, second], ONE) == [first, second]
    assert states(store, [first, second]) == ["ready", "pending"]
    assert store.relimiter.change([first, second], None) == [first, second]
    assert claimed_ids(store) == [first, second]
