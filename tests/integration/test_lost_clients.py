"""Clients of a server that disappear within a transaction: others wait for their locks only for a short time."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import pytest

from cronq.storage.drivers import server as dialect
from cronq.storage.drivers.opening import open_database
from cronq.storage.migrations import _alone
from cronq.store import Store
from cronq.times import Clock
from tests import databases, servers
from tests.contract.steps import claim, new, put
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialect, "STANDSTILL_LIMIT", 1)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_the_locks_of_a_lost_client_are_freed(kind: str, tmp_path: Path) -> None:
    servers.require(kind)
    config = databases.empty_queue(kind, tmp_path).with_values("the test", patience="20s")
    lost = open_database(config)
    with Store(config, Clock()) as store:
        (job,) = put(store, new())
        lost.query("SELECT 1")
        session = lost._connections.take()  # type: ignore[attr-defined]
        cursor = session.connection.cursor()
        cursor.execute("BEGIN")
        cursor.execute("UPDATE cronq_jobs SET priority = 1")
        assert [one.id for one in claim(store)] == [job]
    session.close()
    lost.close()


@pytest.mark.needs("mysql")
def test_an_upgrade_that_takes_longer_keeps_its_lock(tmp_path: Path) -> None:
    config = databases.empty_queue("mysql", tmp_path)
    beside = open_database(config)
    idle = (
        f"SELECT 1 FROM {databases.PROCESSES['mysql']}"
        " WHERE command = 'Sleep' AND time > 2 AND info IS NULL AND db = DATABASE()"
    )
    with _alone(config):
        wait_until(lambda: beside.query(f"{idle} AND id <> CONNECTION_ID()"), what="the limit is over")
        name = f"cronq:{crc32(f'{config.database_url().name} {config.table_prefix}'.encode()):08x}"
        held = beside.query("SELECT count(*) FROM performance_schema.metadata_locks WHERE object_name = ?", (name,))
        assert held == [(1,)]
    beside.close()
