"""Keep the context managers of `around_child` open for the life of a process that runs jobs."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING, Any, Self

from cronq.execution.managers import Managers, is_asynchronous

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronq.execution.event_loop import EventLoop
    from cronq.execution.managers import Leave


def _nothing() -> None:
    """Do nothing."""


class ChildLife:
    """Keeps the managers of one process entered: in a child from its start to its end, elsewhere for a `with` block.

    Asynchronous ones are entered before the first coroutine, on the event loop.
    """

    def __init__(self, hooks: Sequence[Callable[[], Any]], enter_asynchronous: Callable[[Any], Leave]) -> None:
        self._hooks = hooks
        self._managers = Managers(enter_asynchronous)
        self.waiting: list[tuple[Callable[[], Any], Any]] = []
        """The asynchronous managers that haven't been entered, each with the function that it comes from."""
        self.loop: EventLoop | None = None
        self.settled_in: Callable[[], None] = _nothing
        """Called after asynchronous managers were entered: threads that run then belong to the process, not a job."""

    @property
    def at_start(self) -> Sequence[Callable[[], object]]:
        """The functions to call before the first job of a child."""
        return (self._begin,) if self._hooks else ()

    def _begin(self) -> None:
        atexit.register(self._end)
        self._enter()

    def __enter__(self) -> Self:
        self._enter()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _enter(self) -> None:
        for hook in self._hooks:
            manager = hook()
            if is_asynchronous(manager):
                self.waiting.append((hook, manager))
            else:
                self._managers.enter(manager)

    def enter_waiting(self) -> None:
        """Enter the waiting asynchronous managers; asyncio tasks that they start last until the loop is closed."""
        waiting, self.waiting = self.waiting, []
        try:
            while waiting:
                self._managers.enter(waiting[0][1])
                del waiting[0]
        except BaseException:
            self.waiting = [(hook, hook()) for hook, _ in waiting]  # the next coroutine tries again
            raise
        if self.loop is not None:
            self.loop.keep()
        self.settled_in()

    def _end(self) -> None:
        """Leave all managers, the last one first, and close the loop. Raises the last error that leaving one raised."""
        failed = self._managers.leave()
        if self.loop is not None:
            self.loop.close()
        if failed is not None:
            raise failed
