"""What the pages say."""

from __future__ import annotations

import re
import threading
from pathlib import Path

from cronq.config.loader import Config
from cronq.model.job import NewJob
from cronq.store import Store
from cronq.web.snapshots import Snapshot
from tests import ready_database
from tests.contract.steps import claim, ending, outcome
from tests.waiting import wait_until
from tests.web.conftest import Site, enqueued, plain
from tests.web.test_changes import fail


def test_the_last_hour_is_drawn_and_told(site: Site, store: Store) -> None:
    enqueued(store, *[NewJob("add", queue="mail")] * 3)
    assert store.settle([ending(job, outcome(store)) for job in claim(store, 2)]) == []
    store.minutes.write()
    for path in ("/", "/queues"):
        text = site().get(path).text
        assert 'aria-label="within an hour 2 finished, 0 failed; at most 2 finished in a minute"' in text
        assert re.search(r'<rect class="good"', text)


def test_an_unchanged_page_is_not_sent_again(site: Site, store: Store) -> None:
    enqueued(store, NewJob("add"))
    browser = site()
    browser.get("/audit")
    first = browser.get("/audit")
    again = browser.get("/audit", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_a_held_group_is_told_with_what_helps(site: Site, store: Store) -> None:
    holder, other = enqueued(store, *[NewJob("add", group="invoice-7")] * 2)
    fail(store, [holder])
    database, names = store.tables.open(), store.tables.sql.names
    database.execute(f"UPDATE {names.jobs} SET state = 'blocked' WHERE id = ?", (other,))
    database.execute(f"INSERT INTO {names.groups} (name, job_id) VALUES ('invoice-7', ?)", (holder,))
    text = site().get("/").text
    assert f"Group invoice-7: 1 job waits behind job {holder}, which failed and keeps the group." in text
    assert f"cronq retry {holder}" in text
    assert f"cronq cancel {holder}" in text


def test_before_there_is_a_queue_the_pages_say_so(site: Site, config: Config) -> None:
    file = Path(config.sqlite_path() or "")
    file.unlink()
    browser = site()
    first = browser.get("/")
    assert (first.status_code, "no queue at" in plain(first.text)) == (200, True)
    assert "cronq run" in plain(first.text)
    assert "does not answer" not in first.text
    assert "data-live" in first.text  # it shows the queue as soon as there is one
    for path, headers in (("/jobs", {}), ("/", {"Accept": "application/json"})):
        answer = browser.get(path, headers=headers)
        assert answer.status_code == 404
        assert "no queue at" in answer.text
    health = browser.get("/health")
    assert (health.status_code, health.text) == (503, "there is no queue yet\n")
    assert not file.exists()
    ready_database.make(file)
    wait_until(lambda: "Nothing is wrong" in browser.get("/").text, seconds=60)


def test_viewers_share_one_reading(site: Site, store: Store) -> None:
    enqueued(store, NewJob("add"))
    browser = site()
    backend = browser.application.extensions["cronq"]
    read: list[int] = []

    def look() -> object:
        read.append(1)
        return store.jobs.stats()

    census = Snapshot(look, every=60)
    backend.census = census
    for _ in range(20):
        assert browser.get("/queues").status_code == 200
    assert len(read) == 1


def test_a_reading_that_began_before_a_change_does_not_count() -> None:
    begun, going_on = threading.Semaphore(0), threading.Semaphore(1)
    value = 1

    def read() -> int:
        seen = value
        begun.release()
        assert going_on.acquire(timeout=60)
        return seen

    snapshot = Snapshot(read, every=0.0, patience=60)
    assert snapshot.get().value == 1
    assert begun.acquire(timeout=60)

    def began() -> bool:
        assert snapshot.get(quick=0.0).value == 1
        return begun.acquire(blocking=False)

    wait_until(began, what="another reading")
    value = 2
    snapshot.expire()
    for _ in range(2):
        going_on.release()
    assert snapshot.get().value == 2


def test_numbers_stay_with_their_age_while_the_database_is_away() -> None:
    from cronq.errors import Unavailable

    answers = [1]

    def read() -> int:
        if not answers:
            raise Unavailable("gone")
        return answers.pop()

    snapshot = Snapshot(read, every=0.0)
    assert snapshot.get().value == 1
    wait_until(lambda: snapshot.get().problem == "gone")
    seen = snapshot.get()
    assert seen.value == 1
    assert seen.age > 0
