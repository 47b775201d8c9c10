"""How far running jobs are: stored by their runner, gone with their settlement."""

from __future__ import annotations

from pathlib import Path

from cronq.execution.journal import Journal
from cronq.execution.progress_writer import ProgressWriter
from cronq.model.dependencies import After
from cronq.model.progress import Progress
from cronq.store import Store
from tests.contract.steps import claim, end, finish, new, put, states, stored

HALF = Progress(50.0, 100.0, 2.0, "page 7", 1_000_000)


def flows(store: Store) -> list[int | None]:
    return [row[0] for row in store._tables.query(f"SELECT flow FROM {store._sql.names.jobs} ORDER BY id")]


def test_it_is_shown_while_the_job_runs_and_goes_with_its_settlement(store: Store) -> None:
    first, second = put(store, new(), new())
    one, two = claim(store)
    assert stored(store, first).progress is None
    store.progress.write(first, one.token, HALF)
    assert stored(store, first).progress == HALF
    further = HALF._replace(done=60.0, total=None, rate=None, note="")
    store.progress.write(first, one.token, further)
    assert stored(store, first).progress == further
    assert stored(store, second).progress is None
    assert store.progress.all() == {first: further}
    finish(store, [one, two])
    assert states(store, [first, second]) == ["finished", "finished"]
    assert store.progress.all() == {}
    assert flows(store) == [None, None]


def test_a_further_attempt_begins_without_it(store: Store) -> None:
    [job_id] = put(store, new())
    [job] = claim(store)
    store.progress.write(job_id, job.token, HALF)
    end(store, job, "crashed", "release")
    assert store.progress.all() == {}
    [again] = claim(store)
    assert stored(store, job_id).progress is None
    store.progress.write(job_id, job.token, HALF)  # the old runner's
    assert stored(store, job_id).progress is None
    store.progress.write(job_id, again.token, HALF)
    assert stored(store, job_id).progress == HALF


def test_it_is_not_written_for_a_job_that_has_ended(store: Store) -> None:
    [job_id] = put(store, new())
    [job] = claim(store)
    finish(store, [job])
    store.progress.write(job_id, job.token, HALF)
    assert store.progress.all() == {}
    assert flows(store) == [None]


def test_a_job_that_shows_it_still_releases_what_comes_after_it(store: Store) -> None:
    first, second = put(store, new(), new(after=(After(0, here=True),)))
    [job] = claim(store)
    store.progress.write(first, job.token, HALF)
    finish(store, [job])
    assert states(store, [first, second]) == ["finished", "ready"]
    assert store.progress.all() == {}


def test_a_lower_number_says_nothing_of_the_rate_and_the_first_one_counts_from_the_start(
    store: Store, tmp_path: Path
) -> None:
    [job_id] = put(store, new())
    [job] = claim(store)
    journal = Journal.create(str(tmp_path / "worker.1.journal"))
    journal.begin(job, 1)
    rates = []
    for done in (1200, 5):
        journal.show_progress(done, 2000, None)
        ProgressWriter(store, lambda: [(journal, 600.0)]).write()
        progress = stored(store, job_id).progress
        assert progress is not None
        rates.append((progress.done, progress.rate))
    assert rates == [(1200.0, 2.0), (5.0, None)]
    journal.close()
