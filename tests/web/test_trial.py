"""Something is broken: each of it is named on the first page, with what repairs it, and repaired from there."""

from __future__ import annotations

import html
import re
import shlex
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from cronq.config.loader import Config, load
from cronq.locks import digest, folder
from cronq.model.job import NewJob
from cronq.model.limits import Bounds, Limit
from cronq.store import Store
from cronq.times import Clock
from tests.project import Project
from tests.waiting import wait_until
from tests.web.conftest import Site, enqueued, make, plain
from tests.web.test_changes import ask, confirm, fail, states

HOUR = 3600 * 1_000_000


def sentence(browser: FlaskClient, beginning: str) -> str:
    """The sentence of the first page that begins so, with what helps."""
    page = browser.get("/").text
    told: list[str] = re.findall(r"<li class=\"(?:problem|warning)\">.*?</li>", page, re.DOTALL)
    found = [one for one in told if beginning in one]
    assert len(found) == 1, page
    return plain(found[0])


def told_of(browser: FlaskClient) -> str:
    """All sentences of the first page."""
    return "".join(re.findall(r"<li class=\"(?:problem|warning)\">.*?</li>", browser.get("/").text, re.DOTALL))


def wait_until_well(browser: FlaskClient) -> None:
    """Wait until the first page has nothing to say."""
    wait_until(lambda: "Nothing is wrong." in browser.get("/").text, what="a first page without sentences")


def command_in(told: str, beginning: str) -> list[str]:
    """The words of the command that a sentence names, without `cronq`."""
    found = [html.unescape(one) for one in re.findall(r'class="command"><code>(.*?)</code>', told)]
    (command,) = [one for one in found if one.startswith(beginning)]
    return shlex.split(command)[1:]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with all tables."""
    project = Project(tmp_path)
    project.make_database()
    return project


def config_of(project: Project) -> Config:
    """The configuration of a project, as its commands read it."""
    file = str(project.directory / "cronq.toml")
    return load(file=file, environ=project.environment)


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
    wait_until(lambda: "paused" not in told_of(browser), what="a first page that doesn't name the queue")


def test_a_dead_cron(site: Site, store: Store, config: Config) -> None:
    enqueued(store, NewJob("send", queue="mail"))
    age(store, "jobs", "available_at", "created_at")
    told = sentence(site(), "Queue mail: the oldest job has been due for 60m")
    assert "no worker is there, and no run has looked yet on this host" in told
    assert "(is <code>cronq run</code> in the crontab?)" in told
    assert "cronq run --queue mail" in told
    assert 'href="/jobs?queue=mail&amp;state=ready"' in told
    ran = (store.clock.now() - 2 * HOUR, store.clock.now() - 2 * HOUR + 1)
    lock = Path(f"{folder(config)}/run-{digest(config.identity())}-x.lock")
    lock.write_text(f"1 {ran[0]}\n{ran[1]} 0\n\n")
    told = sentence(site(), "Queue mail: the oldest job has been due for 60m")
    assert "no worker is there, and the last run on this host was 2h ago." in told


def test_a_dead_cron_is_repaired_by_the_command_that_the_page_names(project: Project) -> None:
    job = project.enqueue("--queue", "mail", "--", "true")
    with Store(config_of(project), Clock()) as store:
        age(store, "jobs", "available_at", "created_at")
    browser = make(config_of(project)).test_client()
    told = sentence(browser, "Queue mail: the oldest job has been due for 60m")
    project.done(*command_in(told, "cronq run"))
    assert project.show(job)["state"] == "finished"
    wait_until_well(browser)


def test_a_run_that_fails_is_repaired_by_what_the_named_command_says(project: Project) -> None:
    job = project.enqueue("--queue", "mail", "--", "true")
    app = (project.directory / "jobs.py").rename(project.directory / "jobs.away")
    assert project.cronq("run").status != 0
    browser = make(config_of(project)).test_client()
    told = sentence(browser, "The last <code>cronq run</code> on ")
    said = project.cronq(*command_in(told, "cronq doctor")).stdout
    assert "No module named 'jobs'" in said, said
    app.rename(project.directory / "jobs.py")
    project.cronq("run")
    assert project.show(job)["state"] == "finished"
    wait_until_well(browser)


def test_a_run_that_fails(site: Site, store: Store, config: Config) -> None:
    began = store.clock.now() - 60_000_000
    lock = Path(f"{folder(config)}/run-{digest(config.identity())}-x.lock")
    lock.write_text(f"1 {began}\n{began + 1} 78\n\nthe module shop.jobs is not there\n")
    told = sentence(site(), "The last <code>cronq run</code> on ")
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
    wait_until_well(browser)


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
    wait_until_well(browser)


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
    confirm(browser, "set-limit", ask(browser, "set-limit", limit="smtp", places=3).text)
    assert sorted(states(store).values()) == ["ready", "ready", "ready"]
    wait_until(lambda: "smtp" not in told_of(browser), what="a first page that doesn't name the limit")
