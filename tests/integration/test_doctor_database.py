"""What doctor finds in the database, on its disk and in the lock directory."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from cronq.config.loader import Config
from cronq.errors import ConfigError
from cronq.locks import RunLock
from cronq.monitoring.doctor import database as tables
from cronq.monitoring.doctor import (
    disk,
    locks,
)
from cronq.monitoring.doctor.checks import examine
from cronq.monitoring.doctor.context import Installation
from cronq.monitoring.doctor.finding import Level
from cronq.storage.drivers.opening import open_database
from cronq.storage.schema_version import CURRENT
from tests import databases, servers
from tests.integration.doctoring import bad
from tests.integration.stores import config_in, select
from tests.project import Project
from tests.waiting import wait_until

# --- the database


def test_no_database_yet(tmp_path: Path) -> None:
    assert "warning: " in bad(tables.reachable, config_in(tmp_path))[0]
    assert "does not exist" in bad(tables.reachable, config_in(tmp_path / "none"))[0]
    assert not (tmp_path / "queue.db").exists()
    (tmp_path / "queue.db").write_bytes(b"this is no database\n" * 100)
    assert "is not a SQLite database" in bad(tables.reachable, config_in(tmp_path))[0]


@pytest.mark.parametrize(
    ("revision", "text"),
    [("0001", f"revision 0001, this cronq needs {CURRENT}"), ("9999", "a newer cronq made them")],
)
def test_tables_of_another_revision(config: Config, revision: str, text: str) -> None:
    assert bad(tables.schema, config) == []
    select(config, "UPDATE cronq_schema SET version_num = ?", (revision,))
    assert text in bad(tables.schema, config)[0]


def test_tables_of_an_older_revision_are_left_as_they_are(project: Project) -> None:
    settings = project.directory / "cronq.toml"
    schedule = '[schedules.night]\ntask = "add"\nargs = {a = 1, b = 2}\ncron = "30 2 * * *"\n'
    settings.write_text(f"{settings.read_text()}\n{schedule}")
    assert "night" in project.done("schedules", "sync")
    project.sql("UPDATE cronq_schema SET version_num = '0015'")
    said = project.cronq("doctor").stdout
    assert "the tables are of revision 0015" in said
    assert "schedules: 1 schedule, the next is due in" in said
    assert project.sql("SELECT version_num FROM cronq_schema") == [("0015",)]


@pytest.mark.parametrize("engine", ["sqlite", *databases.KINDS])
def test_an_index_that_is_missing_and_how_to_make_it(engine: str, config: Config, tmp_path: Path) -> None:
    if engine != "sqlite":
        servers.require(engine)
        config = databases.empty_queue(engine, tmp_path)
    installation = Installation(config)
    database = installation.database
    assert database is not None
    assert [one.level for one in tables.indexes(installation)] == ["ok"]
    database.execute(f"DROP INDEX cronq_jobs_key{' ON cronq_jobs' if database.family == 'mysql' else ''}")
    [missing] = tables.indexes(installation)
    assert "cronq_jobs_key is missing" in missing.text
    database.execute(missing.advice.removeprefix("make it: "))
    assert [one.level for one in tables.indexes(installation)] == ["ok"]
    assert [one.level for check in (tables.reachable, tables.schema, tables.writable) for one in check(installation)]
    assert not [one for one in tables.clock(installation) if one.level is not Level.OK]
    database.close()


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_server_is_named_and_left_again(kind: str, tmp_path: Path) -> None:
    servers.require(kind)
    config = databases.empty_queue(kind, tmp_path)
    told = " ".join(one.finding.text for one in examine(lambda: config))
    name = {"mariadb": "(MariaDB ", "mysql": "(MySQL ", "postgresql": "(PostgreSQL "}[kind]
    assert name in told
    beside = open_database(config)
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        if kind == "postgresql"
        else f"SELECT count(*) FROM {databases.PROCESSES[kind]} WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    )
    # A server lists a connection for a moment after its end.
    wait_until(lambda: list(beside.query(others)) == [(0,)], what="no connection is left")
    beside.close()


def test_a_prefix_is_needed_on_mysql(tmp_path: Path) -> None:
    config = config_in(tmp_path).with_values("the test", database="mysql://cronq@127.0.0.1:1/jobs", table_prefix="")
    with pytest.raises(ConfigError, match="`groups` is a reserved word"):
        open_database(config)


@pytest.mark.needs("mariadb")
def test_a_server_whose_clock_is_off(tmp_path: Path) -> None:
    installation = Installation(databases.empty_queue("mariadb", tmp_path))
    assert installation.database is not None
    installation.database.execute("SET @@timestamp = UNIX_TIMESTAMP() - 100")
    assert "ahead of the database's" in next(tables.clock(installation)).text
    installation.database.close()


@pytest.mark.needs("postgresql")
def test_a_server_that_is_read_only(tmp_path: Path) -> None:
    installation = Installation(databases.empty_queue("postgresql", tmp_path))
    assert installation.database is not None
    assert list(tables.writable(installation)) == []
    installation.database.execute("SET default_transaction_read_only = on")
    assert "read-only" in next(tables.writable(installation)).text
    installation.database.close()


# --- the disk


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("server:/export {0} nfs4 rw 0 0", "problem: {0}/queue.db lies on nfs4, a network file system"),
        ("tmpfs {0} tmpfs rw 0 0", "warning: {0}/queue.db lies in memory (tmpfs)"),
        ("/dev/sda1 {0} ext4 rw 0 0", None),
        ("server:/export {0}/elsewhere nfs rw 0 0", None),
    ],
)
def test_the_file_system(config: Config, tmp_path: Path, line: str, text: str | None) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/root / ext4 rw 0 0\n{line.format(tmp_path)}\n")
    found = bad(disk.file_system, config, mounts=mounts)
    assert found == [] if text is None else found[0].startswith(text.format(tmp_path))


def test_the_write_ahead_log(config: Config) -> None:
    installation = Installation(config)
    assert list(disk.write_ahead_log(installation)) == []
    with Path(f"{config.sqlite_path()}-wal").open("ab") as file:  # there as long as the installation has it open
        file.truncate(300 << 20)
    assert "has grown to 300 MiB" in next(disk.write_ahead_log(installation)).text
    assert installation.database is not None
    installation.database.close()
    select(config, "PRAGMA journal_mode = DELETE")
    assert "the journal mode is delete" in bad(disk.write_ahead_log, config)[0]


def test_a_log_that_has_grown_is_emptied_as_the_advice_says(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_LARGE_LOG", 1 << 20)
    file = config.sqlite_path() or ""
    installation = Installation(config)
    with closing(sqlite3.connect(file)) as reader, closing(sqlite3.connect(file)) as writer:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM cronq_jobs").fetchall()
        writer.execute("CREATE TABLE filler AS SELECT randomblob(3000000)")
        told = next(disk.write_ahead_log(installation))
        reader.rollback()
        writer.execute("INSERT INTO filler VALUES (1)")
        writer.commit()
        assert list(disk.write_ahead_log(installation)), "a write alone doesn't make the file smaller"
        statement = told.advice.rpartition(f"sqlite3 {file} '")[2].rstrip("'")
        writer.execute(statement).fetchall()
        assert list(disk.write_ahead_log(installation)) == []
    assert installation.database is not None
    installation.database.close()


def test_a_disk_that_is_nearly_full(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one.level for one in disk.space(Installation(config))] == ["ok"]
    real = os.statvfs(config.lock_dir.rpartition("/")[0])
    for blocks, level in ((10, "problem"), (30_000, "warning")):
        changed = os.statvfs_result([*real[:1], 4096, *real[2:4], blocks, *real[5:]])
        monkeypatch.setattr("cronq.monitoring.doctor.disk.os.statvfs", lambda _path, changed=changed: changed)
        assert bad(disk.space, config)[0].startswith(level)


def test_room_for_journals_and_the_log_is_measured_too(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", small], check=False).returncode:
        pytest.skip("only root can mount a small file system")
    try:
        on_server = config_in(tmp_path).with_values(
            "the test", database="mysql://192.0.2.1/jobs", lock_dir=str(small / "made")
        )
        (told,) = bad(disk.space, on_server)
        assert told == f"problem: only 1 MiB are free on the disk of {small}, for journals of running jobs"
        logged = on_server.with_values("the test", lock_dir=str(tmp_path), log=str(small / "cronq.log"))
        assert f"problem: only 1 MiB are free on the disk of {small}, for the log" in bad(disk.space, logged)
        everywhere = Path("/proc/self/mounts").read_text().replace(f" {small} tmpfs", f" {small} nfs4")
        (tmp_path / "mounts").write_text(everywhere)
        (told,) = bad(disk.lock_file_system, on_server, mounts=tmp_path / "mounts")
        assert "lies on nfs4, a network file system" in told
    finally:
        subprocess.run(["umount", "--lazy", small], check=True)


# --- locks


@pytest.mark.needs("root")
def test_files_of_another_user(config: Config) -> None:
    with RunLock(config):
        pass
    assert bad(locks.lock_folder, config) == bad(locks.lock_files, config) == []
    [lock] = Path(config.lock_dir).glob("run-*")
    lock.chmod(0o644)
    assert "others can open it" in bad(locks.lock_files, config)[0]
    os.chown(lock, 65534, 65534)
    assert f"{lock.name} in {config.lock_dir}: not root's" in bad(locks.lock_files, config)[0]
    Path(config.lock_dir).chmod(0o777)
    assert "others can write to" in bad(locks.lock_folder, config)[0]


def test_a_lock_directory_below_a_file_is_one_finding(config: Config, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    below = config.with_values("the test", lock_dir=str(tmp_path / "file" / "locks"))
    told = [text for check in (locks.lock_folder, locks.lock_files, disk.space) for text in bad(check, below)]
    assert len(told) == 1
    assert "does not exist and can't be made by root" in told[0]


def test_lock_files_that_come_and_go(config: Config) -> None:
    over = threading.Event()

    def come_and_go() -> None:
        passing = Path(config.lock_dir) / "w.alive"
        while not over.is_set():
            passing.touch(mode=0o600)
            passing.unlink()

    with RunLock(config), ThreadPoolExecutor() as pool:
        runner = pool.submit(come_and_go)
        try:
            assert not any(bad(locks.lock_files, config) for _ in range(500))
        finally:
            over.set()
        runner.result()
