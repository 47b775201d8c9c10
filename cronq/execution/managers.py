"""Enter the context managers of `around_job` and `around_child`, and leave them again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Leave = Callable[[BaseException | None], object]
    """Leaves a manager with the error that ended its block; raises what the manager raises."""


class Managers:
    """Managers that are entered one after another and left in reverse order, as by nested `with`."""

    def __init__(self, enter_asynchronous: Callable[[Any], Leave]) -> None:
        self._enter_asynchronous = enter_asynchronous
        self._exits: list[Leave] = []

    def enter(self, manager: Any) -> None:
        """Enter one more; an asynchronous one on the event loop. Raises TypeError if it is no context manager."""
        if is_asynchronous(manager):
            self._exits.append(self._enter_asynchronous(manager))
        elif hasattr(type(manager), "__enter__"):
            type(manager).__enter__(manager)
            self._exits.append(_leaving(manager))
        else:
            raise TypeError(f"{manager!r} is no context manager, as around_job and around_child need one")

    def leave(self, error: BaseException | None = None) -> BaseException | None:
        """Leave all, the last one first, with the error; returns the last new error that one raised, or None.

        An error that a manager suppresses is still passed to the others.
        """
        failed = None
        while self._exits:
            told = failed or error
            try:
                self._exits.pop()(told)
            except BaseException as raised:
                failed = failed if raised is told else raised
        return failed


def is_asynchronous(manager: object) -> bool:
    """Tell whether the manager is entered with `async with`."""
    return hasattr(type(manager), "__aenter__")


def _leaving(manager: Any) -> Leave:
    def leave(error: BaseException | None) -> None:
        trace = error.__traceback__ if error else None
        type(manager).__exit__(manager, type(error) if error else None, error, trace)

    return leave
