"""Changes: a question first, then exactly what was confirmed, by those who may."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cronq.model.job import NewJob
from cronq.model.selection import Selection
from cronq.store import Store
from cronq.web.access import HostAccess
from tests.waiting import wait_until
from tests.web.conftest import Site, enqueued, plain

CHANGES = ("retry", "cancel", "kill", "pause", "resume", "end", "pause-schedule", "resume-schedule", "run-schedule")


def token(browser: FlaskClient) -> str:
    """The token that the forms of this browser carry."""
    found = re.search(r'name="csrf" content="([^"]+)"', browser.get("/jobs").text)
    assert found
    return found[1]


def fields(page: str) -> dict[str, list[str]]:
    """What the question's form would send."""
    form = page[page.index('<form class="helps"') :]
    given: dict[str, list[str]] = {"confirmed": ["yes"]}
    for name, value in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form):
        given.setdefault(name, []).append(value)
    return given


def ask(browser: FlaskClient, verb: str, **given: object) -> TestResponse:
    """The question before a change."""
    return browser.post(f"/act/{verb}", data={"csrf": token(browser), **given})


def confirm(browser: FlaskClient, verb: str, page: str, **others: object) -> TestResponse:
    """Answer it, and look at the outcome."""
    return browser.post(f"/act/{verb}", data={**fields(page), **others}, follow_redirects=True)


def states(store: Store) -> dict[int, str]:
    return {job.id: job.state for job in store.jobs.find(Selection())}


def fail(store: Store, ids: list[int]) -> None:
    """Have these jobs failed for good."""
    for one in ids:
        store.tables.open().execute(
            f"UPDATE {store.tables.sql.names.jobs} SET state = 'failed', finished_at = 1, outcome = 'error',"
            " error_class = 'OSError', error_message = 'no route' WHERE id = ?",
            (one,),
        )


def test_the_commands_of_a_page_are_quoted_for_the_shell(site: Site, store: Store) -> None:
    enqueued(store, NewJob("add", queue="$(reboot);x"))
    browser = site()
    assert "<code>cronq pause &#39;$(reboot);x&#39;</code>" in browser.get("/queues").text
    store.admin.pause("$(reboot);x")
    assert "<code>cronq resume &#39;$(reboot);x&#39;</code>" in site().get("/queues").text
    assert "<code>cronq resume &#39;$(reboot);x&#39;</code>" in site().get("/").text


def test_nothing_changes_before_the_question_is_answered(site: Site, store: Store) -> None:
    ids = enqueued(store, *[NewJob("add")] * 7)
    fail(store, ids)
    browser = site()
    page = ask(browser, "retry", state="failed").text
    assert "Retry 7 jobs?" in page
    assert page.count('href="/jobs/') == 5
    assert "cronq retry --state failed" in plain(page)
    assert set(states(store).values()) == {"failed"}
    assert "7 of 7 retried" in confirm(browser, "retry", page).text
    assert set(states(store).values()) == {"ready"}


def test_a_selection_that_has_grown_stops_at_the_confirmed_number(site: Site, store: Store) -> None:
    fail(store, enqueued(store, *[NewJob("add")] * 3))
    browser = site()
    page = ask(browser, "retry", state="failed").text
    fail(store, enqueued(store, *[NewJob("add")] * 4))
    assert "3 of 3 retried" in confirm(browser, "retry", page).text
    assert list(states(store).values()).count("failed") == 4


def test_all_that_match_is_what_the_list_shows(site: Site, store: Store) -> None:
    mail, other = enqueued(store, NewJob("send", queue="mail"), NewJob("add"))
    browser = site()
    page = ask(browser, "cancel", queue="mail").text
    assert "Cancel job" in page
    confirm(browser, "cancel", page)
    assert states(store) == {mail: "cancelled", other: "ready"}
    assert [(one.verb, one.who.startswith("ann@")) for one in store.actions.of_job(mail)] == [("cancelled", True)]


def test_a_change_by_text_takes_only_what_the_viewer_may_see(site: Site, store: Store) -> None:
    seen, masked = enqueued(store, NewJob("a", '{"to": "word-1"}'), NewJob("b", '{"password": "word-1"}'))
    browser = site()
    page = ask(browser, "cancel", search="word-1").text
    confirm(browser, "cancel", page)
    assert states(store) == {seen: "cancelled", masked: "ready"}


def test_a_change_of_everything_is_refused(site: Site, store: Store) -> None:
    enqueued(store, NewJob("add"))
    assert ask(site(), "cancel").status_code == 422
    assert ask(site(), "shell", id="1").status_code == 422


@pytest.mark.parametrize("name", ["mail\0", "m" * 401])
def test_a_name_that_no_database_takes_is_refused(site: Site, store: Store, name: str) -> None:
    for verb, what in (("pause", "queue"), ("end", "worker"), ("run-schedule", "schedule"), ("cancel", "queue")):
        given = {what: name, "confirmed": "yes", "count": "1"}
        assert ask(site(), verb, **given).status_code == 422
    assert store.jobs.paused() == set()


