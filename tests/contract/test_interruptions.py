"""Exceptions that come in the middle of a call, from signal handlers and other threads: no later call suffers."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from cronq.config.loader import Config
from cronq.errors import Unavailable
from cronq.model.job import NewJob
from cronq.model.selection import Selection
from cronq.store import Store
from cronq.times import Clock
from tests.contract.interruptions import Callers, alarms, interrupt_steps, interrupt_thread
from tests.scale import engines, times

pytestmark = pytest.mark.parametrize("config", engines("sqlite", "mariadb"), indirect=True)


@pytest.fixture(autouse=True)
def _interrupted_finalizers_print_nothing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Interrupted connects leave sockets to the garbage collector, which runs here and not in another test."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    yield
    gc.collect()


@pytest.fixture
def callers(config: Config) -> Iterator[Callers]:
    made = Callers(config, seed=11)
    made.queue.store.prepare()
    yield made
    made.queue.close()


def usual_time(callers: Callers) -> float:
    """What a step takes here, in seconds, when nothing interrupts it."""
    started = time.monotonic()
    for _ in range(100):
        callers.step()
    return (time.monotonic() - started) / 100


def all_is_well(callers: Callers, config: Config) -> None:
    """What was acknowledged is there and is that job; others aren't locked out; the next call is as good as ever."""
    assert callers.wrong == []
    with Store(config.with_values("the test", patience=2.0), Clock()) as other:
        (late,) = other.enqueue([NewJob("late")])
        jobs = {job.id: job for job in other.jobs.find(Selection())}
    words = {job_id: (job.args or {}).get("word") for job_id, job in jobs.items()}
    assert {job_id: words.get(job_id) for job_id in callers.accepted} == callers.accepted
    # A cancel that was interrupted may have been done, too.
    wrong = {i: state for i, state in callers.ended.items() if jobs[i].state not in {state, "cancelled"}}
    assert wrong == {}
    word = callers.word()
    mine = callers.queue.enqueue("t", {"word": word}, check=False)
    found = callers.queue.get(mine.id)
    assert found is not None
    assert (found.args, mine.id > late.id) == ({"word": word}, True)


STEPS = {"sqlite": times(600, full=3000), "mysql": times(150, full=1000), "postgresql": times(80, full=500)}
"""As many as take a second or a few: an interrupted call costs a new connection."""


def test_signals_at_random_instants(callers: Callers, config: Config) -> None:
    steps = STEPS[config.database_url().family]
    interrupt_steps(callers, steps, 1.5 * usual_time(callers))
    assert callers.interrupted.total() > steps / 10
    all_is_well(callers, config)


def test_exceptions_thrown_into_a_thread(callers: Callers, config: Config) -> None:
    steps = STEPS[config.database_url().family]
    interrupt_thread(callers, steps, 3 * usual_time(callers))
    assert callers.interrupted.total() > steps / 10
    all_is_well(callers, config)


def test_tasks_of_asyncio_that_are_cancelled(callers: Callers, config: Config) -> None:
    longest = 3 * usual_time(callers)

    async def one() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(callers.enqueue), callers.random.random() * longest)

    async def many() -> None:
        for _ in range(times(20, full=50)):
            await asyncio.gather(*(one() for _ in range(5)))

    asyncio.run(many())
    all_is_well(callers, config)


def test_a_signal_handler_that_enqueues(callers: Callers, config: Config) -> None:
    longest = 1.5 * usual_time(callers)
    refused = []

    def enqueue() -> None:
        try:
            callers.enqueue()
        except Unavailable as error:
            refused.append(str(error))

    calls = [callers.enqueue, callers.get, callers.wait, callers.enqueue_unique]
    started = time.monotonic()
    with alarms(enqueue) as ring:
        for number in range(times(100, full=300)):
            ring(max(1e-6, callers.random.random() * longest))
            calls[number % len(calls)]()
            ring(0)
    assert time.monotonic() - started < 120
    assert refused == []
    all_is_well(callers, config)


def test_a_signal_handler_that_enqueues_in_the_middle_of_a_transaction(callers: Callers, config: Config) -> None:
    """On a server it gets a connection of its own; in a file, which has one writer at a time, a clear error."""
    raised: list[str] = []

    def enqueue(_number: int, _frame: object) -> None:
        try:
            callers.enqueue()
        except Unavailable as error:
            raised.append(str(error))

    before = signal.signal(signal.SIGUSR1, enqueue)
    try:
        started = time.monotonic()
        callers.queue.store._tables.database.transact(lambda _: signal.raise_signal(signal.SIGUSR1))
        assert time.monotonic() - started < 20
    finally:
        signal.signal(signal.SIGUSR1, before)
    said = ["the call that this signal handler interrupted has locked"] if config.sqlite_path() else []
    assert [one for one, text in zip(raised, said, strict=True) if text not in one] == []
    all_is_well(callers, config)


def test_a_connection_that_was_left_in_a_transaction_is_not_used(callers: Callers, config: Config) -> None:
    database = callers.queue.store._tables.database
    database.execute("BEGIN")
    callers.enqueue_many()
    callers.enqueue()
    all_is_well(callers, config)
