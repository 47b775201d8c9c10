"""Taking exactly one job by its id: what serve-inetd does."""

from __future__ import annotations

import multiprocessing
import random
from typing import Any

import pytest

from cronq.config.loader import Config
from cronq.model.job import Claimed
from cronq.storage.claim_one import Refused
from cronq.store import Lease, Store
from cronq.testing import ManualClock
from cronq.times import Clock
from tests.contract.steps import LEASE, POLICY, claim, claimed_ids, end, finish, later, new, put, states, stored

CALLERS = 8


def pick(store: Store, job_id: int, *, worker: str = "one") -> Claimed:
    now = store.clock.now()
    return store.claim_one(job_id, Lease(worker, now=now, seconds=60))


def refusal(store: Store, job_id: int) -> str:
    """Why the job isn't given; nothing about it changes."""
    before = store.jobs.get(job_id)
    with pytest.raises(Refused) as refused:
        pick(store, job_id)
    assert store.jobs.get(job_id) == before
    return str(refused.value)


def pause(store: Store, queue: str) -> None:
    config: Any = store._config
    store._tables.open().execute(
        f"INSERT INTO {config.table_prefix}paused (queue, paused_at) VALUES (?, ?)", (queue, 1)
    )


def test_it_is_leased_like_any_claim(store: Store, clock: ManualClock) -> None:
    _, job_id, _ = put(store, new(priority=1), new(args='{"n":1}', priority=900), new())
    job = pick(store, job_id)
    assert (job.id, job.attempt, job.args, job.state) == (job_id, 1, '{"n":1}', "running")
    ((held, claimed_at, until),) = store.leases.held_by("one")
    assert (held, claimed_at, until) == (job, clock.now(), clock.now() + LEASE)
    finish(store, [job])
    assert stored(store, job_id).state == "finished"


def test_unknown(store: Store) -> None:
    assert refusal(store, 1) == "unknown"
    assert refusal(store, 10**18 - 1) == "unknown"


def test_running_and_ended_jobs_are_left_alone(store: Store) -> None:
    running, finished, failed, cancelled = put(store, *[new()] * 4)
    pick(store, running)
    end(store, pick(store, finished))
    end(store, pick(store, failed), "error", "fail")
    store.admin.cancel([cancelled])
    answers = [refusal(store, job_id) for job_id in (running, finished, failed, cancelled)]
    assert answers == ["running", "finished", "failed", "cancelled"]


def test_due_jobs_need_not_be_promoted_first(store: Store, clock: ManualClock) -> None:
    scheduled, retrying, waiting = put(store, new(available_at=later(store, 1)), new(), new())
    end(store, pick(store, retrying), "error")
    end(store, pick(store, waiting), "snoozed", "snooze", delay=1.0)
    assert [refusal(store, job_id) for job_id in (scheduled, retrying, waiting)] == ["not due"] * 3
    clock.advance(3600)
    assert [pick(store, job_id).attempt for job_id in (scheduled, retrying, waiting)] == [1, 2, 1]


def test_a_paused_queue_is_respected(store: Store) -> None:
    still, other = put(store, new(queue="mail"), new(queue="other"))
    pause(store, "mail")
    assert refusal(store, still) == "paused"
    assert pick(store, other).id == other


def test_a_group_has_one_at_a_time(store: Store) -> None:
    first, second = put(store, new(group="g"), new(group="g"))
    job = pick(store, first)
    assert states(store, [first, second]) == ["running", "blocked"]
    assert refusal(store, second) == f"blocked by {first}"
    finish(store, [job])
    assert states(store, [first, second]) == ["finished", "ready"]
    assert pick(store, second).id == second


def test_no_job_overtakes_another_of_its_group(store: Store) -> None:
    second, first, third = put(store, new(group="g"), new(group="g", priority=1), new(group="g", priority=99))
    assert refusal(store, second) == refusal(store, third) == f"blocked by {first}"
    assert pick(store, first).id == first


def test_who_can_not_run_is_no_reason_to_wait(store: Store) -> None:
    scheduled, paused, job_id = put(
        store, new(group="g", available_at=later(store, 60)), new(group="g", queue="mail"), new(group="g")
    )
    pause(store, "mail")
    assert pick(store, job_id).id == job_id
    assert states(store, [scheduled, paused]) == ["scheduled", "blocked"]


def test_a_holder_that_is_due_again_goes_on(store: Store, clock: ManualClock) -> None:
    holder, other = put(store, new(group="g"), new(group="g"))
    end(store, pick(store, holder), "error")
    clock.advance(3600)
    assert refusal(store, other) == f"blocked by {holder}"
    assert pick(store, holder).attempt == 2


def test_a_failed_holder_may_keep_its_group(store: Store) -> None:
    holder, other = put(store, new(group="g"), new(group="g"))
    end(store, pick(store, holder), "error", "fail", policy=POLICY._replace(group_on_failed="hold"))
    assert refusal(store, other) == f"blocked by {holder}"


def test_who_follows_in_another_claim_is_not_given(store: Store, other: Store) -> None:
    first, second = put(store, new(group="g"), new(group="g"))
    jobs = claim(store)
    assert [job.id for job in jobs] == [first, second]
    assert refusal(other, second) == f"blocked by {first}"
    assert refusal(other, first) == "running"
    finish(store, jobs)


def test_claims_leave_it_alone_and_take_the_rest(store: Store, other: Store) -> None:
    ids = put(store, *[new()] * 3)
    pick(store, ids[1])
    assert claimed_ids(other) == [ids[0], ids[2]]


def _callers(config: Config, job_ids: list[int], answers: Any, seed: int) -> None:
    random.Random(seed).shuffle(job_ids)
    with Store(config, Clock()) as store:
        for job_id in job_ids:
            try:
                pick(store, job_id, worker=f"w{seed}")
            except Refused as refused:
                answers.put((job_id, str(refused)))
            else:
                answers.put((job_id, "OK"))


def test_many_at_once_get_a_job_once(config: Config, store: Store) -> None:
    alone = put(store, *[new()] * 10)
    grouped = put(store, *[new(group="g")] * 3)
    store.close()
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    callers = [
        context.Process(target=_callers, args=(config, alone + grouped, answers, seed)) for seed in range(CALLERS)
    ]
    for caller in callers:
        caller.start()
    given = [answers.get(timeout=60) for _ in range(CALLERS * 13)]
    for caller in callers:
        caller.join()
    assert sorted(job_id for job_id, said in given if said == "OK") == sorted([*alone, grouped[0]])
    others = {said for job_id, said in given if said != "OK"}
    assert others <= {"running", f"blocked by {grouped[0]}"}


@pytest.mark.parametrize("config", ["sqlite"], indirect=True)
def test_a_time_that_is_no_number_comes_last(store: Store) -> None:
    damaged, other = put(store, new(group="g"), new(group="g"))
    (later_one,) = put(store, new(available_at=later(store, 5)))
    store._tables.open().execute("UPDATE cronq_jobs SET available_at = 'soon' WHERE id IN (?, ?)", (damaged, later_one))
    assert refusal(store, later_one) == "not due"
    assert refusal(store, damaged) == f"blocked by {other}"
    assert pick(store, other).id == other
