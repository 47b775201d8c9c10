"""Run the coroutines of jobs on one event loop for the life of this process.

So a pool of connections, or anything else that belongs to a loop, can be used by one job after another.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import Future, Task
    from collections.abc import Callable, Coroutine
    from concurrent import futures

_of_job: ContextVar[Context | None] = ContextVar("cronq.context_of_job", default=None)
"""The context of all coroutines of one job; a copy of the one in which its first coroutine was run."""


def _context() -> Context:
    context = _of_job.get()
    if context is None:
        context = copy_context()
        _of_job.set(context)
    return context


async def _awaited(task: Task[None]) -> None:
    await task


async def _held(manager: Any, entered: Future[None], over: Future[BaseException | None]) -> None:
    kind = type(manager)
    await kind.__aenter__(manager)
    entered.set_result(None)
    error = await over
    await kind.__aexit__(manager, type(error) if error else None, error, error.__traceback__ if error else None)


class EventLoop:
    """The event loop of a process, made for its first coroutine. Used from one thread, in a child the main one."""

    def __init__(self) -> None:
        # With a factory it doesn't become the thread's current loop, which jobs may set.
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._threads = self._new_threads()
        self._task: Task[Any] | None = None
        self._reason: BaseException | None = None
        self._lasting: frozenset[Task[Any]] = frozenset()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end, in the context of the job; returns its result."""
        try:
            return self._runner.run(self._watched(coroutine), context=_context())
        except asyncio.CancelledError as cancelled:
            if self._reason is None:
                raise
            raise self._reason.with_traceback(cancelled.__traceback__) from None
        finally:
            self._task = self._reason = None

    def enter(self, manager: Any) -> Callable[[BaseException | None], None]:
        """Enter an asynchronous context manager in a new task; returns a function that leaves it in that task."""
        over = self._loop.create_future()
        task = self.run(self._entered(manager, over, _context()))

        def leave(error: BaseException | None) -> None:
            self._loop.call_soon_threadsafe(over.set_result, error)
            self.run(_awaited(task))

        return leave

    async def _entered(self, manager: Any, over: Future[Any], context: Context) -> Task[None]:
        entered = self._loop.create_future()
        task = self._loop.create_task(_held(manager, entered, over), context=context)
        await asyncio.wait((task, entered), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        return task

    async def _watched(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        self._task = asyncio.current_task()
        return await coroutine

    def interrupt(self, reason: BaseException) -> bool:
        """Cancel the running coroutine from a signal handler; `run` then raises `reason`.

        Returns False if no coroutine runs, or if the signal came while one was executing Python code instead of
        waiting: then the handler must raise `reason` itself.
        """
        if self._task is None:
            return False
        busy = asyncio.current_task(self._loop)
        if busy is not self._task:
            self._reason = reason
            self._loop.call_soon_threadsafe(self._task.cancel, str(reason))
        return busy is None

    def keep(self) -> None:
        """Let the asyncio tasks that run now last until the loop is closed: `end_job` doesn't cancel them."""
        self._lasting = frozenset(asyncio.all_tasks(self._loop))

    def end_job(self) -> None:
        """Cancel the tasks that the job has left running, and wait until they and its threads have ended."""
        self.run(self._end_tasks())
        if self._threads.used:
            self._threads.shutdown()
            self._threads = self._new_threads()

    async def _end_tasks(self) -> None:
        await asyncio.sleep(0)  # in this turn the loop closes the generators that the job has left
        while left := asyncio.all_tasks() - self._lasting - {self._task}:
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def close(self) -> None:
        """Cancel the tasks that still run, and close the loop."""
        self._runner.close()

    def _new_threads(self) -> _Threads:
        threads = _Threads(thread_name_prefix="asyncio")
        self._loop.set_default_executor(threads)
        return threads


class _Threads(ThreadPoolExecutor):
    """The thread pool of `asyncio.to_thread`; unlike the loop's default one, it can be ended without the loop."""

    used = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> futures.Future[Any]:
        self.used = True
        return super().submit(fn, *args, **kwargs)
