"""PostgreSQL behind pgbouncer: everything works where a session lasts, anything else is refused at connect."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from cronq.config.loader import Config, from_database
from cronq.errors import ConfigError, Unavailable
from cronq.storage.drivers import postgresql
from cronq.storage.drivers.opening import open_database
from cronq.storage.idle_check import anything_to_do
from cronq.storage.migrations import upgrade
from cronq.store import Store
from cronq.times import Clock
from daemons.pgbouncer import pooled
from tests import databases
from tests.contract.steps import claim, finish, new, put, states
from tests.project import Project

pytestmark = pytest.mark.needs("postgresql", "pgbouncer")
Pool = Callable[..., Config]


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    """Starts a pool; returns a config of a queue behind it."""
    direct = databases.empty_queue("postgresql", tmp_path)
    with ExitStack() as started:

        def start(*settings: str, options: str = "") -> Config:
            port = started.enter_context(pooled(databases.shared("postgresql"), *settings))
            url = re.sub(r":\d+/", f":{port}/", direct.database) + options
            return direct.with_values("the test", database=url)

        yield start


def test_a_pool_of_sessions_is_like_the_server(pool: Pool) -> None:
    config = pool("pool_mode = session")
    database = open_database(config)
    limits = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "transaction_isolation")
    shown = [database.query(f"SHOW {name}")[0][0] for name in limits]
    assert shown == ["30s", "5s", "10s", "read committed"]
    database.close()
    with Store(config, Clock()) as store:
        ids = put(store, *(new("t", group="g", key=str(n), unique=True) for n in range(3)))
        while jobs := claim(store):
            finish(store, jobs)
        assert states(store, ids) == ["finished"] * 3


def test_limits_in_the_url_stay() -> None:
    url = databases.shared("postgresql").url("postgres") + "&options=-c%20statement_timeout%3D7s"
    database = open_database(from_database(url))
    assert database.query("SHOW statement_timeout") == [("7s",)]
    database.close()


def test_a_worker_behind_sessions_hears_of_jobs(pool: Pool, project: Project) -> None:
    config = pool("pool_mode = session")
    environment = {"CRONQ_DATABASE": config.database, "CRONQ_COMMANDS": "true"}
    worker = project.start("work", "--poll", "1h", "--max-jobs", "2", env=environment)
    try:
        for _ in range(2):
            job = project.cronq("enqueue", "--", "true", env=environment).stdout.strip()
            waited = project.cronq("wait", job, "--timeout", "60s", env=environment)
            assert waited.status == 0, waited
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.communicate()


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pool_of_transactions_is_refused(pool: Pool, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setattr(postgresql, "_PROBE_LIMIT", 1.0)
    config = pool(f"pool_mode = {mode}", "ignore_startup_parameters = options")
    for use in (partial(anything_to_do, config, Clock()), partial(upgrade, config)):
        with pytest.raises(ConfigError, match="`pool_mode = session` in pgbouncer"):
            use()


def test_the_refusal_is_a_matter_of_configuration(pool: Pool, project: Project) -> None:
    config = pool("pool_mode = transaction")
    for command in ("run", "work"):
        ran = project.cronq(command, env={"CRONQ_DATABASE": config.database})
        assert (ran.status, ran.stderr.count("\n")) == (78, 1), ran
        assert "`pool_mode = session` in pgbouncer" in ran.stderr


def test_a_pool_with_no_session_to_spare_is_taken_as_it_is(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "_PROBE_LIMIT", 0.5)
    database = open_database(pool("pool_mode = session", "default_pool_size = 1"))
    assert database.query("SELECT 1") == [(1,)]
    database.close()


def test_what_the_pool_refuses_is_told_at_once(pool: Pool) -> None:
    config = pool("pool_mode = session", options="&options=-c%20work_mem%3D8MB").with_values("the test", patience="60s")
    began = time.monotonic()
    with pytest.raises(Unavailable, match="unsupported startup parameter"):
        open_database(config).query("SELECT 1")
    assert time.monotonic() - began < 40


@pytest.mark.parametrize(
    ("options", "said"),
    [("&autocommit=false", "unknown option autocommit"), ("&prepare_threshold=often", "'often' is neither a number")],
)
def test_options_that_mean_nothing(options: str, said: str) -> None:
    url = databases.shared("postgresql").url("postgres")
    with pytest.raises(ConfigError, match=said):
        open_database(from_database(url + options)).query("SELECT 1")


@pytest.mark.parametrize("threshold", ["0", "none"])
def test_how_often_before_a_statement_is_prepared(pool: Pool, threshold: str) -> None:
    database = open_database(pool("pool_mode = session", options=f"&prepare_threshold={threshold}"))
    assert [database.query("SELECT ?::int", (n,)) for n in range(10)] == [[(n,)] for n in range(10)]
    database.close()
