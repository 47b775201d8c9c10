from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cronq.execution.journal import Entry, Journal
from cronq.model.job import Failure
from cronq.model.outcome import Outcome
from tests.unit.claims import claimed

PLAIN = Outcome("success", 1, 2, memory_before=3, peak_memory=4, cpu_time=0.25, pid=7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "worker.1.journal"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    made = Journal(str(path))
    made.name_process(7)
    yield made
    made.close()


def reread(path: Path) -> list[Entry]:
    again = Journal(str(path))
    try:
        return again.ended()
    finally:
        again.close()


TEXT = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
NUMBER = st.one_of(st.none(), st.integers(0, 2**62))
SECONDS = st.one_of(st.none(), st.floats(0, 1e9))
OUTCOMES = st.builds(
    Outcome,
    st.sampled_from(["success", "warning", "error", "timeout", "crashed", "snoozed", ""]),
    st.integers(0, 2**62),
    st.integers(0, 2**62),
    st.sampled_from(["", "fail", "retry", "snooze", "skip", "release"]),
    delay=SECONDS,
    error=st.one_of(st.none(), st.builds(Failure, st.text("ab"), st.text('\n"\\é'), TEXT)),
    exit_status=st.one_of(st.none(), st.integers(0, 255)),
    signal=TEXT,
    result=TEXT,
    warnings=st.lists(st.text("w\n"), max_size=2).map(tuple),
    notes=st.one_of(st.none(), st.dictionaries(st.text("ab"), st.integers())),
    stdout=TEXT,
    stderr=TEXT,
    peak_memory=NUMBER,
    memory_before=NUMBER,
    cpu_time=SECONDS,
    pid=st.just(7),
    stop=st.booleans(),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(OUTCOMES, max_size=4))
def test_every_field_comes_back(journal: Journal, path: Path, outcomes: list[Outcome]) -> None:
    journal.forget()
    for outcome in outcomes:
        journal.append(claimed(id=5, token=6), outcome)
    expected = [Entry(5, 6, outcome) for outcome in outcomes]
    assert journal.ended() == expected
    assert journal.ended() == []
    assert reread(path) == expected


def test_no_field_is_forgotten() -> None:
    built: Any = OUTCOMES
    assert len(Outcome._fields) == 18, "a new field of Outcome must be added to OUTCOMES above"
    assert built is not None


def test_what_runs_now(journal: Journal, path: Path) -> None:
    assert journal.current() == (0, 0, 0)
    journal.begin(claimed(id=5, token=6), 99)
    again = Journal(str(path))
    assert (again.current(), again.process) == ((5, 6, 99), 7)
    again.close()


def test_lone_surrogates_come_back_as_something_to_store(journal: Journal) -> None:
    journal.append(claimed(), PLAIN._replace(error=Failure("E", "file \udcff missing", "line \ud800")))
    (entry,) = journal.ended()
    assert entry.outcome.error is not None
    assert "missing" in entry.outcome.error.message
    entry.outcome.error.message.encode()
    (entry.outcome.error.traceback or "").encode()


def test_a_torn_last_line_is_not_an_entry_yet(journal: Journal, path: Path) -> None:
    journal.append(claimed(), PLAIN)
    journal.append(claimed(id=2), PLAIN)
    os.truncate(path, path.stat().st_size - 5)
    assert [entry.job_id for entry in journal.ended()] == [1]
    assert journal.ended() == []
    assert journal.has_more()


@pytest.mark.parametrize("damage", [b"\0\0\0\0", b'{"a', b"[1,2]", b"5", b'[1,2,"x",1,2,3,4,5,null,[1]]', b"\xff"])
def test_a_damaged_line_costs_only_itself(journal: Journal, path: Path, damage: bytes) -> None:
    journal.append(claimed(), PLAIN)
    with path.open("ab") as file:
        file.write(damage + b"\n")
    journal.append(claimed(id=3), PLAIN)
    assert [entry.job_id for entry in journal.ended()] == [1, 3]


def test_a_line_longer_than_a_read(journal: Journal) -> None:
    long = PLAIN._replace(stdout="é" * 1_200_000)
    journal.append(claimed(), PLAIN)
    journal.append(claimed(id=2), long)
    journal.append(claimed(id=3), PLAIN)
    assert [entry.outcome for entry in journal.ended()] == [PLAIN, long, PLAIN]


def test_forgetting(journal: Journal, path: Path) -> None:
    journal.append(claimed(), PLAIN)
    journal.ended()
    assert journal.size > 0
    journal.forget()
    assert (journal.size, journal.has_more(), reread(path)) == (0, False, [])
    journal.append(claimed(id=2), PLAIN)
    assert [entry.job_id for entry in journal.ended()] == [2]


def test_the_file_is_for_its_owner_only(journal: Journal, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert journal.path == str(path)


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"):
        Journal(str(tmp_path / "link"))
    assert not (tmp_path / "target").exists()
