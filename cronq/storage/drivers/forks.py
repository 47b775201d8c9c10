"""Delay a fork until the calls of other threads on SQLite have ended, and close the child's connections.

In the child, mutexes that SQLite held during the fork would stay locked. And SQLite keeps in memory
which locks it has on a file; the child inherits that memory, but not the locks: it would write without
any, or wait for ever for another thread's transaction. So a fork first takes the lock that a call holds
in any thread, and the child closes the connections, which are idle then, before it opens its own.
"""

from __future__ import annotations

import os
from _thread import RLock  # the one of `threading`, without importing that at each start
from _weakref import ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Forked(Protocol):
        """An object with connections that a child must not use."""

        lock: Any
        """The lock that is held from the beginning of each transaction to its end."""

        idle: list[Any]
        broken: list[Any]

        def close_broken(self) -> None:
            """Close the connections that may have an open transaction."""

        def drop_inherited(self) -> None:
            """Give up the inherited connections in the child."""


inherited: list[Any] = []
"""Connections that belong to the process that forked this one, and must not be closed here."""

_entry = RLock()
_known: dict[int, Callable[[], Forked | None]] = {}
_taken: list[Any] = []


def guard(one: Forked) -> None:
    """Make each fork wait for the calls under `one.lock`, as long as `one` exists."""
    number = id(one)
    with _entry:
        _known[number] = ref(one, lambda _: _known.pop(number, None))


def living() -> list[Forked]:
    """Return the guarded objects that still exist."""
    return [one for one in (find() for find in list(_known.values())) if one is not None]


def _before() -> None:
    _entry.acquire()
    for one in living():
        one.lock.acquire()
        _taken.append(one.lock)
        one.close_broken()


def _after() -> None:
    while _taken:
        _taken.pop().release()
    _entry.release()


def _after_in_child() -> None:
    _after()
    for one in living():
        one.drop_inherited()


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