def test_a_queue_is_paused_and_resumed_in_the_name_of_the_viewer(
    site: Site, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    enqueued(store, NewJob("add", queue="mail"))
    caplog.set_level("INFO", logger="cronq")
    browser = site()
    confirm(browser, "pause", ask(browser, "pause", queue="mail").text)
    assert "pause mail: by ann@" in caplog.text
    assert store.jobs.paused() == {"mail"}
    page = browser.get("/").text
    assert "Queue mail is paused by ann@" in page
    assert "Audit" in browser.get("/audit").text
    confirm(browser, "resume", ask(browser, "resume", queue="mail").text)
    assert store.jobs.paused() == set()
    assert "Queue mail is paused" not in browser.get("/").text


def test_the_log_tells_what_a_change_did_before_it_failed(
    site: Site, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    enqueued(store, *[NewJob("add")] * 1001)
    store.tables.open().execute(
        f"CREATE TRIGGER full BEFORE UPDATE ON {store.tables.sql.names.jobs} WHEN new.id = 1001"
        " BEGIN SELECT RAISE(ABORT, 'no room'); END"
    )
    caplog.set_level("INFO", logger="cronq")
    browser = site()
    confirm(browser, "cancel", ask(browser, "cancel", state="ready").text)
    wait_until(lambda: "cancel --state ready: 1000 jobs, by ann@" in caplog.text)


def test_a_running_job_is_asked_to_end(site: Site, store: Store) -> None:
    (job,) = enqueued(store, NewJob("add"))
    store.tables.open().execute(
        f"UPDATE {store.tables.sql.names.jobs} SET state = 'running', lease_until = 9 WHERE id = ?", (job,)
    )
    browser = site()
    assert "End it" in browser.get(f"/jobs/{job}").text
    page = ask(browser, "kill", id=job).text
    assert f"cronq cancel --kill {job}" in plain(page)
    confirm(browser, "kill", page)
    assert store.actions.of_job(job)[0].verb == "killed"


def test_a_get_changes_nothing(site: Site, store: Store) -> None:
    enqueued(store, NewJob("add"))
    browser = site()
    for path in (*(f"/act/{verb}?id=1&queue=default&confirmed=yes&count=1" for verb in CHANGES), "/jobs/1/follow"):
        assert browser.get(path).status_code == 405, path
        assert states(store) == {1: "ready"}, path


def test_a_form_without_the_token_is_refused(site: Site, store: Store) -> None:
    enqueued(store, NewJob("add"))
    browser = site()
    token(browser)
    given = {"id": "1", "queue": "default", "confirmed": "yes", "count": "1"}
    others = token(site())
    for verb in CHANGES:
        for sent in ({}, {"csrf": others}, {"csrf": ""}):
            assert browser.post(f"/act/{verb}", data={**given, **sent}).status_code == 403, (verb, sent)
        assert states(store) == {1: "ready"}, verb
        assert store.jobs.paused() == set(), verb


def test_who_never_loaded_a_form_changes_nothing(site: Site, store: Store) -> None:
    enqueued(store, NewJob("add"))
    given = {"id": "1", "confirmed": "yes", "count": "1"}
    for sent in ({}, {"csrf": ""}):
        assert site().post("/act/cancel", data={**given, **sent}).status_code == 403
    assert states(store) == {1: "ready"}


def test_only_the_right_bearer_stands_in_for_a_forms_token(site: Site, store: Store) -> None:
    from cronq.web.access import TokenAccess

    enqueued(store, NewJob("add"))
    given = {"id": "1", "confirmed": "yes", "count": "1"}
    signed_in = site(TokenAccess("ann", "right"))
    assert signed_in.get("/?token=right").status_code == 302
    for browser in (site(), signed_in):
        for word in ("Bearer", "Bearer wrong", "Bearer  "):
            assert browser.post("/act/cancel", data=given, headers={"Authorization": word}).status_code == 403
    assert states(store) == {1: "ready"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://localhost@evil.example"},
        {"Origin": "http://localhost:81"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Referer": "https://evil.example/page"},
    ],
)
def test_a_form_from_another_site_is_refused(site: Site, store: Store, headers: dict[str, str]) -> None:
    enqueued(store, NewJob("add"))
    browser = site()
    given = {"csrf": token(browser), "id": "1", "confirmed": "yes", "count": "1"}
    assert browser.post("/act/cancel", data=given, headers=headers).status_code == 403
    assert states(store) == {1: "ready"}
    own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert browser.post("/act/cancel", data=given, headers=own).status_code == 303
    assert states(store) == {1: "cancelled"}


def test_who_may_only_view_changes_nothing_and_is_offered_nothing(site: Site, store: Store) -> None:
    enqueued(store, NewJob("add"))
    store.admin.pause("default")
    viewer = HostAccess(lambda _environ: ("bob", "view"))
    for browser in (site(viewer), site(read_only=True)):
        given = {"csrf": token(browser), "id": "1", "queue": "default", "confirmed": "yes", "count": "1"}
        for verb in CHANGES:
            assert browser.post(f"/act/{verb}", data=given).status_code == 403, verb
            assert states(store) == {1: "ready"}, verb
            assert store.jobs.paused() == {"default"}, verb
        for path in ("/", "/jobs?queue=default", "/jobs/1", "/queues", "/workers", "/schedules", "/failures"):
            assert "<button" not in browser.get(path).text.replace("<button>Filter</button>", ""), path


def test_who_is_not_known_sees_nothing(site: Site) -> None:
    browser = site(HostAccess(lambda _environ: None))
    assert browser.get("/").status_code == 403
    assert browser.post("/act/cancel", data={"id": "1"}).status_code == 403


def test_a_program_changes_with_json(site: Site, store: Store) -> None:
    from cronq.web.access import TokenAccess

    enqueued(store, NewJob("add"), NewJob("add"))
    browser = site(TokenAccess("ann", "right"))
    headers = {"Accept": "application/json", "Authorization": "Bearer right"}
    asked = browser.post("/act/cancel", data={"queue": "default"}, headers=headers).get_json()
    assert asked == {"verb": "cancel", "count": 2, "examples": [2, 1], "command": "cronq cancel --queue default"}
    given = {"queue": "default", "count": "2", "confirmed": "yes"}
    done = browser.post("/act/cancel", data=given, headers=headers).get_json()
    assert done == {"over": True, "changed": 2, "refused": [], "error": None}
