"""Databases whose own character set holds less than jobs do: what jobs say comes back as it was."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cronq.config.loader import Config, from_database
from cronq.model.job import Failure
from cronq.storage.migrations import upgrade
from cronq.store import Store
from cronq.times import Clock
from tests import databases, servers
from tests.contract.steps import claim, ending, new, outcome, put, stored

TEXT = "naïve 日本語 😀"
NARROW = {
    "mariadb": "CHARACTER SET latin1",
    "mysql": "CHARACTER SET latin1",
    "postgresql": "TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'",
}
_numbers = itertools.count()


@pytest.fixture(params=databases.KINDS)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Config]:
    servers.require(request.param)
    server = databases.shared(request.param)
    name = f"narrow{os.getpid()}n{next(_numbers)}"
    server.execute(f"CREATE DATABASE {name} {NARROW[request.param]}")
    config = from_database(server.url(name)).with_values("the test", lock_dir=str(tmp_path / "locks"))
    upgrade(config)
    yield config
    server.execute(f"DROP DATABASE {name}")


def test_what_jobs_say_comes_back(config: Config) -> None:
    with Store(config, Clock()) as store:
        good, bad = put(store, new(TEXT, args=f'{{"a":"{TEXT}"}}', key=TEXT, unique=True), new("bad", group=TEXT))
        jobs = {job.id: job for job in claim(store)}
        said: dict[str, Any] = {"stdout": TEXT, "stderr": TEXT, "notes": {"n": TEXT}, "warnings": (TEXT,)}
        ended = [
            ending(jobs[good], outcome(store, result=f'"{TEXT}"', **said)),
            ending(jobs[bad], outcome(store, "error", error=Failure("Error", TEXT, TEXT), **said)),
        ]
        assert store.settle(ended) == []
        job = stored(store, good)
        assert (job.task, job.args, job.key, job.result, job.notes) == (TEXT, {"a": TEXT}, TEXT, TEXT, {"n": TEXT})
        assert (list(job.warnings), store.jobs.output(good)) == ([TEXT], (TEXT, TEXT))
        failed, (attempt,) = stored(store, bad), store.jobs.attempts(bad)
        assert (failed.group, failed.error) == (TEXT, Failure("Error", TEXT))
        assert (attempt.error, attempt.stdout) == (Failure("Error", TEXT, TEXT), TEXT)
