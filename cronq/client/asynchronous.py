"""Make the calls of coroutines in one thread of the queue, so that no event loop waits for the database."""

from __future__ import annotations

import os
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from cronq.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import ThreadPoolExecutor

    from cronq.client.enqueueing import Enqueuer
    from cronq.model.job import Enqueued, Job, NewJob
    from cronq.store import Store

T = TypeVar("T")


class AsyncCalls:
    """The thread of one Cronq object: it has one connection, and the calls are made in their order."""

    def __init__(self, enqueuer: Enqueuer) -> None:
        self._enqueuer = enqueuer
        self._pid = 0
        self._pool: ThreadPoolExecutor | None = None

    async def make(self, call: Callable[..., T], /, *args: Any, **options: Any) -> T:
        """Make a call in the thread; one that is cancelled meanwhile is made all the same once it has begun."""
        from asyncio import get_running_loop  # a coroutine that calls this has imported it

        run: Callable[..., T] = copy_context().run
        return await get_running_loop().run_in_executor(self._thread(), partial(run, call, *args, **options))

    async def enqueue_all(self, jobs: Sequence[NewJob], connection: Any = None) -> list[Job]:
        """Enqueue jobs in one transaction, that of an AsyncConnection or AsyncSession if one is given."""
        if not jobs or connection is None:
            return await self.make(self._enqueuer.enqueue_all, jobs)
        if not hasattr(connection, "run_sync"):
            raise InvalidInput(f"connection: expected an AsyncConnection or AsyncSession, got {connection!r}")
        now = self._enqueuer.clock.now()
        store = await self.make(self._prepared)
        enqueued: list[Enqueued] = await connection.run_sync(partial(self._insert, store, jobs))
        return await self.make(self._enqueuer.accepted, jobs, enqueued, now)

    def _prepared(self) -> Store:
        self._enqueuer.store.prepare_beside()
        return self._enqueuer.store

    def _insert(self, store: Store, jobs: Sequence[NewJob], connection: Any) -> list[Enqueued]:
        """Insert the jobs on the caller's connection; what follows its COMMIT is done in the thread."""
        return store.enqueue_through(connection, jobs, later=self._later)

    def _later(self, action: Callable[[], object]) -> None:
        self._thread().submit(action)

    def _thread(self) -> ThreadPoolExecutor:
        if self._pool is None or self._pid != os.getpid():
            from concurrent.futures import ThreadPoolExecutor  # here, not above: most programs have no coroutines

            self._pool, self._pid = ThreadPoolExecutor(1, thread_name_prefix="cronq"), os.getpid()
        return self._pool

    async def close(self) -> None:
        """Close the thread's connection and end the thread; the next call starts another one."""
        pool, self._pool = self._pool, None
        if pool is not None and self._pid == os.getpid():
            from asyncio import get_running_loop

            await get_running_loop().run_in_executor(pool, self._enqueuer.close)
            pool.shutdown()
