"""MySQL and MariaDB with other defaults than their makers': time zone, sql_mode and character set change nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cronq.config.loader import Config, from_database
from cronq.model.job import Failure
from cronq.storage.drivers.opening import open_database
from cronq.storage.migrations import upgrade
from cronq.store import Store
from cronq.times import Clock
from tests import databases, scale, servers
from tests.contract.steps import claim, ending, later, new, outcome, put, stored
from tests.project import Project

TEXT = """back\\slash \\' \\" \\0 \\n %s ? ' " ` || 日本語 😀 trailing \\"""
MODES = {
    "lax": "NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,ANSI_QUOTES,IGNORE_SPACE,PAD_CHAR_TO_FULL_LENGTH",
    "empty": "",
    "old": "ANSI,NO_AUTO_VALUE_ON_ZERO,HIGH_NOT_PRECEDENCE,REAL_AS_FLOAT",
}
OPTIONS = ("--character-set-server=latin1", "--default-time-zone=+05:45")


@pytest.fixture(scope="module", params=scale.engines("mariadb", of=("mariadb", "mysql")))
def server(request: pytest.FixtureRequest) -> Iterator[databases.Running]:
    servers.require(request.param)
    with databases.private(request.param, *OPTIONS) as server:
        yield server


@pytest.fixture(params=MODES)
def config(request: pytest.FixtureRequest, server: databases.Running, tmp_path: Path) -> Iterator[Config]:
    server.execute(f"SET GLOBAL sql_mode = '{MODES[request.param]}'", "CREATE DATABASE odd")
    config = from_database(server.url("odd")).with_values("the test", lock_dir=str(tmp_path / "locks"))
    upgrade(config)
    yield config
    server.execute("DROP DATABASE odd")


def test_texts_come_back_as_they_were(config: Config) -> None:
    with Store(config, Clock()) as store:
        good, bad = put(store, new(TEXT, args=json.dumps({"a": TEXT}), key=TEXT, unique=True), new("bad", group=TEXT))
        assert put(store, new(TEXT, key=TEXT, unique=True)) == [good]
        jobs = {job.id: job for job in claim(store)}
        ended = [
            ending(jobs[good], outcome(store, stdout=TEXT, notes={"n": TEXT}, warnings=(TEXT,))),
            ending(jobs[bad], outcome(store, "error", error=Failure("Error", TEXT, TEXT), stderr=TEXT)),
        ]
        assert store.settle(ended) == []
        job, failed, (attempt,) = stored(store, good), stored(store, bad), store.jobs.attempts(bad)
        assert (job.task, job.args, job.key, job.notes) == (TEXT, {"a": TEXT}, TEXT, {"n": TEXT})
        assert (list(job.warnings), store.jobs.output(good)) == ([TEXT], (TEXT, None))
        assert (failed.group, failed.error, attempt.error) == (
            TEXT,
            Failure("Error", TEXT),
            Failure("Error", TEXT, TEXT),
        )


def test_times_are_those_of_utc(config: Config) -> None:
    with Store(config, Clock()) as store:
        (id,) = put(store, new("later", available_at=later(store, 3600)))
        assert claim(store) == []
        assert abs(stored(store, id).created_at - datetime.now(UTC)) < timedelta(minutes=5)
    database = open_database(config)
    [(ahead,)] = database.query("SELECT TIMESTAMPDIFF(MINUTE, UTC_TIMESTAMP(), available_at) FROM cronq_jobs_view")
    database.close()
    assert 55 <= ahead <= 60


def test_commands_work(config: Config, project: Project) -> None:
    environment = {"CRONQ_DATABASE": config.database, "CRONQ_COMMANDS": "true"}
    project.write("cronq.toml", 'app = "jobs:queue"\n[schedules.often]\nevery = "1s"\ncommand = "true"\n')
    for arguments in (("schedules", "sync"), ("enqueue", "say", f"text={TEXT}"), ("enqueue", "break"), ("run",)):
        ran = project.cronq(*arguments, env=environment)
        assert (ran.status, ran.stderr) == (0, ""), ran
    for arguments in (("errors",), ("status",), ("ls",), ("show", "1"), ("retry", "2"), ("clear-finished", "0")):
        ran = project.cronq(*arguments, env=environment)
        assert ran.status == 0, ran
