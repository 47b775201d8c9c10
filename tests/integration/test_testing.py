"""What users get for their own tests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import create_engine

from cronq import Fail, Snooze, Stop, current_job
from cronq.app import Cronq
from cronq.errors import InvalidInput, UnknownTask, UsageError
from cronq.model.selection import Selection
from cronq.testing import ManualClock, capture, drain, inline, scratch


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Cronq]:
    with Cronq(f"sqlite:///{tmp_path}/production.db") as made:
        yield made
    assert not (tmp_path / "production.db").exists(), "the program's own database stays untouched"


@pytest.fixture
def tasks(queue: Cronq) -> SimpleNamespace:
    @queue.task(name="add")
    def add(a: int, b: int) -> int:
        return a + b

    @queue.task(name="divide", max_attempts=2)
    def divide(by: int) -> float:
        return 1 / by

    @queue.task(name="chain")
    def chain(length: int) -> int:
        if length:
            chain.enqueue(length - 1)
        return current_job().id

    return SimpleNamespace(add=add, divide=divide, chain=chain)


# capture


def test_capture_lists_what_was_enqueued_and_runs_nothing(queue: Cronq, tasks: SimpleNamespace) -> None:
    with capture(queue) as jobs:
        job = tasks.divide.using(key="k", at="+1h").enqueue(0)
        queue.enqueue_many([tasks.add.job(1, 2), tasks.add.job(3, 4)])
        queue.command("rm -rf /")
        assert queue.get(job.id) is jobs[0]
    assert [(job.task, job.args) for job in jobs[:3]] == [
        ("divide", {"by": 0}),
        ("add", {"a": 1, "b": 2}),
        ("add", {"a": 3, "b": 4}),
    ]
    assert (jobs[0].key, jobs[0].state, jobs[3].command) == ("k", "scheduled", "rm -rf /")


def test_capture_still_checks(queue: Cronq, tasks: SimpleNamespace) -> None:
    with capture(queue) as jobs:
        with pytest.raises(UnknownTask):
            queue.enqueue("ad")
        with pytest.raises(InvalidInput):
            tasks.add.enqueue(1)
    assert jobs == []


def test_capture_leaves_the_callers_transaction_alone(queue: Cronq, tasks: SimpleNamespace) -> None:
    with capture(queue) as jobs:
        tasks.add.using(connection=object()).enqueue(1, 2)
    assert len(jobs) == 1


# inline


def test_inline_runs_each_job_at_once(queue: Cronq, tasks: SimpleNamespace) -> None:
    with inline(queue) as ran:
        job = tasks.add.enqueue(1, 2)
        assert queue.wait(job.id, timeout=0) == 3
        tasks.divide.enqueue(0)
    assert [(job.task, job.state, job.outcome) for job in ran] == [
        ("add", "finished", "success"),
        ("divide", "retrying", "error"),
    ]
    assert ran[1].error is not None
    assert ran[1].error.message == "division by zero"


def test_inline_runs_what_a_job_enqueues_after_it(queue: Cronq, tasks: SimpleNamespace) -> None:
    with inline(queue) as ran:
        tasks.chain.enqueue(2)
    assert [job.result for job in ran] == [1, 2, 3]


def test_inline_keeps_what_is_for_later(queue: Cronq, tasks: SimpleNamespace) -> None:
    clock = ManualClock("2026-01-01T00:00:00Z")
    with inline(queue, clock=clock) as ran:
        tasks.add.using(at="+1h").enqueue(1, 2)
        assert ran == []
        clock.advance("1h")
        assert [job.result for job in drain(queue)] == [3]


# scratch and drain


def test_drain_runs_everything_that_is_due(queue: Cronq, tasks: SimpleNamespace) -> None:
    with scratch(queue):
        tasks.add.using(priority=90).enqueue(1, 2)
        tasks.add.using(priority=10).enqueue(3, 4)
        tasks.add.using(at="+1h").enqueue(5, 6)
        tasks.chain.using(priority=95).enqueue(1)
        assert [job.result for job in drain(queue)] == [7, 3, 4, 5]
        assert drain(queue) == []


def test_a_retry_comes_when_the_clock_has_advanced(queue: Cronq, tasks: SimpleNamespace) -> None:
    clock = ManualClock("2026-01-01T00:00:00Z")
    with scratch(queue, clock=clock):
        job = tasks.divide.enqueue(0)
        first = drain(queue)
        assert [(job.state, job.attempt) for job in first] == [("retrying", 1)]
        assert first[0].available_at == datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
        clock.advance(59)
        assert drain(queue) == []
        clock.advance(1)
        assert [(job.state, job.attempt) for job in drain(queue)] == [("failed", 2)]
        assert [attempt.number for attempt in queue.store.jobs.attempts(job.id)] == [1, 2]


def test_options_of_task_and_job_hold(queue: Cronq, tasks: SimpleNamespace) -> None:
    clock = ManualClock()
    with scratch(queue, clock=clock):
        tasks.divide.using(base="5m").enqueue(0)
        (job,) = drain(queue)
        assert job.available_at - datetime(2026, 1, 1, tzinfo=UTC) == timedelta(minutes=5)


def test_groups_and_verdicts_are_the_real_ones(queue: Cronq, tasks: SimpleNamespace) -> None:
    @queue.task(name="picky")
    def picky(say: str) -> None:
        raise {"fail": Fail("never"), "snooze": Snooze("15m"), "stop": Stop()}[say]

    with scratch(queue, clock=ManualClock()):
        for say in ("fail", "snooze"):
            picky.using(group="g").enqueue(say)
        tasks.add.using(group="g").enqueue(1, 2)
        assert [job.state for job in drain(queue)] == ["failed", "waiting"]
        assert [job.state for job in queue.store.jobs.find(Selection())] == ["blocked", "waiting", "failed"]
        picky.enqueue("stop")
        tasks.add.enqueue(3, 4)
        assert [job.task for job in drain(queue)] == ["picky"]
        assert [job.result for job in drain(queue)] == [7]


def test_hooks_run(queue: Cronq, tasks: SimpleNamespace) -> None:
    seen: list[object] = []
    queue.before_job(lambda job: seen.append(job.task))
    with scratch(queue):
        tasks.add.enqueue(1, 2)
        drain(queue)
    assert seen == ["add"]


def test_drain_refuses_to_run_real_jobs(queue: Cronq) -> None:
    with pytest.raises(UsageError, match=r"with scratch\(queue\)"):
        drain(queue)


def test_a_transaction_of_the_program_is_not_touched(queue: Cronq, tasks: SimpleNamespace, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/program.db")
    with scratch(queue), engine.connect() as connection:
        tasks.add.using(connection=connection).enqueue(1, 2)
        assert [job.result for job in drain(queue)] == [3]
        assert not connection.in_transaction()
    engine.dispose()


def test_afterwards_all_is_as_before(queue: Cronq, tasks: SimpleNamespace) -> None:
    config, clock = queue.config, queue.clock
    used: list[Path] = []

    def fail_within() -> None:
        with scratch(queue, clock=ManualClock()):
            tasks.add.enqueue(1, 2)
            used.append(Path(queue.config.sqlite_path() or ""))
            assert used[0].exists()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_within()
    assert (queue.config, queue.clock) == (config, clock)
    assert not used[0].parent.exists()


# ManualClock


def test_a_manual_clock_goes_where_it_is_told() -> None:
    clock = ManualClock("2026-01-01")
    assert clock.now() == clock.now()
    clock.advance("1d")
    clock.advance(timedelta(hours=1))
    late = ManualClock(datetime(2026, 1, 2, 1, tzinfo=UTC))
    assert clock.now() == late.now()
    clock.set("2025-06-01T12:00:00+02:00")
    assert clock.now() == ManualClock("2025-06-01T10:00:00Z").now()
    with pytest.raises(InvalidInput, match="advance: -1"):
        clock.advance(-1)


# Schedules


def test_time_passes_at_once_for_schedules(queue: Cronq) -> None:
    seen: list[str] = []

    @queue.every("12h", overlap="allow")
    @queue.cron("30 2 * * *", name="nightly", timezone="Europe/Prague")
    @queue.task(name="look")
    def look() -> None:
        seen.append(str(current_job().scheduled_for))

    with scratch(queue, clock=ManualClock("2026-03-28T13:00:00Z")):
        assert queue.fire_until("2026-03-29T23:59:00Z") == 3
        assert [job.outcome for job in drain(queue)] == ["success"] * 3
        assert queue.clock.now() == ManualClock("2026-03-29T23:59:00Z").now()
    assert seen == ["2026-03-29 00:00:00+00:00", "2026-03-29 03:00:00+02:00", "2026-03-29 12:00:00+00:00"]


def test_schedules_are_not_fired_ahead_of_time_elsewhere(queue: Cronq) -> None:
    with pytest.raises(UsageError, match="it would enqueue real jobs here"):
        queue.fire_until("2026-03-30T00:00:00Z")


def test_drain_keeps_limits_and_rates(tmp_path: Path) -> None:
    config = tmp_path / "cronq.toml"
    config.write_text(f'database = "sqlite:///{tmp_path}/p.db"\n[limits]\none = 1\nslow = {{ rate = "2/1h" }}\n')
    with Cronq.from_config(str(config)) as queue:
        done = queue.task(name="done")(lambda: None)
        clock = ManualClock()
        with scratch(queue, clock=clock):
            for limit in ("one", "one", "slow", "slow", "slow"):
                done.using(limit=limit).enqueue()
            assert len(list(drain(queue))) == 4
            assert not list(drain(queue))
            clock.advance(3601)
            assert len(list(drain(queue))) == 1


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_drain_leaves_no_descriptor_open(queue: Cronq, tasks: SimpleNamespace) -> None:
    with scratch(queue):
        tasks.add.enqueue(1, 2)
        drain(queue)
        before = descriptors()
        for _ in range(5):
            drain(queue)
        assert descriptors() <= before
