from __future__ import annotations

from cronq.model.job import Claimed, Failure, State
from cronq.model.outcome import Next, Outcome, Settlement
from cronq.model.retry import Policy
from cronq.notifications.notice import Notice, healthy, notice_of
from tests.unit.claims import claimed

ERROR = Failure("ValueError", "no\n  good")


def notice(job: Claimed, state: State, *, spent: bool = True) -> Notice | None:
    following = Next(state, spent=spent, error=ERROR)
    return notice_of(Settlement(job, Outcome("error", 0, 1), following), Policy(notify_after=5))


def test_once_when_attempts_mount_up() -> None:
    told = {attempt for attempt in range(1, 20) if notice(claimed(attempt=attempt), State.RETRYING)}
    assert told == {5}


def test_rescued_attempts_count() -> None:
    assert notice(claimed(attempt=5), State.READY)


def test_given_back_attempts_do_not() -> None:
    assert notice(claimed(attempt=5), State.READY, spent=False) is None
    assert notice(claimed(attempt=5), State.WAITING, spent=False) is None


def test_once_when_failed_for_good() -> None:
    made = notice(claimed(attempt=5), State.FAILED)
    assert made is not None
    assert made.reason == "failed"
    assert str(made) == "job 1 (task) failed for good after 5 of 20 attempts: ValueError: no good"


def test_success_and_cancellation_send_no_notice() -> None:
    assert notice(claimed(attempt=5), State.FINISHED) is None
    assert notice(claimed(attempt=5), State.CANCELLED) is None


def test_it_says_all_in_one_line() -> None:
    made = notice(claimed(attempt=5), State.RETRYING)
    assert made is not None
    assert str(made).startswith("job 1 (task) keeps failing after 5")
    assert str(healthy("mail")) == "queue mail is healthy again"
