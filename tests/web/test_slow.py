"""A database that takes too long for a page: the statement is ended, and a sentence says so."""

from __future__ import annotations

import time

import pytest
from flask import Flask

from cronq.config.loader import Config
from cronq.errors import TooSlow
from cronq.model.job import NewJob
from cronq.storage.drivers.opening import open_database
from cronq.store import Store
from cronq.web import backend as behind
from cronq.web.pages import behind as backend_of
from tests.contract.conftest import ENGINES, engine_queue
from tests.web.conftest import enqueued, make

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) SELECT count(*) FROM n"
SLOW = {"sqlite": ENDLESS, "postgresql": "SELECT pg_sleep(60)"}
_MANY = ", ".join(f"information_schema.columns c{number}" for number in range(3))
SLOW_ON_MYSQL = f"SELECT count(*) FROM {_MANY}"


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_a_statement_is_ended_at_its_limit(engine: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    config = engine_queue(engine, tmp_path_factory.mktemp("queue"))
    database = open_database(config)
    database.set_statement_limit(0.5)
    began = time.monotonic()
    try:
        with pytest.raises(TooSlow, match=r"took longer than 0\.5s"):
            database.query(SLOW.get(engine, SLOW_ON_MYSQL))
        assert time.monotonic() - began < 45
        assert database.query("SELECT 1") == [(1,)]
    finally:
        database.close()


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_a_page_says_that_it_took_too_long(
    config: Config, store: Store, monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    enqueued(store, NewJob("add"))
    monkeypatch.setattr(behind, "STATEMENT_LIMIT", 0.5)
    app: Flask = make(config)

    def slow() -> str:
        return str(backend_of().store.tables.query(ENDLESS))

    app.add_url_rule("/slow", "slow", slow)
    browser = app.test_client()
    answer = browser.get("/slow", headers={"Accept": accept})
    assert answer.status_code == 503
    assert "the database took longer than 0.5s for this, and was stopped: ask for less" in answer.text
    assert browser.get("/jobs/1").status_code == 200
