"""Outcomes that a database refuses: reduced until they fit, and no other job waits for them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cronq.config.loader import Config, from_database
from cronq.errors import InvalidInput
from cronq.model.job import Failure
from cronq.storage.migrations import upgrade
from cronq.store import Store
from cronq.times import Clock
from tests import databases, scale, servers
from tests.contract.steps import claim, ending, new, outcome, put, states, stored
from tests.integration.stores import config_in, select

LATIN1 = "TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
LETTERS = "E" * 400
_numbers = itertools.count()


@pytest.fixture(params=["sqlite", *databases.KINDS, "postgresql of latin1"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Config]:
    if request.param == "sqlite":
        yield config_in(tmp_path)
        return
    kind, *narrow = request.param.split(" ", 1)
    servers.require(kind)
    if not narrow:
        yield databases.empty_queue(kind, tmp_path)
        return
    server = databases.shared(kind)
    name = f"refusing{os.getpid()}n{next(_numbers)}"
    server.execute(f"CREATE DATABASE {name} {LATIN1}")
    config = from_database(server.url(name)).with_values("the test", lock_dir=str(tmp_path / "locks"))
    upgrade(config)
    yield config
    server.execute(f"DROP DATABASE {name}")


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "a class of 400 letters": ("error", {"error": Failure(LETTERS, "no", "Traceback …")}),
    "half a letter": ("error", {"error": Failure("Error", "\ud800", "\ud800"), "stdout": "\ud800"}),
    "a letter that latin1 hasn't": ("error", {"error": Failure("Fehler", "日本語", "日本語"), "stderr": "日本語"}),
    "a class in a module of such a name": ("error", {"error": Failure("Fehler", "no", None, "Aufträge.日本.Fehler…")}),
    "letters of a success": ("success", {"result": '"日本語 😀"', "stdout": "日本語 😀"}),
    "numbers that are too large": ("success", {"pid": 1 << 70, "exit_status": 1 << 70, "peak_memory": 1 << 70}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_state_is_kept_and_others_are_settled(config: Config, case: str) -> None:
    kind, said = REFUSED[case]
    with Store(config, Clock()) as store:
        ids = put(store, *(new() for _ in range(20)), new(group="g"), new(group="g"))
        *claimed, held, behind = claim(store)
        bad = claimed[7].id
        ended = [ending(job, outcome(store, *([kind] if job.id == bad else []), **(said if job.id == bad else {})))
                 for job in claimed]  # fmt: skip
        assert store.settle([*ended, ending(held, outcome(store)), ending(behind, outcome(store))]) == []
        assert states(store, [one for one in ids if one != bad]) == ["finished"] * 21
        job = stored(store, bad)
        assert job.state == ("retrying" if kind == "error" else "finished")
        if kind == "error":
            (attempt,) = store.jobs.attempts(bad)
            assert job.error is not None
            assert attempt.error is not None
            assert attempt.error.kind[:1] == job.error.kind[:1] == said["error"].kind[:1]
        assert store.leases.owners() == []


def test_what_is_reduced_says_so(config: Config) -> None:
    with Store(config, Clock()) as store:
        put(store, new())
        (job,) = claim(store)
        assert store.settle([ending(job, outcome(store, stdout="\ud800", result='"ok"'))]) == []
        kept = stored(store, job.id)
        assert (kept.state, kept.outcome, kept.result) == ("finished", "warning", "ok")
        assert kept.warnings[0].startswith("the database refused what the attempt left: ")
        assert store.jobs.output(job.id) == ("\\ud800", None)


@pytest.mark.parametrize("kind", scale.engines("mariadb", of=("mariadb", "mysql")))
def test_packets_are_counted_in_bytes(kind: str, tmp_path: Path) -> None:
    servers.require(kind)
    with databases.private(kind, "--max-allowed-packet=1M") as server:
        server.execute("CREATE DATABASE small")
        config = from_database(server.url("small")).with_values("the test", lock_dir=str(tmp_path / "locks"))
        upgrade(config)
        with Store(config, Clock()) as store:
            with pytest.raises(InvalidInput, match="max_allowed_packet"):
                put(store, new(args='{"a":"%s"}' % ("日" * 400_000)))
            ids = put(store, *(new(args='{"a":"%s"}' % ("日" * 60_000)) for _ in range(16)))
            claimed = claim(store)
            printed = "\x01\x1b'日" * 20_000
            ended = [ending(job, outcome(store, "error", stdout=printed, stderr="x" * 130_000)) for job in claimed]
            ended[3] = ending(claimed[3], outcome(store, stdout="'" * 2_000_000, result="1"))
            assert store.settle(ended) == []
            assert states(store, ids).count("retrying") == 15
            assert store.jobs.output(claimed[0].id)[0] == printed
            large = stored(store, claimed[3].id)
            assert (large.state, large.outcome, large.result) == ("finished", "warning", 1)
            assert "most of it is left out" in large.warnings[0]


def test_a_row_that_takes_nothing_keeps_no_other_from_being_settled(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    with Store(config, Clock()) as store:
        ids = put(store, *(new() for _ in range(10)))
        select(config, "CREATE TRIGGER refuse BEFORE UPDATE OF finished_at ON cronq_jobs WHEN old.id = 4"
                       " BEGIN SELECT raise(ABORT, 'not this one'); END")  # fmt: skip
        assert store.settle([ending(job, outcome(store)) for job in claim(store)]) == [4]
        assert states(store, ids) == ["running" if one == 4 else "finished" for one in ids]
