"""Finding jobs by what went wrong and by their age, and changing many of them at once."""

from __future__ import annotations

import pytest

from cronq.model.job import Claimed, Failure
from cronq.model.selection import SORTS, Selection
from cronq.storage.live_output import Tail, Written
from cronq.store import Store
from cronq.testing import ManualClock
from cronq.times import SECOND
from tests.contract.steps import claim, end, later, new, put, states, stored

MESSAGES = ("no route to 10.0.0.1", "no route to 10.0.0.2", "the card has expired")


@pytest.fixture
def failed(store: Store, clock: ManualClock) -> list[int]:
    """Three failed jobs, two of them alike, and one that has finished."""
    ids = put(store, new("mail"), new("mail"), new("pay"), new("pay"))
    for job, message in zip(claim(store), (*MESSAGES, None), strict=True):
        clock.advance(60)
        if message is None:
            end(store, job)
        else:
            end(store, job, "error", "fail", error=Failure("OSError" if job.task == "mail" else "Fail", message))
    return ids


def test_failures_are_grouped_by_what_went_wrong(store: Store, clock: ManualClock, failed: list[int]) -> None:
    alike, alone = store.jobs.failures(Selection(states=frozenset({"failed"})))
    assert (alike.task, alike.error_class, alike.jobs, alike.failed, alike.example) == (
        "mail",
        "OSError",
        2,
        2,
        failed[1],
    )
    assert (alike.last_seen - alike.first_seen, clock.now() - alone.last_seen) == (60 * SECOND, 60 * SECOND)
    assert (alone.task, alone.message) == ("pay", MESSAGES[2])
    assert store.jobs.ids(Selection(errors=(alike.fingerprint,))) == failed[:2]
    assert store.jobs.ids(Selection(errors=(alike.fingerprint, "Fail"))) == failed[:3]
    assert store.jobs.ids(Selection(errors=("Fail",))) == [failed[2]]
    assert store.jobs.ids(Selection(errors=("00000000",))) == []
    assert [job.id for job in store.jobs.find(Selection(errors=(alike.fingerprint,)), limit=1)] == [failed[1]]
    assert store.jobs.failures(Selection(errors=(alone.fingerprint,))) == [alone]
    assert store.jobs.failures(Selection(queues=("none",))) == []


def test_a_failure_counts_until_the_job_has_ended_well(store: Store, clock: ManualClock) -> None:
    ids = put(store, new("mail"), new("mail", group="a"), new("mail", group="a"))
    failing = Selection(states=frozenset({"failed", "retrying", "ready", "blocked", "running"}))
    for job in claim(store, limit=2):
        end(store, job, "error", error=Failure("OSError", MESSAGES[0]))
    assert [group.jobs for group in store.jobs.failures(failing)] == [2]
    clock.advance(3600)
    store.leases.promote(clock.now())
    assert [group.jobs for group in store.jobs.failures(failing)] == [2]
    first, second = claim(store, limit=2)
    assert [group.jobs for group in store.jobs.failures(failing)] == [2]
    end(store, first)
    end(store, second, "snoozed", "snooze", delay=60.0, error=Failure("Snooze", "later"))
    clock.advance(60)
    store.leases.promote(clock.now())
    assert store.jobs.failures(failing) == []
    assert states(store, ids[:2]) == ["finished", "ready"]


def test_by_age_since_the_end_or_else_since_they_were_enqueued(store: Store, failed: list[int]) -> None:
    (fresh,) = put(store, new())
    assert store.jobs.ids(Selection(older_than=90.0)) == failed[:2]
    assert store.jobs.ids(Selection(older_than=0.0)) == failed[:3]
    assert fresh in store.jobs.ids(Selection())


