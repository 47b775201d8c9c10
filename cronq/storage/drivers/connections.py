"""Give each call a connection of its own, and take it back only without an open transaction.

An exception can come between any two steps of a call: Ctrl-C, a time limit, a signal handler that
raises. So a connection is out of reach while it is used. The call that is interrupted rolls it back
if that is provably enough, and closes it otherwise; where even that is interrupted, the next call
does it. A signal handler that uses the same database meanwhile gets a connection of its own.
"""

from __future__ import annotations

import sys
from _thread import RLock

from cronq.storage.drivers import forks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import Any, Protocol

    class Connection(Protocol):
        """A driver's connection."""

        @property
        def in_transaction(self) -> bool:
            """Whether a transaction is open on it."""

        def undo(self) -> bool:
            """Roll back; returns False if a transaction or an answer may be left."""

        def close(self) -> None:
            """Close it; may be called again."""

        def leave(self) -> None:
            """Drop it without closing, in a process that inherited it."""


HANDLER_PATIENCE = 1.0
"""Seconds that a signal handler's call waits for locks, which the interrupted call may hold until it returns."""

HELD = (
    "the call that this signal handler interrupted has locked what the handler asks for: call cronq after the handler"
)


class Connections:
    """The connections of one database object: usually one, opened at first use and again after `close`."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self.idle: list[Any] = []
        self.broken: list[Connection] = []
        """Connections whose call ended with an exception, to be rolled back or closed."""
        self.lock = RLock()
        forks.guard(self)

    def take(self) -> Any:
        """Return a connection without an open transaction, for one call."""
        try:
            connection = self.idle.pop()
        except IndexError:
            return self._open()
        if connection.in_transaction:
            self.broken.append(connection)
            return self._open()
        return connection

    def put_right(self, connection: Connection) -> None:
        """Take one of the broken connections back, rolled back, or close it."""
        if connection.undo():
            self.broken.remove(connection)
            self.idle.append(connection)
        else:
            self._discard(connection)

    def close(self) -> None:
        """Close the connections that no call uses."""
        self.close_broken()
        while self.idle:
            self.idle.pop().close()

    def leave(self) -> None:
        """Drop the connections of the process that forked this one."""
        while self.idle:
            self.idle.pop().leave()

    def close_broken(self) -> None:
        """Close the connections of interrupted calls."""
        for connection in list(self.broken):
            self._discard(connection)

    def _open(self) -> Any:
        self.close_broken()
        return self._connect()

    def _discard(self, connection: Connection) -> None:
        connection.close()
        if connection in self.broken:
            self.broken.remove(connection)


def calls_below(codes: tuple[CodeType, ...], caller: object) -> int:
    """Count the calls of these methods of the caller on this thread's stack.

    More than one means that a signal handler has interrupted another call.
    """
    calls = 0
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        calls += frame.f_code in codes and frame.f_locals.get("self") is caller
        frame = frame.f_back
    return calls
