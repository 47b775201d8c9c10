"""SQLite when others write too, and when the file is not what it should be."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cronq.config.loader import Config
from cronq.errors import Unavailable
from cronq.model.job import NewJob
from cronq.model.selection import Selection
from cronq.storage.drivers.sqlite import Database, Transaction
from cronq.store import Store
from cronq.times import Clock
from tests.integration.stores import config_in, select, store_in


def _hold(path: str, has_lock: object, let_go: object) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    has_lock.set()  # type: ignore[attr-defined]
    let_go.wait(60)  # type: ignore[attr-defined]
    connection.execute("CREATE TABLE let_go (a)")
    connection.execute("COMMIT")


class Other:
    """Another process that has the write lock."""

    def __init__(self, config: Config) -> None:
        context = multiprocessing.get_context("fork")
        has_lock, self.let_go = context.Event(), context.Event()
        self.process = context.Process(target=_hold, args=(config.sqlite_path(), has_lock, self.let_go))
        self.process.start()
        assert has_lock.wait(60)

    def end(self) -> None:
        self.let_go.set()
        self.process.join(60)


@pytest.fixture
def other(config: Config) -> Iterator[Other]:
    made = Other(config)
    yield made
    made.end()


def _enqueue(config: Config, about: object, done: object) -> None:
    with Store(config, Clock()) as store:
        store.prepare()
        about.set()  # type: ignore[attr-defined]
        store.enqueue([NewJob("t")])
        done.put(bool(store._tables.database.has_table("let_go")))  # type: ignore[attr-defined]


def test_a_writer_waits_for_the_one_before(config: Config, other: Other) -> None:
    context = multiprocessing.get_context("fork")
    about, done = context.Event(), context.Queue()
    waiter = context.Process(target=_enqueue, args=(config, about, done))
    waiter.start()
    assert about.wait(60)
    other.end()
    assert done.get(timeout=60) is True, "it was written before the lock was free"
    waiter.join(60)


def test_reading_does_not_wait(config: Config, other: Other) -> None:
    with Store(config, Clock()) as store:
        assert store.jobs.ids(Selection()) == []
    assert other.process.is_alive()


def test_patience_runs_out(config: Config, other: Other) -> None:
    database = Database(config.sqlite_path() or "", patience=0.05)
    with pytest.raises(Unavailable, match="another process has kept the database locked for too long") as raised:
        database.execute("DELETE FROM cronq_jobs")
    assert raised.value.exit_status == 69
    with pytest.raises(Unavailable):
        database.transact(lambda _: pytest.fail("began without the lock"))
    other.end()
    database.execute("DELETE FROM cronq_jobs")
    database.close()


def _pause_and(database: Database, then: Callable[[Transaction], object]) -> None:
    def work(tx: Transaction) -> None:
        tx.execute("INSERT INTO cronq_paused VALUES ('q', 0)")
        then(tx)

    database.transact(work)


def test_a_transaction_that_fails_leaves_nothing(config: Config) -> None:
    database = Database(config.sqlite_path() or "")
    with pytest.raises(ZeroDivisionError):
        _pause_and(database, lambda _: 1 / 0)
    with pytest.raises(Unavailable, match="no such table"):
        _pause_and(database, lambda tx: tx.execute("INSERT INTO nowhere VALUES (1)"))
    assert database.query("SELECT * FROM cronq_paused") == []
    database.execute("BEGIN")  # else: a transaction is open already
    database.close()


def test_a_closed_connection_opens_again(config: Config) -> None:
    with Store(config, Clock()) as store:
        store.enqueue([NewJob("t")])
        store.close()
        assert len(store.jobs.ids(Selection())) == 1


def refused(config: Config, text: str) -> None:
    verbs: list[Callable[[Store], object]] = [
        lambda store: store.jobs.counts(),
        lambda store: store.enqueue([NewJob("t")]),
    ]
    for verb in verbs:
        with Store(config, Clock()) as store, pytest.raises(Unavailable, match=text) as raised:
            verb(store)
        assert str(config.sqlite_path()) in str(raised.value)


def test_not_a_database(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    content = b"this is a letter to my aunt\n" * 100
    (tmp_path / "queue.db").write_bytes(content)
    refused(config, "the file is not a SQLite database")
    assert (tmp_path / "queue.db").read_bytes() == content


def test_a_damaged_file(config: Config) -> None:
    path = Path(config.sqlite_path() or "")
    content = bytearray(path.read_bytes())
    content[100:] = b"\xff" * (len(content) - 100)
    path.write_bytes(content)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    refused(config, "the file is damaged: restore a backup")


def test_a_missing_directory(tmp_path: Path) -> None:
    with store_in(tmp_path / "none") as store, pytest.raises(Unavailable, match="none does not exist"):
        store.jobs.counts()
    assert not (tmp_path / "none").exists()


def test_a_directory_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "queue.db").mkdir()
    with store_in(tmp_path) as store, pytest.raises(Unavailable):
        store.jobs.counts()


def test_a_read_only_file(config: Config) -> None:
    path = Path(config.sqlite_path() or "")
    with Store(config, Clock()) as store:
        store.enqueue([NewJob("t")])
    database = Database(str(path))
    select(config, "PRAGMA journal_mode = DELETE")
    path.chmod(0o400)
    try:
        if os.geteuid() == 0:
            database.execute("PRAGMA query_only = ON")  # root may write any file
        with pytest.raises(Unavailable, match="can't be written by this user: check the mode"):
            database.execute("INSERT INTO cronq_paused VALUES ('q', 0)")
        assert database.query("SELECT * FROM cronq_paused") == []
    finally:
        database.close()
        path.chmod(0o600)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.needs("root")
@pytest.mark.skipif(not shutil.which("mount"), reason="mount is not installed")
def test_a_full_disk(small_disk: Path) -> None:
    with store_in(small_disk) as store:
        (kept,) = store.enqueue([NewJob("t")])
        with pytest.raises(Unavailable, match=r"the disk is full: nothing was written|the disk or file system failed"):
            store.enqueue([NewJob("t", args="x" * 10_000)] * 1000)
        assert store.jobs.ids(Selection()) == [kept.id]
        store._tables.database.execute("BEGIN")  # else: a transaction is open already
        store.close()
        store.enqueue([NewJob("t")])
