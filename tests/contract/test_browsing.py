"""Pages of jobs, the last hour, and what was done by hand, on each engine."""

from __future__ import annotations

import pytest

from cronq.model.job import NewJob
from cronq.model.selection import Selection
from cronq.storage import browsing
from cronq.storage.browsing import JobBrowser
from cronq.storage.held_groups import HeldGroup, held_groups
from cronq.store import Store

STATES = (
    "ready",
    "failed",
    "finished",
    "cancelled",
    "running",
    "blocked",
    "scheduled",
    "retrying",
    "waiting",
    "pending",
)


def browser(store: Store, *, many: bool = False) -> JobBrowser:
    """Few jobs of each state, as far as it knows, or many."""
    return JobBrowser(store.tables, lambda _state, _queues: 10**6 if many else 1)


def put(store: Store, *jobs: NewJob) -> list[int]:
    return [one.id for one in store.enqueue(jobs)]


def turn(store: Store, job: int, state: str) -> None:
    """Have the job in a state, with what belongs to it."""
    ended = state in ("finished", "failed", "cancelled")
    now = store.clock.now()
    store.tables.open().execute(
        f"UPDATE {store.tables.sql.names.jobs} SET state = ?, finished_at = ?, lease_until = ?, job_group = ?,"
        " error_class = ?, error_message = ? WHERE id = ?",
        (state, now if ended else None, now if state == "running" else None, "g" if state == "blocked" else None,
         "OSError" if state == "failed" else None, "no route" if state == "failed" else None, job),
    )  # fmt: skip


def ids(page: browsing.Page) -> list[int]:
    return [job.id for job in page.jobs]


@pytest.mark.parametrize("many", [False, True], ids=["by the index", "through the newest"])
def test_each_state_is_found(store: Store, *, many: bool) -> None:
    jobs = dict(zip(STATES, put(store, *[NewJob("add", queue="mail")] * len(STATES)), strict=True))
    for state, job in jobs.items():
        turn(store, job, state)
    for state, job in jobs.items():
        assert ids(browser(store, many=many).page(Selection(states=frozenset({state})))) == [job], state
    several = Selection(states=frozenset({"failed", "ready", "running"}), queues=("mail",))
    expected = sorted((jobs["failed"], jobs["ready"], jobs["running"]), reverse=True)
    assert ids(browser(store, many=many).page(several)) == expected


def test_filters_narrow_a_page(store: Store) -> None:
    mail, other, keyed = put(
        store, NewJob("send", '{"to": "Ann"}', "mail-1"), NewJob("add", '{"a": 1}'), NewJob("add", key="k", group="h")
    )
    look = browser(store)
    assert ids(look.page(Selection(queues=("mail*",)))) == [mail]
    assert ids(look.page(Selection(queues=("none*",)))) == []
    assert ids(look.page(Selection(tasks=("add",)))) == [keyed, other]
    assert ids(look.page(Selection(search="ann"))) == [mail]
    assert ids(look.page(Selection(keys=("k",)))) == [keyed]
    assert ids(look.page(Selection(groups=("h",)))) == [keyed]
    assert ids(look.page(Selection(since=store.clock.now() + 1))) == []
    assert ids(look.page(Selection(until=store.clock.now()))) == [keyed, other, mail]
    assert look.page(Selection(ids=(mail,))).jobs[0].args == {"to": "Ann"}


def test_failures_are_found_by_their_fingerprint(store: Store) -> None:
    one, other, _ = put(store, *[NewJob("add")] * 3)
    turn(store, one, "failed")
    turn(store, other, "failed")
    (group,) = store.jobs.failures(Selection(states=frozenset({"failed"})))
    alike = Selection(states=frozenset({"failed", "retrying"}), errors=(group.fingerprint,))
    assert ids(browser(store).page(alike)) == [other, one]
    assert ids(browser(store).page(alike._replace(errors=("00000000",)))) == []


def test_pages_follow_each_other_without_gaps(store: Store) -> None:
    jobs = put(store, *[NewJob("add")] * 25)
    seen, before = list[int](), None
    while True:
        page = browser(store).page(Selection(tasks=("add",)), before=before, limit=10)
        seen += ids(page)
        before = page.older
        if before is None:
            break
    assert seen == jobs[::-1]


def test_what_no_index_serves_is_looked_for_among_the_newest(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    old, *_ = put(store, NewJob("rare"), *[NewJob("add")] * 20)
    monkeypatch.setattr(browsing, "WINDOW", 5)
    page = browser(store).page(Selection(tasks=("rare",)))
    assert (ids(page), page.looked_to) == ([], old + 16)
    found = list[int]()
    while page.older is not None:
        page = browser(store).page(Selection(tasks=("rare",)), before=page.older)
        found += ids(page)
    assert found == [old]


def test_long_arguments_are_left_out_of_a_list(store: Store) -> None:
    put(store, NewJob("add", '{"a": "' + "x" * 5000 + '"}'))
    assert browser(store).page(Selection()).jobs[0].args_text is None


def test_groups_that_a_failed_job_keeps_are_found(store: Store) -> None:
    holder, *_ = put(store, *[NewJob("add", group="g")] * 3)
    database, names = store.tables.open(), store.tables.sql.names
    database.execute(f"UPDATE {names.jobs} SET state = 'blocked' WHERE id <> ?", (holder,))
    database.execute(f"INSERT INTO {names.groups} (name, job_id) VALUES ('g', ?)", (holder,))
    assert held_groups(store.tables) == []
    turn(store, holder, "failed")
    assert held_groups(store.tables) == [HeldGroup("g", holder, 2)]


def test_a_change_of_many_jobs_is_one_line_of_the_audit(store: Store) -> None:
    jobs = put(store, *[NewJob("add")] * 3)
    store.admin.cancel(jobs, reason="by hand")
    store.admin.pause("mail")
    paused, cancelled = store.actions.latest(limit=10)
    assert (paused.verb, paused.queue, paused.jobs) == ("paused", "mail", 1)
    assert (cancelled.verb, cancelled.jobs, cancelled.first_job, cancelled.last_job) == (
        "cancelled", 3, jobs[0], jobs[-1],
    )  # fmt: skip
    assert store.actions.latest(limit=10, before=paused.id) == [cancelled]
