"""Something is broken: each of it is named on the first page, with what repairs it, and repaired from there."""

from __future__ import annotations

import re
from pathlib import Path

from flask.testing import FlaskClient

from cronq.config.loader import Config
from cronq.locks import digest, folder
from cronq.model.job import NewJob
from cronq.model.limits import Bounds, Limit
from cronq.store import Store
from tests.web.conftest import Site, enqueued
from tests.web.test_changes import ask, confirm, fail, states

HOUR = 3600 * 1_000_000


def sentence(browser: FlaskClient, beginning: str) -> str:
    """The sentence of the first page that begins so, with what helps."""
    page = browser.get("/").text
    told: list[str] = re.findall(r"<li class=\"(?:problem|warning)\">.*?</li>", page, re.DOTALL)
    found = [one for one in told if beginning in one]
    assert len(found) == 1, page
    return found[0]


def age(store: Store, table: str, *columns: str) -> None:
    """Let an hour have passed."""
    changes = ", ".join(f"{column} = {column} - {HOUR}" for column in columns)
    store.tables.open().execute(f"UPDATE {getattr(store.tables.sql.names, table)} SET {changes}")


def test_a_paused_queue(site: Site, store: Store) -> None:
    enqueued(store, NewJob("send", queue="mail"))
    store.admin.pause("mail")
    browser = site()
    told = sentence(browser, "Queue mail is paused by")
    assert "1 job of it is due" in told
    assert 'action="/act/resume"' in told
    assert "cronq resume mail" in told
    confirm(browser, "resume", ask(browser, "resume", queue="mail").text)
    assert store.jobs.paused() == set()


def test_a_dead_cron(site: Site, store: Store, config: Config) -> None:
    enqueued(store, NewJob("send", queue="mail"))
    age(store, "jobs", "available_at", "created_at")
    told = sentence(site(), "Queue mail: the oldest job has been due for 60m")
    assert "no worker is there, and no run has looked yet on this host (is `cronq run` in the crontab?)" in told
    assert "cronq run --queue mail" in told
    assert 'href="/jobs?queue=mail&amp;state=ready"' in told
    ran = (store.clock.now() - 2 * HOUR, store.clock.now() - 2 * HOUR + 1)
    lock = Path(f"{folder(config)}/run-{digest(config.identity())}-x.lock")
    lock.write_text(f"1 {ran[0]}\n{ran[1]} 0\n\n")
    told = sentence(site(), "Queue mail: the oldest job has been due for 60m")
    assert "no worker is there, and the last run on this host was 2h ago." in told


def test_a_run_that_fails(site: Site, store: Store, config: Config) -> None:
    began = store.clock.now() - 60_000_000
    lock = Path(f"{folder(config)}/run-{digest(config.identity())}-x.lock")
    lock.write_text(f"1 {began}\n{began + 1} 78\n\nthe module shop.jobs is not there\n")
    told = sentence(site(), "The last `cronq run` on ")
    assert "with status 78: the module shop.jobs is not there" in told
    assert "cronq doctor" in told


def test_a_failing_task(site: Site, store: Store) -> None:
    fail(store, enqueued(store, *[NewJob("send")] * 3))
    browser = site()
    told = sentence(browser, "3 jobs of send failed for good")
    assert "OSError: no route" in told
    mark = re.search(r"cronq retry --error (\w+)", told)
    assert mark
    assert 'href="/failures"' in told
    confirm(browser, "retry", ask(browser, "retry", error=mark[1], state="failed,retrying").text)
    assert set(states(store).values()) == {"ready"}


def test_a_held_group(site: Site, store: Store) -> None:
    holder, other = enqueued(store, *[NewJob("add", group="invoice-7")] * 2)
    fail(store, [holder])
    database, names = store.tables.open(), store.tables.sql.names
    database.execute(f"UPDATE {names.jobs} SET state = 'blocked' WHERE id = ?", (other,))
    database.execute(f"INSERT INTO {names.groups} (name, job_id) VALUES ('invoice-7', ?)", (holder,))
    browser = site()
    told = sentence(browser, "Group invoice-7: 1 job waits")
    assert 'action="/act/cancel"' in told
    assert f'href="/jobs/{holder}"' in told
    confirm(browser, "cancel", ask(browser, "cancel", id=holder).text)
    assert states(store) == {holder: "cancelled", other: "ready"}


def test_a_full_limit(site: Site, store: Store) -> None:
    enqueued(store, *[NewJob("send", limit=Limit("smtp", "smtp", Bounds(1)))] * 3)
    age(store, "limited", "due_at")
    age(store, "jobs", "available_at", "created_at")
    browser = site()
    told = sentence(browser, "Limit smtp is full: its place is taken, 2 jobs wait, the first for 60m.")
    assert "cronq limits set smtp 2" in told
    link = re.search(r'href="(/limit\?name=smtp)"', told)
    assert link
    assert 'action="/act/set-limit"' in browser.get(link[1]).text
    confirm(browser, "set-limit", ask(browser, "set-limit", limit="smtp", places=2).text)
    assert sorted(states(store).values()) == ["pending", "ready", "ready"]
