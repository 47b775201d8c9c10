"""The pages of batches and limits: what they say, and what can be done there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from cronq.model.batch import NewBatch
from cronq.model.job import NewJob
from cronq.model.limits import Bounds, Limit
from cronq.store import Store
from tests.web.conftest import Site, enqueued, plain
from tests.web.test_changes import ask, confirm, fail, states

SMTP = Limit("smtp", "smtp", Bounds(1))
JSON = {"Accept": "application/json"}
SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


def opened(store: Store, *jobs: NewJob, closed: bool = False, after: NewJob | None = None) -> int:
    """The id of a new batch."""
    callbacks = [("after", after)] if after else []
    return store.batches.open(NewBatch("import", jobs=jobs, callbacks=callbacks, closed=closed)).id


def test_batches_are_listed_with_their_jobs_by_state(site: Site, store: Store) -> None:
    one = opened(store, *[NewJob("load")] * 3)
    fail(store, [1])
    other = opened(store, NewJob("load"), closed=True)
    store.admin.cancel([4], reason="by hand")
    page = site().get("/batches").text
    assert f'href="/batches/{one}">{one} (import)' in page
    assert "1 of 3" in page
    assert "failed" in page
    unended = site().get("/batches?unended=yes").text
    assert f"/batches/{one}" in unended
    assert f"/batches/{other}" not in unended


def test_older_batches_are_on_the_next_page(site: Site, store: Store) -> None:
    ids = [opened(store) for _ in range(21)]
    browser = site()
    page = browser.get("/batches").text
    assert f'id="b-{ids[0]}"' not in page
    assert f'href="/batches?before={ids[1]}"' in page
    assert f'id="b-{ids[0]}"' in browser.get(f"/batches?before={ids[1]}").text


def test_a_batch_tells_what_comes_after_it_and_each_job_names_its_batch(site: Site, store: Store) -> None:
    one = opened(store, *[NewJob("load")] * 2, after=NewJob("report"))
    browser = site()
    page = browser.get(f"/batches/{one}").text
    assert "It takes more jobs" in page
    assert "0 of 2 jobs have ended" in page
    assert 'href="/jobs/3">job 3</a> (pending)' in page
    assert f"cronq batch close {one}" in page
    member, report = browser.get("/jobs/1").text, browser.get("/jobs/3").text
    assert f'href="/batches/{one}">{one} (import)</a>, open' in member
    assert f'href="/batches/{one}">batch {one}</a>' in report
    listed = browser.get("/jobs", query_string={"batch": one}, headers=JSON).get_json()["jobs"]
    assert [job["id"] for job in listed] == [2, 1]


def test_a_batch_is_closed_retried_and_cancelled(site: Site, store: Store) -> None:
    one = opened(store, *[NewJob("load")] * 3)
    fail(store, [1])
    browser = site()
    asked = ask(browser, "close-batch", id=one).text
    assert f"Close batch {one} (import)" in asked
    assert "open" in store.batches.require(one).state
    confirm(browser, "close-batch", asked)
    assert store.batches.require(one).state == "running"
    asked = ask(browser, "retry", batch=one, state="failed").text
    assert "Retry job 1" in asked
    assert f"cronq retry --state failed --batch {one}" in plain(asked)
    confirm(browser, "retry", asked)
    assert states(store)[1] == "ready"
    asked = ask(browser, "cancel", batch=one).text
    assert "Cancel 3 jobs" in asked
    assert f"cronq cancel --batch {one}" in plain(asked)
    assert "3 of 3 cancelled" in confirm(browser, "cancel", asked).text
    assert store.batches.require(one).state == "cancelled"


def test_limits_are_listed_and_one_shows_who_has_its_places(site: Site, store: Store) -> None:
    enqueued(store, *[NewJob("send", limit=SMTP)] * 3)
    browser = site()
    page = browser.get("/limits").text
    assert 'href="/limit?name=smtp"' in page
    assert "1 of 1" in page
    page = browser.get("/limit?name=smtp").text
    assert "It allows 1 at a time; 1 place is taken, 2 jobs wait." in page
    held, line = page.split("First to get a place")
    assert 'href="/jobs/1"' in held
    assert 'href="/jobs/2"' in line
    assert 'href="/limit?name=smtp">smtp</a>' in browser.get("/jobs/2").text


def test_the_period_of_a_rate_is_written_as_the_configuration_has_it(site: Site, store: Store) -> None:
    rate = Bounds(5, 1000, 7_000_000_000)
    job = enqueued(store, NewJob("send", limit=Limit("stripe", "stripe", rate), time_limit=5400))[0]
    browser = site()
    assert "It allows 5 at a time and 1,000 starts in 7000s;" in browser.get("/limit?name=stripe").text
    assert "5, 1000/7000s" in browser.get("/limits").text
    assert "<dt>time limit</dt><dd>90m</dd>" in browser.get(f"/jobs/{job}").text


def test_a_limit_is_set_and_reset(site: Site, store: Store) -> None:
    enqueued(store, *[NewJob("send", limit=SMTP)] * 3)
    browser = site()
    asked = ask(browser, "set-limit", limit="smtp", places=2, rate="100/10s").text
    assert "Set limit smtp to 2, 100/10s" in asked
    assert "cronq limits set smtp 2 --rate 100/10s" in plain(asked)
    assert states(store)[2] == "pending"
    confirm(browser, "set-limit", asked)
    assert states(store) == {1: "ready", 2: "ready", 3: "pending"}
    assert "2, 100/10s (set by hand)" in browser.get("/limits").text
    confirm(browser, "reset-limit", ask(browser, "reset-limit", limit="smtp").text)
    assert store.limit_reader.all()[0].bounds == Bounds(1)


@pytest.mark.parametrize("given", [{}, {"places": "0"}, {"places": "many"}, {"rate": "5"}, {"rate": "0/1s"}])
def test_a_senseless_limit_is_refused(site: Site, store: Store, given: dict[str, str]) -> None:
    enqueued(store, NewJob("send", limit=SMTP))
    assert ask(site(), "set-limit", limit="smtp", **given).status_code == 422


@pytest.mark.parametrize("path", ["/batches/7", "/limit?name=none", "/limit"])
def test_what_is_not_there_is_not_found(site: Site, path: str) -> None:
    assert site().get(path).status_code == 404


def test_each_page_is_the_document_of_its_command(site: Site, store: Store) -> None:
    one = opened(store, NewJob("load"), NewJob("send", limit=SMTP))
    browser = site()
    for path, schema in (("/batches", "batch-ls"), (f"/batches/{one}", "batch-show"), ("/limits", "limits")):
        document = browser.get(path, headers=JSON).get_json()
        Draft202012Validator(json.loads((SCHEMAS / f"{schema}.json").read_text())).validate(document)
        assert document
    assert browser.get("/limit?name=smtp", headers=JSON).get_json()["held"] == [2]


def test_the_first_page_names_full_limits_and_batches_left_open(site: Site, store: Store) -> None:
    enqueued(store, *[NewJob("send", limit=SMTP)] * 3)
    one = opened(store)
    browser = site()
    assert "is full" not in browser.get("/").text
    database, names, hour = store.tables.open(), store.tables.sql.names, 3_700_000_000
    database.execute(f"UPDATE {names.limited} SET due_at = due_at - ?", (hour,))
    database.execute(f"UPDATE {names.batches} SET opened_at = opened_at - ?", (hour,))
    browser = site()
    page = browser.get("/").text
    assert "Limit smtp is full: its place is taken, 2 jobs wait, the first for 61m." in page
    assert 'href="/limit?name=smtp"' in page
    assert f"Batch {one} (import) was left open by " in page
    assert "nothing has happened to it for 61m." in page
    assert f"cronq batch close {one}" in page
