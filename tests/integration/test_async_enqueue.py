"""Enqueueing from coroutines: no event loop is stopped, and the transaction of an asynchronous connection holds."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from cronq import Cronq
from cronq.config.loader import Config
from cronq.errors import InvalidInput, JobFailed, TryLater
from cronq.model.selection import Selection
from cronq.storage.migrations import upgrade
from cronq.testing import drain, scratch
from tests.contract.conftest import engine_queue

DRIVERS = {
    "aiosqlite": ("sqlite", "sqlite+aiosqlite"),
    "asyncpg": ("postgresql", "postgresql+asyncpg"),
    "psycopg": ("postgresql", "postgresql+psycopg"),
    "aiomysql": ("mariadb", "mariadb+aiomysql"),
    "asyncmy": ("mysql", "mysql+asyncmy"),
}

LOCKED = 2.0
"""Seconds for which another connection locks the database."""

STOP = LOCKED / 2
"""Seconds that no coroutine may keep others waiting, on a busy machine too."""


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Cronq]:
    with Cronq(f"sqlite:///{tmp_path}/cronq.db") as queue:
        yield queue


async def longest_stop(stops: list[float]) -> None:
    last = time.monotonic()
    while True:
        await asyncio.sleep(0.001)
        now = time.monotonic()
        stops[0] = max(stops[0], now - last)
        last = now


async def while_locked(queue: Cronq, database: str) -> float:
    """Enqueue while another connection locks the database; returns the longest stop of the loop."""
    stops = [0.0]
    async with queue.alifespan():
        await queue.aget(1)
        other = sqlite3.connect(database, check_same_thread=False, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        threading.Timer(LOCKED, other.execute, ("COMMIT",)).start()
        watch = asyncio.create_task(longest_stop(stops))
        jobs = await asyncio.gather(*(queue.aenqueue("t", {"n": n}, check=False) for n in range(3)))
        assert time.monotonic() - begun >= LOCKED * 0.9, "it was locked"
        watch.cancel()
        assert [job.id for job in jobs] == sorted(job.id for job in jobs)
    other.close()
    return stops[0]


def test_no_loop_is_stopped_while_sqlite_is_locked(queue: Cronq, tmp_path: Path) -> None:
    queue.store.prepare()
    # On a busy machine the whole process may be stopped, but not each time.
    assert any(asyncio.run(while_locked(queue, f"{tmp_path}/cronq.db")) < STOP for _ in range(4))


def test_all_that_a_coroutine_calls(queue: Cronq) -> None:
    @queue.on("shot.*")
    @queue.task(name="double")
    def double(n: int) -> int:
        if n < 0:
            raise ValueError("negative")
        return 2 * n

    async def calls() -> None:
        first = await double.aenqueue(1)
        second = await double.using(max_attempts=1).aenqueue(-1)
        third, fourth = await queue.aenqueue_many([double.job(3), {"task": "double", "args": {"n": 4}}])
        (fifth,) = await queue.aemit("shot.done", n=5)
        with pytest.raises(TryLater):
            await queue.await_result(first.id, timeout=0.01)
        await asyncio.to_thread(drain, queue)
        ids = [job.id for job in (first, third, fourth, fifth)]
        assert [await queue.await_result(job_id, timeout=5) for job_id in ids] == [2, 6, 8, 10]
        with pytest.raises(JobFailed):
            await queue.await_result(second.id)
        found = await queue.aget(second.id)
        assert found is not None
        assert found.state == "failed"
        with pytest.raises(InvalidInput):
            await queue.aenqueue("double", {"m": 1})

    async def whole() -> None:
        async with queue.alifespan() as same:
            assert same is queue
            await calls()

    with scratch(queue):
        asyncio.run(whole())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("cronq")]


def test_a_second_life_starts_another_thread(queue: Cronq) -> None:
    async def once() -> int:
        async with queue.alifespan():
            return (await queue.aenqueue("t", check=False)).id

    assert [asyncio.run(once()), asyncio.run(once())] == [1, 2]


@asynccontextmanager
async def engine_of(config: Config, driver: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(make_url(config.database).set(drivername=driver, query={}))
    try:
        yield engine
    finally:
        await engine.dispose()


def stored(queue: Cronq) -> list[str | None]:
    return [job.key for job in reversed(queue.store.jobs.find(Selection()))]


@pytest.mark.parametrize("name", DRIVERS)
def test_jobs_are_part_of_an_asynchronous_transaction(tmp_path: Path, name: str) -> None:
    server, driver = DRIVERS[name]
    pytest.importorskip(name)
    config = engine_queue(server, tmp_path)
    upgrade(config)
    queue = Cronq(config)
    task = queue.task(name="t")(lambda n: n)
    numbers = itertools.count()

    async def enqueue(connection: object) -> None:
        await task.using(connection=connection, key=f"k{next(numbers)}", group="g").aenqueue(1)
        twin: dict[str, Any] = {"key": "twin", "unique": True, "check": False}
        await queue.aenqueue("t", connection=connection, **twin)
        assert (await queue.aenqueue("t", connection=connection, **twin)).existing

    async def transactions() -> None:
        async with engine_of(config, driver) as engine, queue.alifespan():
            async with engine.connect() as connection:
                await enqueue(connection)
                await connection.rollback()
            async with engine.begin() as connection:
                await enqueue(connection)
                jobs = await queue.aenqueue_many([task.job(5), task.job(6)], connection=connection)
                assert jobs[1].id > jobs[0].id
            async with AsyncSession(engine) as session:
                await enqueue(session)
                await session.commit()

    asyncio.run(transactions())
    with closing(queue):
        assert stored(queue) == ["k1", "twin", None, None, "k2"]


def test_a_connection_of_the_other_kind_is_refused_with_the_way_out(queue: Cronq) -> None:
    queue.store.prepare()

    async def wrong() -> None:
        async with engine_of(queue.config, "sqlite+aiosqlite") as engine, engine.connect() as connection:
            with pytest.raises(InvalidInput, match="await task"):
                queue.enqueue("t", check=False, connection=connection)
        async with queue.alifespan():
            with pytest.raises(InvalidInput, match="expected an AsyncConnection or AsyncSession"):
                await queue.aenqueue("t", check=False, connection=object())

    asyncio.run(wrong())


def test_a_transaction_that_enqueues_waits_for_no_call_that_waits_for_it(queue: Cronq) -> None:
    queue.store.prepare()

    async def both() -> float:
        async with engine_of(queue.config, "sqlite+aiosqlite") as engine, queue.alifespan():
            async with engine.begin() as connection:
                await queue.aenqueue("t", check=False, connection=connection)  # locks the database
                waits = asyncio.create_task(queue.aenqueue("t", check=False))
                await asyncio.sleep(0.1)
                begun = time.monotonic()
                await queue.aenqueue("t", check=False, connection=connection)
                took = time.monotonic() - begun
            await waits
        return took

    assert asyncio.run(both()) < queue.config.patience / 3
    assert len(stored(queue)) == 3
