from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cronq.config.loader import from_database
from cronq.execution.journal import Journal, journals_of, path_for, set_aside_unreadable, workers
from cronq.execution.journal_file import LINES, Entry, JournalFile
from cronq.model.job import Failure
from cronq.model.outcome import Outcome
from tests.unit.claims import claimed

PLAIN = Outcome("success", 1, 2, memory_before=3, peak_memory=4, cpu_time=0.25, pid=7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "worker.1.journal"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    made = Journal.create(str(path))
    made.name_process(7)
    yield made
    made.close()


def reread(path: Path) -> list[Entry]:
    again = JournalFile.open(str(path))
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


@settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=40
)
@given(st.lists(OUTCOMES, max_size=4))
def test_every_field_comes_back(journal: Journal, path: Path, outcomes: list[Outcome]) -> None:
    journal.forget()
    for outcome in outcomes:
        journal.append(claimed(id=5, token=6), outcome)
    expected = [Entry(5, 6, outcome) for outcome in outcomes]
    assert journal.ended(7) == expected
    assert journal.ended(7) == []
    assert reread(path) == expected


def test_no_field_is_forgotten() -> None:
    built: Any = OUTCOMES
    assert len(Outcome._fields) == 18, "a new field of Outcome must be added to OUTCOMES above"
    assert built is not None


def test_what_runs_now(journal: Journal, path: Path) -> None:
    assert journal.current() == (0, 0, 0)
    journal.begin(claimed(id=5, token=6), 99)
    again = JournalFile.open(str(path))
    assert (again.current(), again.process) == ((5, 6, 99), 7)
    again.close()


def test_lone_surrogates_come_back_as_something_to_store(journal: Journal) -> None:
    journal.append(claimed(), PLAIN._replace(error=Failure("E", "file \udcff missing", "line \ud800")))
    (entry,) = journal.ended(7)
    assert entry.outcome.error is not None
    assert "missing" in entry.outcome.error.message
    entry.outcome.error.message.encode()
    (entry.outcome.error.traceback or "").encode()


def test_a_torn_last_line_is_no_entry(journal: Journal, path: Path) -> None:
    journal.append(claimed(), PLAIN)
    journal.append(claimed(id=2), PLAIN)
    os.truncate(path, path.stat().st_size - 5)
    assert [entry.job_id for entry in reread(path)] == [1]
    assert [entry.job_id for entry in journal.ended(7)] == [1]


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "damage",
    [b"\0\0\0\0", b'{"a', b"[1,2]", b"5", b'[1,2,"x",1,2,3,4,5,null,[1]]', b"\xff", DEEP, b"9" * 5000],
    ids=range(8),
)
def test_a_damaged_line_costs_only_itself(journal: Journal, path: Path, damage: bytes) -> None:
    journal.append(claimed(), PLAIN)
    content = path.read_bytes()
    path.write_bytes(content + damage + b"\n" + content[LINES:].replace(b"[1,", b"[3,"))
    assert [entry.job_id for entry in reread(path)] == [1, 3]


def test_lines_that_fall_on_the_edge_of_a_read(path: Path) -> None:
    journal = Journal.create(str(path))
    long = PLAIN._replace(stdout="x" * 300_000)
    for number in range(10):
        journal.append(claimed(id=number), long)
    journal.close()
    assert [entry.job_id for entry in reread(path)] == list(range(10))


def test_a_line_longer_than_a_read(journal: Journal) -> None:
    long = PLAIN._replace(stdout="é" * 1_200_000)
    journal.append(claimed(), PLAIN)
    journal.append(claimed(id=2), long)
    journal.append(claimed(id=3), PLAIN)
    assert [entry.outcome for entry in journal.ended(7)] == [PLAIN, long, PLAIN]


def test_forgetting(journal: Journal, path: Path) -> None:
    journal.append(claimed(), PLAIN)
    journal.ended(7)
    assert journal.size > 0
    journal.forget()
    assert (journal.size, journal.has_more(), reread(path)) == (0, False, [])
    journal.append(claimed(id=2), PLAIN)
    assert [entry.job_id for entry in journal.ended(7)] == [2]


def test_the_file_is_for_its_owner_only(journal: Journal, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert journal.file.path == str(path)


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"):
        Journal.create(str(tmp_path / "link"))
    assert not (tmp_path / "target").exists()


def test_a_file_that_takes_no_more_keeps_the_last_outcome(journal: Journal) -> None:
    journal.append(claimed(), PLAIN)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            journal.append(claimed(id=2), PLAIN._replace(result='"kept"'))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    first, second = journal.ended(7)
    assert (first.job_id, second.job_id, second.outcome.result) == (1, 2, '"kept"')
    assert (journal.full, journal.has_more(), journal.ended(7)) == (True, False, [])


def test_an_outcome_that_fits_nowhere_is_reduced(journal: Journal) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            journal.append(claimed(), PLAIN._replace(result='"kept"', stdout="x" * (5 << 20)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    (entry,) = journal.ended(7)
    assert (entry.outcome.result, entry.outcome.stdout) == ('"kept"', None)


@pytest.mark.parametrize("size", [0, 10, 64, 100])
def test_a_truncated_file_loses_no_later_line(journal: Journal, path: Path, size: int) -> None:
    journal.append(claimed(), PLAIN)
    journal.ended(7)
    os.truncate(path, size)
    journal.append(claimed(id=2), PLAIN)
    assert [entry.job_id for entry in journal.ended(7)] == [2]
    assert reread(path)[-1].job_id == 2


def test_no_room_for_a_header_is_an_error_when_it_is_made(path: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            Journal.create(str(path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not path.exists()


@pytest.mark.parametrize("kind", ["fifo", "directory", "symlink", "huge", "unreadable"])
def test_what_is_no_journal_is_set_aside(tmp_path: Path, kind: str) -> None:
    config = from_database(f"sqlite:///{tmp_path}/queue.db")
    path = Path(path_for(config, "worker", 1))
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "symlink":
            path.symlink_to("/etc/passwd")
        case "huge":
            path.touch()
            os.truncate(path, 32 << 30)
        case _:
            path.touch(0o000)
            if os.geteuid() == 0:
                pytest.skip("root reads everything")
    assert list(journals_of(config, "worker")) == []
    (said,) = set_aside_unreadable(config, "worker")
    assert said.startswith(f"{path} can't be read as a journal (")
    assert not os.path.lexists(path)
    assert os.path.lexists(f"{path}.unreadable")
    assert workers(config) == set()
