from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronq.model.job import TRANSITIONS, Failure, State
from cronq.model.outcome import Next, Outcome, is_own_crash, next_state
from cronq.model.retry import Policy
from cronq.times import SECOND
from tests.unit.claims import claimed

ERROR = Failure("ValueError", "no")
END = 1000 * SECOND
HOUR = 3600 * SECOND
PLAIN = Policy(jitter=0.0)


def after(kind: str, verdict: str = "", **fields: object) -> Outcome:
    return Outcome(kind, END - SECOND, END, verdict, error=ERROR, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "verdict", "expected"),
    [
        ("success", "", Next(State.FINISHED)),
        ("warning", "", Next(State.FINISHED)),
        ("error", "", Next(State.RETRYING, END + 60 * SECOND, error=ERROR)),
        ("timeout", "", Next(State.RETRYING, END + 60 * SECOND, error=ERROR)),
        ("crashed", "", Next(State.RETRYING, END + 60 * SECOND, error=ERROR)),
        ("crashed", "rescue", Next(State.READY, error=ERROR)),
        ("error", "fail", Next(State.FAILED, error=ERROR)),
        ("", "skip", Next(State.CANCELLED, error=ERROR)),
        ("crashed", "cancel", Next(State.CANCELLED, error=ERROR)),
        ("crashed", "release", Next(State.READY, spent=False, error=ERROR)),
        ("", "release", Next(State.READY, spent=False, error=ERROR)),
        ("error", "unknown", Next(State.WAITING, END + 60 * SECOND, spent=False, error=ERROR)),
    ],
)
def test_what_follows(kind: str, verdict: str, expected: Next) -> None:
    assert next_state(claimed(), after(kind, verdict), PLAIN, chance=0.0) == expected


def test_a_chosen_delay_holds_without_jitter() -> None:
    following = next_state(claimed(), after("error", "retry", delay=5.0), Policy(), chance=0.9)
    assert following.available_at == END + 5 * SECOND


@pytest.mark.parametrize("verdict", ["", "retry", "rescue"])
def test_the_last_attempt_fails_the_job(verdict: str) -> None:
    job = claimed(attempt=3, max_attempts=3)
    assert next_state(job, after("crashed", verdict, delay=1.0), PLAIN, chance=0.0).state == State.FAILED


def test_on_crash_fail_is_for_crashes_only() -> None:
    policy = Policy(on_crash="fail")
    assert next_state(claimed(), after("crashed", "rescue"), policy, chance=0.0).state == State.FAILED
    assert next_state(claimed(), after("error"), policy, chance=0.0).state == State.RETRYING
    assert next_state(claimed(), after("crashed", "release"), policy, chance=0.0).state == State.READY


@pytest.mark.parametrize("verdict", ["", "rescue"])
def test_a_job_that_kills_its_process_is_given_up_at_the_limit(verdict: str) -> None:
    died = after("crashed", verdict, signal="SIGKILL", peak_memory=4_080_218_931)
    assert next_state(claimed(crashes=1), died, PLAIN, chance=0.0).state != State.FAILED
    following = next_state(claimed(crashes=2), died, PLAIN, chance=0.0)
    told = f"killed 3 times while it ran (SIGKILL, last on {os.uname().nodename}, peak 3.8 GiB)"
    assert following == Next(State.FAILED, error=Failure("CrashLoop", told))


def test_a_process_that_ended_itself_was_not_killed() -> None:
    died = after("crashed", exit_status=3, peak_memory=20 << 20)
    following = next_state(claimed(), died, Policy(crash_limit=1), chance=0.0)
    told = f"died once while it ran (exit status 3, last on {os.uname().nodename}, peak 20 MiB)"
    assert following.error == Failure("CrashLoop", told)


@pytest.mark.parametrize("verdict", ["interrupted", "retry", "release"])
def test_what_was_no_fault_of_the_job_does_not_count(verdict: str) -> None:
    job = claimed(crashes=2)
    assert next_state(job, after("crashed", verdict), PLAIN, chance=0.0).state in {State.READY, State.RETRYING}
    assert not is_own_crash(after("crashed", verdict))


def test_snooze() -> None:
    snooze = after("snoozed", "snooze", delay=10.0)
    assert next_state(claimed(), snooze, PLAIN, chance=0.0)[:3] == (State.WAITING, END + 10 * SECOND, False)


@pytest.mark.parametrize(("since", "state"), [(990, State.WAITING), (909, State.FAILED)])
def test_waiting_is_capped_all_together(since: int, state: State) -> None:
    job = claimed(waiting_since=since * SECOND)
    following = next_state(job, after("snoozed", "snooze", delay=10.0), Policy(wait_cap=100.0), chance=0.0)
    assert following.state == state
    if state == State.FAILED:
        assert following.error is not None
        assert following.error.kind == "WaitedTooLong"


@pytest.mark.parametrize(("since", "state"), [(1 - HOUR, State.WAITING), (-HOUR, State.FAILED)])
def test_patience_with_an_unknown_task(since: int, state: State) -> None:
    job = claimed(unknown_since=END + since)
    assert next_state(job, after("error", "unknown"), PLAIN, chance=0.0).state == state


@given(
    st.sampled_from(["success", "warning", "error", "timeout", "crashed", "snoozed", ""]),
    st.sampled_from(["", "fail", "retry", "snooze", "unknown", "skip", "release", "cancel", "rescue"]),
    st.integers(1, 20),
    st.one_of(st.none(), st.floats(0, 1e9)),
)
def test_every_outcome_leads_somewhere_allowed(kind: str, verdict: str, attempt: int, delay: float | None) -> None:
    following = next_state(claimed(attempt=attempt), after(kind, verdict, delay=delay), PLAIN, chance=0.5)
    assert following.state in TRANSITIONS[State.RUNNING]
    due = following.state in {State.RETRYING, State.WAITING}
    assert (following.available_at is not None) == due
    assert following.available_at is None or following.available_at >= END