def test_by_their_last_event(store: Store, clock: ManualClock, failed: list[int]) -> None:
    start = clock.now() - 240 * SECOND
    clock.advance(60)
    fresh, scheduled = put(store, new(), new(available_at=later(store, 3600)))
    running = claim(store)[0].id
    everything = [*failed, fresh, scheduled]
    assert running == fresh
    assert store.jobs.ids(Selection(since=start)) == everything
    assert store.jobs.ids(Selection(since=start + 120 * SECOND)) == everything[1:]
    assert store.jobs.ids(Selection(since=start + 120 * SECOND, until=start + 180 * SECOND)) == failed[1:3]
    assert store.jobs.ids(Selection(since=clock.now())) == [fresh, scheduled]
    assert store.jobs.ids(Selection(until=start)) == []
    assert [job.id for job in store.jobs.find(Selection(since=clock.now()), limit=1)] == [scheduled]


def test_by_a_text_in_them(store: Store, failed: list[int]) -> None:
    plain, quoted, keyed = put(
        store,
        new(args='{"to":"Ann_1@example.org"}'),
        new(args='{"name":"M\\u00fcller 100%","said":"\\"no\\""}'),
        new("report", key="Ann!", queue="weekly"),
    )
    found = {
        "ann": [plain, keyed], "N_1@": [plain], "nx1@": [], "Müller": [quoted], "100%": [quoted], "0%m": [],
        '"no"': [quoted], "ann!": [keyed], "REPORT": [keyed], "weekly": [keyed], "no route": failed[:2],
        "oserror": failed[:2],
    }  # fmt: skip
    assert {text: store.jobs.ids(Selection(search=text)) for text in found} == found


def test_by_patterns_of_queues(store: Store) -> None:
    ids = put(store, *(new(queue=queue) for queue in ("mail", "mail-eu", "reports", "default")))
    assert store.jobs.ids(Selection(queues=("mail*",))) == ids[:2]
    assert store.jobs.ids(Selection(queues=("mail*", "!*-eu", "reports"))) == [ids[0], ids[2]]
    assert store.jobs.ids(Selection(queues=("!mail",))) == ids[1:]
    assert store.jobs.ids(Selection(queues=("nothing*",))) == []
    assert store.jobs.count(Selection(queues=("mail?eu",))) == 1


def test_in_an_order(store: Store, clock: ManualClock) -> None:
    ids = put(store, new("b", priority=5), new("a", priority=7), new("a", priority=6))
    for job, seconds in zip(claim(store, 2), (5, 2), strict=True):
        clock.advance(seconds)
        end(store, job)

    def ordered(sort: str) -> list[int]:
        return [job.id for job in store.jobs.find(Selection(), sort=sort)]

    first, second, third = ids
    assert ordered("id") == ids
    assert ordered("task") == [third, second, first]
    assert ordered("-priority") == [second, third, first]
    assert ordered("ended") == [first, third, second]
    assert ordered("-ended") == [third, first, second]
    assert [job.id for job in store.jobs.find(Selection(), limit=1, sort="-ended")] == [third]
    for sort in SORTS:
        assert sorted(ordered(sort)) == sorted(ordered(f"-{sort}")) == ids


def test_counting_stops_at_a_limit(store: Store) -> None:
    put(store, *[new()] * 12)
    assert store.jobs.count_up_to(Selection(), 100) == 12
    assert store.jobs.count_up_to(Selection(), 10) == 10


def test_how_many_of_what(store: Store, failed: list[int]) -> None:
    assert store.jobs.breakdown(Selection()) == [
        ("default", "failed", "mail", 2), ("default", "failed", "pay", 1), ("default", "finished", "pay", 1),
    ]  # fmt: skip
    alike = store.jobs.failures(Selection())[0].fingerprint
    assert store.jobs.breakdown(Selection(errors=(alike,))) == [("default", "failed", "mail", 2)]
    assert store.jobs.count(Selection(tasks=("pay",))) == 2
    assert (store.jobs.queues(), store.jobs.tasks()) == (["default"], ["mail", "pay"])
    assert len(failed) == 4


