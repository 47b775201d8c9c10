"""A SQLite file that is moved, removed, replaced or linked while a queue uses it."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cronq import Cronq
from cronq.config.loader import Config
from cronq.errors import ConfigError, Unavailable
from cronq.model.selection import Selection
from cronq.storage.drivers import sqlite
from cronq.store import Store
from cronq.times import Clock
from tests.integration.stores import config_in
from tests.project import Project

LOOK = """\
import sqlite3, sys
asked = sqlite3.connect(sys.argv[1])
print(*(asked.execute(sql).fetchall() for sql in ("PRAGMA integrity_check", "SELECT count(*) FROM cronq_jobs")))
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_in(tmp_path)


def _remove(file: Path) -> None:
    for end in ("", "-wal", "-shm"):
        Path(f"{file}{end}").unlink(missing_ok=True)


def _move(file: Path) -> None:
    file.rename(file.with_name("moved.db"))
    _remove(file)


def _replace(file: Path) -> None:
    """Put a backup in its place, as an administrator would."""
    backup = file.with_name("backup.db")
    with sqlite3.connect(file) as before, sqlite3.connect(backup) as after:
        before.backup(after)
    before.close()
    after.close()
    _remove(file)
    backup.rename(file)


def _overwrite(file: Path) -> None:
    """The same, into the file that is there."""
    backup = file.with_name("backup.db")
    with sqlite3.connect(file) as before, sqlite3.connect(backup) as after:
        before.backup(after)
    before.close()
    after.close()
    for end in ("-wal", "-shm"):
        Path(f"{file}{end}").unlink()
    shutil.copyfile(backup, file)


@pytest.mark.parametrize("change", [_remove, _move, _replace])
def test_a_producer_goes_on_in_the_file_that_is_there(
    config: Config, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sqlite, "_LOOK", 0.0)
    file = Path(config.sqlite_path() or "")
    caplog.set_level(logging.WARNING, "cronq")
    with Cronq(config) as queue:
        queue.enqueue("before", check=False)
        queue.enqueue("before", check=False)
        change(file)
        queue.enqueue("after", check=False)
        queue.enqueue("later", check=False)
        with Store(config, Clock()) as other:
            assert {job.task for job in other.jobs.find(Selection())} >= {"after", "later"}
    assert len([one for one in caplog.messages if "was moved, removed or replaced" in one]) == 1


def test_a_producer_leaves_an_overwritten_file_alone(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_LOOK", 0.0)
    file = Path(config.sqlite_path() or "")
    with Cronq(config) as queue:
        for _ in range(3):
            queue.enqueue("before", check=False)
        _overwrite(file)
        for _ in range(2):
            with pytest.raises(Unavailable, match="was overwritten while it was open: end this process and start it"):
                queue.enqueue("after", check=False)
    assert subprocess.check_output([sys.executable, "-c", LOOK, str(file)], text=True) == "[('ok',)] [(3,)]\n"


def test_closing_a_replaced_file_leaves_the_new_one_alone(config: Config) -> None:
    """SQLite would remove the write-ahead log that is at the path, and the jobs in it with that."""
    file = Path(config.sqlite_path() or "")
    queue, other = Cronq(config), Cronq(config)
    queue.enqueue("before", check=False)
    _replace(file)
    other.enqueue("after", check=False)
    log = Path(f"{file}-wal")
    number = log.stat().st_ino
    queue.close()
    assert log.stat().st_ino == number
    other.close()


PRODUCER = """\
import sys
from cronq import Cronq
queue = Cronq(f"sqlite:///{sys.argv[1]}")
queue.enqueue("before", check=False)
exec(sys.argv[2])
print("begun", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("kept", ["", "queue.itself = queue", "sys.modules['cronq'].queue = queue"])
def test_a_producer_that_ends_without_closing_leaves_the_new_file_alone(config: Config, kept: str) -> None:
    """Even by the interpreter's end SQLite must not close the connection, and nothing is said about it."""
    file = Path(config.sqlite_path() or "")
    program = [sys.executable, "-c", PRODUCER, str(file), kept]
    with subprocess.Popen(program, stdin=-1, stdout=-1, stderr=-1, text=True) as producer:
        assert producer.stdout is not None
        assert producer.stdout.readline() == "begun\n"
        _replace(file)
        with Cronq(config) as other:
            other.enqueue("after", check=False)
            log = Path(f"{file}-wal").stat().st_ino
            assert producer.communicate(timeout=60) == ("", "")
            assert Path(f"{file}-wal").stat().st_ino == log
            other.enqueue("later", check=False)
    with Store(config, Clock()) as store:
        assert len(store.jobs.ids(Selection())) == 3


def test_a_file_with_two_names_is_refused(config: Config) -> None:
    file = Path(config.sqlite_path() or "")
    with Cronq(config) as queue:
        queue.enqueue("t", check=False)
    file.with_name("other.db").hardlink_to(file)
    with Cronq(config) as queue, pytest.raises(ConfigError, match=r"the file has 2 names \(hard links\)"):
        queue.enqueue("t", check=False)
    file.with_name("other.db").unlink()
    with Cronq(config) as queue:
        queue.enqueue("t", check=False)


def test_commands_tell_of_a_file_with_two_names(project: Project) -> None:
    project.enqueue("--", "true")
    project.database.with_name("other.db").hardlink_to(project.database)
    for command in ("run", "ls", "status"):
        ran = project.cronq(command)
        assert (ran.status, "2 names (hard links)" in ran.stderr) == (78, True), ran
    assert "2 names (hard links)" in project.cronq("doctor").stdout


def test_a_worker_goes_on_in_the_file_that_is_there(project: Project) -> None:
    project.enqueue("--", "true")
    worker = project.start("work", "--poll", "1s", "--jobs", "1")
    try:
        project.done("wait", 1, "--timeout", "60s")
        _remove(project.database)
        project.done("enqueue", "--", "true")
        project.done("wait", 1, "--timeout", "60s")
    finally:
        worker.terminate()
        _, said = worker.communicate(timeout=60)
    assert said.count("was moved, removed or replaced while it was open") == 1
