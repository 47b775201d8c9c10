"""Who did what by hand is kept with the jobs and the queues, and goes with them."""

from __future__ import annotations

import os
import pwd

from cronq.store import Store
from cronq.testing import ManualClock
from tests.contract.steps import claim, end, new, put

ME = f"{pwd.getpwuid(os.geteuid()).pw_name}@{os.uname().nodename}"


def test_who_cancelled_retried_and_killed_a_job(store: Store, clock: ManualClock) -> None:
    first, second, third = put(store, new(), new(), new(group="g"))
    store.admin.cancel([first, third], reason="not needed")
    at = clock.now()
    clock.advance(5)
    store.admin.retry([first])
    store.admin.retry_all_but_twins([third])
    [job] = claim(store, limit=1)
    assert (job.id, store.admin.request_kill([first, second])) == (second, [second])
    assert [action.verb for action in store.actions.of_job(second)] == ["killed"]
    done = store.actions.of_job(first)
    assert [(action.verb, action.reason) for action in done] == [("cancelled", "not needed"), ("retried", None)]
    assert [action.verb for action in store.actions.of_job(third)][:2] == ["cancelled", "retried"]
    assert {action.who.partition(" ")[0] for action in done} == {ME}
    assert done[0].at == at
    assert done[1].at == clock.now()


def test_nothing_is_recorded_of_what_was_not_done(store: Store) -> None:
    (job,) = put(store, new())
    store.admin.retry([job])
    store.admin.request_kill([job])
    assert store.actions.of_job(job) == []


def test_who_paused_a_queue(store: Store, clock: ManualClock) -> None:
    assert store.actions.of_paused() == {}
    assert store.admin.pause("mail")
    at = clock.now()
    clock.advance(5)
    assert not store.admin.pause("mail")
    [(queue, action)] = store.actions.of_paused().items()
    assert (queue, action.verb, action.at, action.who.partition(" ")[0]) == ("mail", "paused", at, ME)
    assert store.jobs.stats().paused_by == {"mail": action}
    assert store.admin.resume("mail")
    assert store.actions.of_paused() == {}


def test_it_goes_with_the_job(store: Store, clock: ManualClock) -> None:
    (job,) = put(store, new())
    store.admin.cancel([job])
    store.admin.retry([job])
    [claimed] = claim(store)
    end(store, claimed)
    clock.advance(5)
    assert sum(store.admin.clear(["finished"])) == 1
    assert store.actions.of_job(job) == []