def test_many_are_retried_but_for_those_with_an_unfinished_twin(store: Store) -> None:
    ids = put(store, new(key="a", unique=True), new(key="b", unique=True), new(), new(group="g"))
    for job in claim(store):
        end(store, job, "error", "fail")
    (twin,) = put(store, new(key="a", unique=True))
    (again,) = put(store, new(key="b", unique=True))
    store.admin.cancel([again])
    (holder,) = put(store, new(group="g", priority=1))
    assert [job.id for job in claim(store, 1)] == [holder]
    changed, refused = store.admin.retry_all_but_twins([*ids, again, 999])
    assert changed == [*ids[2:], again]
    assert refused == {ids[0]: twin, ids[1]: again}
    assert states(store, ids) == ["failed", "failed", "ready", "blocked"]
    assert (stored(store, ids[2]).attempt, stored(store, ids[2]).error) == (0, None)
    assert store.admin.retry_all_but_twins([]) == ([], {})


def test_many_are_cancelled_and_whoever_waits_behind_one_goes_on(store: Store) -> None:
    alone, first, second, running = put(store, new(), new(group="g"), new(group="g"), new(priority=1))
    claim(store, 1)
    assert store.admin.cancel([alone, first, running]) == [alone, first]
    assert states(store, [alone, first, second, running]) == ["cancelled", "cancelled", "ready", "running"]


def test_only_ended_ones_of_the_selected_are_cleared_away(store: Store, failed: list[int]) -> None:
    (ready,) = put(store, new())
    assert store.admin.clear_selected([*failed, ready], {"failed"}) == 3
    assert store.jobs.ids(Selection()) == [failed[3], ready]
    assert store.jobs.attempts(failed[0]) == []


def test_the_place_in_the_line(store: Store) -> None:
    late, early, other = put(store, new(priority=60), new(priority=10), new(queue="other"))
    (last,) = put(store, new(priority=60))
    places = [store.jobs.ahead_of(stored(store, job)) for job in (early, late, last, other)]
    assert places == [0, 1, 2, 0]


@pytest.mark.usefixtures("failed")
def test_what_finished_lately(store: Store) -> None:
    ((ended, waited),) = store.jobs.finished_since("default", 0, limit=10)
    assert ended == store.clock.now()
    assert waited == 239 * SECOND
    assert store.jobs.finished_since("default", ended, limit=10) == []


def running(store: Store) -> Claimed:
    put(store, new())
    return claim(store)[0]


def test_a_follower_is_shown_what_a_job_prints(store: Store, other: Store, clock: ManualClock) -> None:
    job = running(store)
    assert other.workers.requests("one").followed == ()
    store.live_output.follow(job.id)
    assert store.live_output.read(job.id) is None
    assert other.workers.requests("one").followed == (job.id,)
    shown = Tail(job.token, Written(100_000, b"gr\xc3\xbc\xff\0"), Written(0, b""))
    other.live_output.write(job.id, shown)
    assert store.live_output.read(job.id) == shown
    clock.advance(10)
    store.live_output.follow(job.id)
    clock.advance(10)
    assert other.workers.requests("one").followed == (job.id,)


def test_a_follower_that_says_nothing_more_is_forgotten(store: Store, other: Store, clock: ManualClock) -> None:
    job = running(store)
    store.live_output.follow(job.id)
    other.live_output.write(job.id, Tail(job.token, Written(2, b"ab"), Written(0, b"")))
    clock.advance(20)
    assert other.workers.requests("one").followed == ()
    store.live_output.follow(job.id)
    assert store.live_output.read(job.id) is None


def test_nothing_is_kept_for_a_job_whose_output_is_not_read(store: Store) -> None:
    job = running(store)
    store.live_output.write(job.id, Tail(job.token, Written(2, b"ab"), Written(0, b"")))
    assert store.live_output.read(job.id) is None
    assert later(store, 1) > 0
