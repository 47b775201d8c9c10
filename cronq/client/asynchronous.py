"""Make the calls of coroutines in threads of the queue, so that no event loop waits for the database."""

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
    """The threads of one Cronq object: each has one connection, and makes its calls in their order.

    What belongs to a caller's transaction is prepared in a thread of its own, which writes nothing. The other one may
    wait for a lock that this very transaction holds.
    """

    def __init__(self, enqueuer: Enqueuer) -> None:
        self._enqueuer = enqueuer
        self._writing = _Thread("cronq")
        self._preparing = _Thread("cronq-transactions")

    async def make(self, call: Callable[..., T], /, *args: Any, **options: Any) -> T:
        """Make a call; one that is cancelled meanwhile is made all the same once it has begun."""
        return await self._writing.make(call, *args, **options)

    async def prepare(self, connection: Any, call: Callable[..., T], /, *args: Any, **options: Any) -> T:
        """Make a call that writes nothing, for jobs in the transaction of a connection if one is given."""
        thread = self._writing if connection is None else self._preparing
        return await thread.make(call, *args, **options)

    async def enqueue_all(self, jobs: Sequence[NewJob], connection: Any = None) -> list[Job]:
        """Enqueue jobs in one transaction, that of an AsyncConnection or AsyncSession if one is given."""
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
        """Insert the jobs on the caller's connection; what follows its COMMIT is done in a thread."""
        return store.enqueue_through(connection, jobs, later=self._writing.submit)

    async def close(self) -> None:
        """Close the threads' connections and end the threads; the next call starts others."""
        await self._writing.close(self._enqueuer.close)
        await self._preparing.close(self._enqueuer.close)


class _Thread:
    """A thread that is started by its first call, also after a fork."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pid = 0
        self._pool: ThreadPoolExecutor | None = None

    async def make(self, call: Callable[..., T], /, *args: Any, **options: Any) -> T:
        """Make a call in the thread."""
        from asyncio import get_running_loop  # a coroutine that calls this has imported it

        run: Callable[..., T] = copy_context().run
        return await get_running_loop().run_in_executor(self._opened(), partial(run, call, *args, **options))

    def submit(self, action: Callable[[], object]) -> None:
        """Have an action done without waiting for it."""
        self._opened().submit(action)

    def _opened(self) -> ThreadPoolExecutor:
        if self._pool is None or self._pid != os.getpid():
            from concurrent.futures import ThreadPoolExecutor  # here, not above: most programs have no coroutines

            self._pool, self._pid = ThreadPoolExecutor(1, thread_name_prefix=self._name), os.getpid()
        return self._pool

    async def close(self, last: Callable[[], object]) -> None:
        """Make the last call, and end the thread."""
        pool, self._pool = self._pool, None
        if pool is not None and self._pid == os.getpid():
            from asyncio import get_running_loop

            await get_running_loop().run_in_executor(pool, last)
            pool.shutdown()
