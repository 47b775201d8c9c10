"""Run the calls of coroutines in threads of their own, so that no event loop waits for the database."""

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
    """Runs calls in two threads of one Cronq object; each has one connection and runs its calls in order.

    Jobs for a caller's transaction are prepared in the second thread, which writes nothing, because the first one
    may wait for a lock that this transaction holds.
    """

    def __init__(self, enqueuer: Enqueuer) -> None:
        self._enqueuer = enqueuer
        self._writing = _Thread("cronq")
        self._preparing = _Thread("cronq-transactions")

    async def make(self, call: Callable[..., T], /, *args: Any, **options: Any) -> T:
        """Run a call; once it has begun, it is completed even if the caller is cancelled."""
        return await self._writing.make(call, *args, **options)

    async def prepare(self, connection: Any, call: Callable[..., T], /, *args: Any, **options: Any) -> T:
        """Run a call that writes nothing; with a connection in the thread for callers' transactions."""
        thread = self._writing if connection is None else self._preparing
        return await thread.make(call, *args, **options)

    async def enqueue_all(self, jobs: Sequence[NewJob], connection: Any = None) -> list[Job]:
        """Enqueue jobs in one transaction, that of an AsyncConnection or AsyncSession if one is given.

        Raises InvalidInput for another kind of connection.
        """
        if not jobs or connection is None:
            return await self.make(self._enqueuer.enqueue_all, jobs)
        if not hasattr(connection, "run_sync"):
            raise InvalidInput(f"connection: expected an AsyncConnection or AsyncSession, got {connection!r}")
        now = self._enqueuer.clock.now()
        store = await self._preparing.make(self._prepared)
        enqueued: list[Enqueued] = await connection.run_sync(partial(self._insert, store, jobs))
        return await self._preparing.make(self._enqueuer.accepted, jobs, enqueued, now)

    def _prepared(self) -> Store:
        self._enqueuer.store.prepare_beside()
        return self._enqueuer.store

    def _insert(self, store: Store, jobs: Sequence[NewJob], connection: Any) -> list[Enqueued]:
        """Insert the jobs on the caller's connection; what has to follow its COMMIT is done in the writing thread."""
        return store.enqueue_through(connection, jobs, later=self._writing.submit)

    async def close(self) -> None:
        """Close the threads' connections and end the threads; the next call starts new ones."""
        await self._writing.close(self._enqueuer.close)
        await self._preparing.close(self._enqueuer.close)


class _Thread:
    """One thread, which its first call starts, also the first one after a fork."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pid = 0
        self._pool: ThreadPoolExecutor | None = None

    async def make(self, call: Callable[..., T], /, *args: Any, **options: Any) -> T:
        """Run a call in the thread, and return its result."""
        from asyncio import get_running_loop  # a coroutine that calls this has imported it

        run: Callable[..., T] = copy_context().run
        return await get_running_loop().run_in_executor(self._opened(), partial(run, call, *args, **options))

    def submit(self, action: Callable[[], object]) -> None:
        """Run an action in the thread without waiting for it."""
        self._opened().submit(action)

    def _opened(self) -> ThreadPoolExecutor:
        if self._pool is None or self._pid != os.getpid():
            from concurrent.futures import ThreadPoolExecutor  # here, not above: most programs have no coroutines

            self._pool, self._pid = ThreadPoolExecutor(1, thread_name_prefix=self._name), os.getpid()
        return self._pool

    async def close(self, last: Callable[[], object]) -> None:
        """Run a last call in the thread and end it; nothing if it isn't started."""
        pool, self._pool = self._pool, None
        if pool is not None and self._pid == os.getpid():
            from asyncio import get_running_loop

            await get_running_loop().run_in_executor(pool, last)
            pool.shutdown()
