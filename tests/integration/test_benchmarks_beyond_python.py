"""Queues of other languages in `make bench`: the pipe to what enqueues, and what is said where they can't run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import foreign
from benchmarks.needs import can
from benchmarks.peer import peer
from benchmarks.work import Order

BEYOND_PYTHON = ("graphile_worker", "pg_boss", "bullmq_redis", "sidekiq_redis")
PRODUCER = """
import json, pathlib, sys, time
for line in sys.stdin:
    asked = json.loads(line)
    while time.process_time() < 0.3:
        pass
    with pathlib.Path(sys.argv[1]).open("a") as file:
        file.write(f"{asked['how']} {[order['n'] for order in asked['orders']]}\\n")
    print("done", flush=True)
"""


class Written(foreign.Foreign):
    """A queue whose producer writes down what it was told."""

    name = "written down"
    promise = "none"

    def producer(self) -> list[str]:
        return [sys.executable, "-c", PRODUCER, str(self.place / "told")]


def test_jobs_are_enqueued_when_the_call_returns_and_the_time_of_the_producer_counts(tmp_path: Path) -> None:
    queue = Written(tmp_path)
    queue.open()
    before = queue.processor_time()
    queue.put(Order(1, None))
    queue.put_each([Order(2, None), Order(3, None)])
    queue.put_many([Order(4, None), Order(5, None)])
    assert (tmp_path / "told").read_text().splitlines() == ["each [1]", "each [2, 3]", "many [4, 5]"]
    assert queue.processor_time() - before >= 0.2


@pytest.fixture
def afresh() -> Iterator[None]:
    """What is known of the machine is looked up in the test, and again after it."""
    for known in (foreign.node_lacks, can):
        known.cache_clear()
    yield
    for known in (foreign.node_lacks, can):
        known.cache_clear()


@pytest.mark.usefixtures("afresh")
@pytest.mark.parametrize("name", BEYOND_PYTHON)
def test_where_its_language_is_missing_one_line_says_so(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert peer(name).missing() in {"node and npm", "ruby and Debian's ruby-sidekiq"}
    assert not can(name, "drain")
    assert not can(name, "drain")
    [line] = capsys.readouterr().err.splitlines()
    assert f"drain: {peer(name).name} is left out: this machine lacks " in line


def test_versions_are_pinned_to_the_last_number() -> None:
    packages = json.loads((foreign.SCRIPTS / "node" / "package.json").read_text())["dependencies"]
    assert all(version.replace(".", "").isdigit() and version.count(".") == 2 for version in packages.values())
