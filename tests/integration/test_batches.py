"""Batches as a program uses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cronq import Cronq, Fail, current_job
from cronq.errors import BatchFailed, InvalidInput, TryLater, UsageError
from cronq.model.job import NewJob
from cronq.testing import ManualClock, capture, drain, inline, scratch

ran: list[Any] = []
queue = Cronq("sqlite:///never-opened.db")


@queue.task(name="load")
def load(part: int) -> None:
    if part < 0:
        raise Fail("no such part")
    ran.append(part)


@queue.task(name="grow")
def grow(more: int) -> None:
    """A job that adds siblings."""
    batch = current_job().batch
    assert batch is not None
    batch.add(load.job(part) for part in range(more))
    ran.append("grown")


@queue.task(name="alone")
def alone() -> None:
    assert current_job().batch is None
    ran.append("alone")


@queue.task(name="told")
def told(what: str) -> None:
    ran.append(what)


CALLBACKS: dict[str, Any] = {kind: told.job(kind) for kind in ("on_success", "on_failure", "on_end")}


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    ran.clear()
    with scratch(queue, clock=ManualClock()):
        yield


def test_an_import_in_parts() -> None:
    with queue.batch("import", **CALLBACKS) as batch:
        batch.add(load.job(part) for part in range(3))
        batch.add(load.job(3), {"task": "load", "args": {"part": 4}})
        with pytest.raises(UsageError, match="at the end of its `with` block"):
            batch.id  # noqa: B018
    assert (batch.state, batch.counts()) == ("running", {"ready": 5})
    drain(queue)
    assert ran == [0, 1, 2, 3, 4, "on_success", "on_end"]
    assert queue.wait(batch) == {"finished": 5}
    assert repr(batch) == f"Batch({batch.id})"


def test_nothing_is_stored_if_the_block_raises() -> None:
    batch = queue.batch("import", **CALLBACKS)

    def fill() -> None:
        with batch:
            batch.add(load.job(1))
            batch.add(load.job(1 // 0))

    with pytest.raises(ZeroDivisionError):
        fill()
    assert queue.store.jobs.counts() == []
    assert queue.store.batches.newest(9) == []


def test_steps_within_a_batch_name_each_other() -> None:
    with queue.batch() as batch:
        batch.add(load.job(1))
        batch.add(
            {"task": "told", "args": {"what": "b"}, "after": "a"}, {"task": "load", "args": {"part": 2}, "ref": "a"}
        )
    drain(queue)
    assert ran == [1, 2, "b"]
    assert batch.state == "finished"


def test_an_open_batch_takes_any_number() -> None:
    batch = queue.open_batch("stream", on_end=[told.job("one"), told.job("two")])
    batch.add(load.job(part) for part in range(1100))
    assert batch.counts() == {"ready": 1100}
    again = queue.get_batch(batch.id)
    assert again is not None
    load.using(batch=again).enqueue(1)
    load.using(batch=f"batch:{batch.id}").enqueue(2)
    with pytest.raises(TryLater, match=r"batch 1 \(stream\) has not ended yet: open, 1102 ready"):
        queue.wait(batch, timeout=0)
    assert again.close()
    queue.store.admin.cancel(range(3, 1101))
    drain(queue)
    assert ran[-2:] == ["one", "two"]
    with pytest.raises(InvalidInput, match="ended at"):
        batch.add(load.job(1))
    assert queue.get_batch(99) is None


def test_a_member_adds_siblings() -> None:
    with queue.batch("import", on_success=told.job("done")) as batch:
        batch.add(grow.job(3))
    drain(queue)
    assert ran == ["grown", 0, 1, 2, "done"]
    assert batch.counts() == {"finished": 4}
    alone.enqueue()
    drain(queue)
    assert ran[-1] == "alone"


def test_a_failure() -> None:
    with queue.batch("import", **CALLBACKS) as batch:
        batch.add(load.job(-1), load.job(1))
    report = told.using(after_end=batch).enqueue("report")
    with pytest.raises(InvalidInput, match=f"there is no batch {batch.id + 1}"):
        load.using(batch=batch.id + 1).enqueue(1)
    drain(queue)
    assert ran == [1, "on_failure", "on_end", "report"]
    with pytest.raises(BatchFailed, match=r"batch 1 \(import\) failed: 1 failed, 1 finished") as failed:
        queue.wait(batch)
    assert failed.value.counts == {"failed": 1, "finished": 1}
    assert queue.wait(report.id) is None


def test_the_first_failure_cancels_the_rest_if_asked_for() -> None:
    with queue.batch(on_failed="cancel", on_failure=told.job("failed")) as batch:
        batch.add(load.job(part) for part in (0, -1, 2))
    drain(queue)
    assert ran == [0, "failed"]
    assert batch.counts() == {"cancelled": 1, "failed": 1, "finished": 1}
    other = queue.open_batch()
    assert other.cancel()
    with pytest.raises(BatchFailed, match="batch 2 was cancelled: no members"):
        queue.wait(other)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"on_failed": "stop"}, "on_failed: expected 'continue' or 'cancel': got 'stop'"),
        ({"on_success": "report"}, r"on_success: expected a job as task.job\(…\) makes it"),
        ({"on_done": None}, "batch: unknown option 'on_done', known are on_success, on_failure, on_end, on_failed"),
    ],
)
def test_what_is_refused(options: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        queue.batch(**options)
    with pytest.raises(InvalidInput, match="batch: expected a name of 1 to 255 printable characters: got ''"):
        queue.batch("")
    with pytest.raises(InvalidInput, match="batch: expected the id of a batch: got 'seven'"):
        load.using(batch="seven")


def test_a_name_is_no_ref() -> None:
    with pytest.raises(InvalidInput, match="there is no batch 7"):
        queue.enqueue_many([{"task": "load", "args": {"part": 1}, "after": "batch:7"}])


def test_in_the_tests_of_a_program(tmp_path: Path) -> None:
    mine = Cronq(f"sqlite:///{tmp_path}/queue.db")
    here: list[str] = []
    step = mine.task(name="step")(lambda what: here.append(what))
    with inline(mine):
        with mine.batch(on_end=step.job("end")) as batch:
            batch.add(step.job("a"), step.job("b"))
        assert here == ["a", "b", "end"]
        assert batch.state == "finished"
        mine.open_batch(on_success=step.job("closed")).close()
        assert here[-1] == "closed"
    with capture(mine) as jobs:
        with mine.batch(on_end=step.job("end")) as batch:
            batch.add(step.job("a"))
        batch.close()
    assert [job.args for job in jobs] == [{"what": "a"}, {"what": "end"}]
    assert isinstance(step.job("x"), NewJob)
