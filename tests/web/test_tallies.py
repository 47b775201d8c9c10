"""The jobs of batches are counted in the background: no page waits for those of a large batch."""

from __future__ import annotations

import threading

from cronq.model.job import NewJob
from cronq.store import Store
from cronq.web.backend import Backend
from cronq.web.tallies import Tallies
from tests.waiting import wait_until
from tests.web.conftest import Site
from tests.web.test_flow_pages import JSON, opened


def test_a_page_comes_before_the_numbers_of_a_large_batch(site: Site, store: Store) -> None:
    large, small = opened(store, *[NewJob("load")] * 3), opened(store, NewJob("load"))
    counting = threading.Event()

    def count(batch: int) -> dict[str, int]:
        assert batch != large or counting.wait(60)
        return store_of_this_thread().batches.counts(batch)

    browser = site()
    backend: Backend = browser.application.extensions["cronq"]

    def store_of_this_thread() -> Store:
        return backend.store

    backend.tallies = Tallies(count, lambda batch: batch == large)
    page = browser.get("/batches").text
    assert "0 of 1" in page
    assert page.count("being counted") == 1
    assert "Its jobs are being counted." in browser.get(f"/batches/{large}").text
    answer = browser.get(f"/batches/{large}", headers=JSON)
    assert (answer.status_code, "are being counted" in answer.get_json()["error"]) == (503, True)
    assert browser.get(f"/batches/{small}", headers=JSON).get_json()["counts"] == {"ready": 1}
    counting.set()
    wait_until(lambda: "0 of 3 jobs have ended" in browser.get(f"/batches/{large}").text, what="the numbers")
    assert browser.get(f"/batches/{large}", headers=JSON).get_json()["counts"] == {"ready": 3}


def test_a_batch_is_large_that_has_more_than_a_number_of_jobs(store: Store) -> None:
    one = opened(store, *[NewJob("load")] * 3)
    assert store.batches.has_more_than(2, one)
    assert not store.batches.has_more_than(3, one)
    assert not store.batches.has_more_than(0, one + 1)


def test_only_the_last_batches_are_kept_in_memory() -> None:
    tallies = Tallies(lambda batch: {"ready": batch}, lambda _batch: True)
    assert tallies.of([7], patience=60) == [{"ready": 7}]
    tallies.of(range(1000, 1600))
    assert len(tallies._known) <= 500
    assert tallies.of([7], patience=60) == [{"ready": 7}]
