from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cronq.errors import InvalidInput
from cronq.execution import progress_record
from cronq.execution.journal import Journal
from cronq.execution.journal_file import LINES, JournalFile
from cronq.execution.progress_record import packed, parsed
from cronq.model.outcome import Outcome
from cronq.model.progress import Progress
from cronq.times import SECOND
from tests.unit.claims import claimed

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
AT = round(NOW.timestamp() * SECOND)


@pytest.mark.parametrize(
    ("progress", "told"),
    [
        (Progress(25, 100, 2.5, "page 7", AT), "25 of 100 (25 %), 2.5/s, 30s left: page 7"),
        (Progress(25, 100, 2.5, "", AT - 10 * SECOND), "25 of 100 (25 %), 2.5/s, 20s left"),
        (Progress(25, 100, 2.5, "", AT - 90 * SECOND), "25 of 100 (25 %), 2.5/s, 0s left"),
        (Progress(1250, None, 20_000.0, "", AT), "1,250, 20,000/s"),
        (Progress(0, 0, None, "empty", AT), "0 of 0: empty"),
        (Progress(2.5, 10, None, "", AT), "2.5 of 10 (25 %)"),
    ],
)
def test_how_it_is_told(progress: Progress, told: str) -> None:
    assert progress.text(NOW) == told


def test_a_record_is_read_back() -> None:
    raw = packed((7, 8), None, (25, "100", "grün"))
    found = parsed(raw.ljust(progress_record.SIZE, b"\0"))
    assert found is not None
    assert (found.job_id, found.token, found.done, found.total, found.note) == (7, 8, 25.0, 100.0, "grün")
    assert found.rate is None


def test_the_rate_counts_from_the_first_word_and_afresh_when_it_counts_again() -> None:
    first = parsed(packed((7, 8), None, (1000, None, None)))
    assert first is not None
    second = parsed(packed((7, 8), first, (1010, None, None)))
    assert second is not None
    assert math.isnan(second.total)
    assert second._replace(first_at=0, at=5_000_000_000).rate == 2.0
    again = parsed(packed((7, 8), second, (5, None, None)))
    assert again is not None
    assert again.rate is None
    assert again._replace(at=again.first_at + 2_000_000_000, done=15.0).rate == 5.0
    other = parsed(packed((7, 9), second, (2000, None, None)))
    assert other is not None
    assert other.first == 2000.0


def test_a_record_that_is_being_written_is_none() -> None:
    raw = bytearray(packed((7, 8), None, (25, 100, "a note")))
    raw[-1] ^= 1
    assert parsed(bytes(raw)) is None
    assert parsed(bytes(progress_record.SIZE)) is None
    assert parsed(b"") is None


def test_a_long_note_is_cut_and_fits_into_the_header() -> None:
    raw = packed((7, 8), None, (1, 2, "ü" * 1000))
    assert progress_record.PROGRESS_AT + len(raw) <= LINES
    found = parsed(raw)
    assert found is not None
    assert set(found.note) == {"ü"}


@pytest.mark.parametrize("said", [("x", None, None), (-1, None, None), (math.inf, None, None), (1, math.nan, None)])
def test_what_is_no_number_is_refused(said: tuple[object, object, object]) -> None:
    with pytest.raises(InvalidInput, match="expected a number"):
        packed((7, 8), None, said)


def test_the_runner_reads_what_its_running_job_said(tmp_path: Path) -> None:
    journal = Journal.create(str(tmp_path / "worker.1.journal"))
    job, following = claimed(id=7, token=8), claimed(id=9, token=8)
    journal.begin(job, 1)
    assert journal.progress() is None
    journal.show_progress(1, 2, None)
    found = journal.progress()
    assert found is not None
    assert (found.done, found.total) == (1.0, 2.0)
    journal.append(job, Outcome("success", 1, 2))
    assert [entry.job_id for entry in journal.ended(7)] == [7]
    journal.begin(following, 2)
    assert journal.progress() is None
    journal.close()


def test_a_journal_of_a_cronq_without_progress_is_read(tmp_path: Path) -> None:
    path = tmp_path / "worker.1.journal"
    journal = Journal.create(str(path))
    journal.append(claimed(id=7, token=8), Outcome("success", 1, 2))
    journal.close()
    content = path.read_bytes()
    path.write_bytes(content[:64] + content[LINES:])
    old = JournalFile.open(str(path))
    assert [entry.job_id for entry in old.ended()] == [7]
    old.close()
