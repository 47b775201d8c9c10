"""Writing how attempts ended: fenced, once, and with all that a row remembers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cronq.model.job import Failure
from cronq.model.retry import Policy
from cronq.store import Store
from cronq.testing import ManualClock
from cronq.times import to_datetime
from tests.contract.steps import LEASE, claim, claimed_ids, end, ending, later, new, outcome, put, states, stored


def test_a_success_leaves_what_the_attempt_left(store: Store) -> None:
    (job_id,) = put(store, new())
    end(store, claim(store)[0], "warning", result='{"n":1}', warnings=("careful",), notes={"a": 1}, stdout="out",
        stderr="err", pid=7, peak_memory=10, memory_before=5, cpu_time=0.5)  # fmt: skip
    job = stored(store, job_id)
    assert (job.state, job.outcome, job.result, list(job.warnings), job.notes) == (
        "finished", "warning", {"n": 1}, ["careful"], {"a": 1},
    )  # fmt: skip
    assert (job.pid, job.peak_memory, job.memory_before, job.cpu_time, job.duration) == (7, 10, 5, 0.5, 1.0)
    assert store.jobs.output(job_id) == ("out", "err")
    assert store.jobs.attempts(job_id) == []
    assert store.leases.owners() == []


def test_a_plain_success_too(store: Store) -> None:
    (job_id,) = put(store, new())
    end(store, claim(store)[0], pid=7, peak_memory=10, memory_before=5, cpu_time=0.5)
    job = stored(store, job_id)
    assert (job.state, job.outcome, job.error, job.duration, job.pid) == ("finished", "success", None, 1.0, 7)


def test_a_failure_is_kept_as_an_attempt_of_its_own(store: Store) -> None:
    (job_id,) = put(store, new())
    error = Failure("ValueError", "no", "Traceback …", "builtins.ValueError")
    end(store, claim(store)[0], "crashed", error=error, exit_status=3, signal="SIGSEGV", stdout="o", pid=9)
    job = stored(store, job_id)
    assert (job.state, job.error, job.crashes) == ("retrying", Failure("ValueError", "no"), 1)
    (attempt,) = store.jobs.attempts(job_id)
    assert (attempt.number, attempt.outcome, attempt.error, attempt.exit_status) == (1, "crashed", error, 3)
    assert (attempt.signal, attempt.stdout, attempt.pid) == ("SIGSEGV", "o", 9)


def test_a_failed_attempt_keeps_its_worker_and_an_end_without_an_exception_has_a_class(store: Store) -> None:
    (job_id,) = put(store, new())
    died = ending(claim(store)[0], outcome(store, "crashed", error=Failure("ExecutorDied", "killed")))
    assert store.settle([died._replace(worker="host-7-abc")]) == []
    (attempt,) = store.jobs.attempts(job_id)
    assert attempt.worker == "host-7-abc"
    assert attempt.error == Failure("ExecutorDied", "killed", None, "cronq.errors.ExecutorDied")


def test_a_stale_token_changes_nothing_and_is_reported(store: Store, other: Store) -> None:
    put(store, new(), new())
    stale, ours = claim(store)
    end(other, stale, "crashed", "rescue")
    (again,) = claim(other, worker="other")
    assert store.settle([ending(stale, outcome(store)), ending(ours, outcome(store))]) == [stale.id]
    assert states(store, [stale.id, ours.id]) == ["running", "finished"]
    assert store.leases.renew("one", later(store, 60)) == {}
    end(other, again)


def test_a_rescued_job_is_lost_even_before_it_is_claimed_again(store: Store, clock: ManualClock) -> None:
    put(store, new())
    (job,) = claim(store)
    mine = ending(job, outcome(store))
    clock.advance(5)
    end(store, job, "crashed", "rescue")
    assert store.settle([mine]) == [job.id]
    assert states(store, [job.id]) == ["ready"]


@pytest.mark.parametrize("kind", ["success", "error"])
def test_the_same_ending_twice_is_no_loss(store: Store, kind: str) -> None:
    (job_id,) = put(store, new(group="g"))
    (job,) = claim(store)
    ended = ending(job, outcome(store, kind))
    assert store.settle([ended]) == []
    assert store.settle([ended]) == []
    assert len(store.jobs.attempts(job_id)) == (kind == "error")
    assert stored(store, job_id).attempt == 1


def test_a_released_claim_cannot_be_settled(store: Store) -> None:
    (job_id,) = put(store, new())
    jobs = claim(store)
    store.release(jobs)
    store.release(jobs)
    assert store.settle([ending(jobs[0], outcome(store))]) == [job_id]
    assert (stored(store, job_id).state, stored(store, job_id).attempt) == ("ready", 0)


def test_retries_until_the_attempts_are_used_up(store: Store, clock: ManualClock) -> None:
    (job_id,) = put(store, new(max_attempts=3))
    for seconds in (60, 120):
        end(store, claim(store)[0], "error")
        assert stored(store, job_id).available_at == to_datetime(later(store, seconds))
        clock.advance(seconds)
        store.leases.promote(clock.now())
    end(store, claim(store)[0], "error")
    assert (stored(store, job_id).state, stored(store, job_id).attempt) == ("failed", 3)
    assert [attempt.number for attempt in store.jobs.attempts(job_id)] == [1, 2, 3]


def test_snoozes_spend_no_attempt_and_are_capped(store: Store, clock: ManualClock) -> None:
    (job_id,) = put(store, new())
    policy = Policy(wait_cap=100.0)
    for _ in range(2):
        end(store, claim(store)[0], "snoozed", "snooze", delay=40.0, policy=policy)
        assert (stored(store, job_id).state, stored(store, job_id).attempt) == ("waiting", 0)
        clock.advance(40)
        store.leases.promote(clock.now())
    assert stored(store, job_id).snoozes == 2
    end(store, claim(store)[0], "snoozed", "snooze", delay=40.0, policy=policy)
    job = stored(store, job_id)
    assert (job.state, job.error and job.error.kind) == ("failed", "WaitedTooLong")


def test_an_unknown_task_is_asked_for_an_hour(store: Store, clock: ManualClock) -> None:
    (job_id,) = put(store, new())
    for _ in range(60):
        end(store, claim(store)[0], "error", "unknown")
        assert (stored(store, job_id).state, stored(store, job_id).attempt) == ("waiting", 0)
        clock.advance(timedelta(minutes=1))
        store.leases.promote(clock.now())
    end(store, claim(store)[0], "error", "unknown")
    assert stored(store, job_id).state == "failed"


@pytest.mark.parametrize(("verdict", "counted"), [("", 1), ("rescue", 1), ("interrupted", 0), ("retry", 0)])
def test_which_crashes_are_counted(store: Store, verdict: str, counted: int) -> None:
    (job_id,) = put(store, new())
    end(store, claim(store)[0], "crashed", verdict)
    assert (stored(store, job_id).crashes, stored(store, job_id).attempt) == (counted, 1)


@pytest.mark.parametrize("together", [False, True])
def test_the_crash_limit_and_a_retry_that_counts_afresh(store: Store, together: bool) -> None:
    (job_id,) = put(store, new())
    for _ in range(3):
        end(store, claim(store)[0], "crashed", "rescue")
    job = stored(store, job_id)
    assert (job.state, job.crashes, job.attempt, job.error and job.error.kind) == ("failed", 3, 3, "CrashLoop")
    if together:
        store.admin.retry_all_but_twins([job_id])
    else:
        store.admin.retry([job_id])
    assert (stored(store, job_id).state, stored(store, job_id).crashes) == ("ready", 0)
    end(store, claim(store)[0], "crashed", "rescue")
    assert (stored(store, job_id).state, stored(store, job_id).crashes) == ("ready", 1)


def test_on_crash_fail(store: Store) -> None:
    (job_id,) = put(store, new())
    end(store, claim(store)[0], "crashed", "rescue", policy=Policy(on_crash="fail"))
    assert stored(store, job_id).state == "failed"


def test_a_job_given_back_in_the_middle_starts_with_a_clean_row(store: Store) -> None:
    (job_id,) = put(store, new())
    end(store, claim(store)[0], "crashed", "release", stdout="half")
    job = stored(store, job_id)
    assert (job.state, job.attempt, job.error, job.outcome, job.crashes) == ("ready", 0, None, None, 0)
    end(store, claim(store)[0])
    job = stored(store, job_id)
    assert (job.state, job.error, store.jobs.output(job_id)) == ("finished", None, (None, None))
    assert [attempt.outcome for attempt in store.jobs.attempts(job_id)] == ["crashed"]


def test_notes_stay_when_a_later_attempt_adds_none(store: Store, clock: ManualClock) -> None:
    (job_id,) = put(store, new())
    end(store, claim(store)[0], "error", notes={"a": 1})
    clock.advance(60)
    store.leases.promote(clock.now())
    (job,) = claim(store)
    assert job.notes == '{"a": 1}'
    end(store, job)
    assert (stored(store, job_id).notes, stored(store, job_id).error) == ({"a": 1}, None)


def test_renewing_pushes_all_leases_out(store: Store, clock: ManualClock) -> None:
    ids = put(store, new(group="g"), new(group="g"), new())
    claim(store)
    clock.advance(30)
    assert sorted(store.leases.renew("one", clock.now() + LEASE)) == ids
    assert {held.until for held in store.leases.held_by("one")} == {clock.now() + LEASE}
    assert store.leases.renew("nobody", clock.now()) == {}


def test_kill_requests_reach_the_worker_and_do_not_outlive_the_attempt(store: Store) -> None:
    running, _ = put(store, new(), new(available_at=later(store, 9)))
    (job,) = claim(store)
    assert store.admin.request_kill([running, running + 1]) == [running]
    assert (store.workers.requests("one").kills, store.workers.requests("two").kills) == ((running,), ())
    end(store, job)
    assert store.workers.requests("one").kills == ()
    store.admin.retry([running])
    assert claimed_ids(store) == [running]
    assert store.workers.requests("one").kills == ()
