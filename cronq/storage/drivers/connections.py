"""Give each call a connection of its own, and take it back only without an open transaction.

An exception can come between any two steps of a call: Ctrl-C, a time limit, a signal handler that
raises. So a connection is in no list while a call uses it. A call that is interrupted rolls it back
if that is certain to suffice, and closes it otherwise; if that is interrupted too, the next call that
opens a connection closes it. A signal handler that uses the same database meanwhile gets a connection
of its own.
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

    class DriverConnection(Protocol):
        """A driver's connection."""

        @property
        def in_transaction(self) -> bool:
            """Whether a transaction is open on it."""

        def undo(self) -> bool:
            """Roll back; returns False if a transaction may still be open, or an answer unread."""

        def close(self) -> None:
            """Close it; does nothing if it is closed already."""

        def drop_inherited(self) -> None:
            """Give it up in a process that inherited it, without an effect on the process that opened it."""


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
        self.broken: list[DriverConnection] = []
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

    def put_right(self, connection: DriverConnection) -> None:
        """Roll back a broken connection and make it idle; close it if that fails."""
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

    def drop_inherited(self) -> None:
        """Give up the idle connections that this process inherited from the one that forked it."""
        while self.idle:
            self.idle.pop().drop_inherited()

    def close_broken(self) -> None:
        """Close the connections of interrupted calls."""
        for connection in list(self.broken):
            self._discard(connection)

    def _open(self) -> Any:
        self.close_broken()
        return self._connect()

    def _discard(self, connection: DriverConnection) -> None:
        connection.close()
        if connection in self.broken:
            self.broken.remove(connection)


def calls_below(codes: tuple[CodeType, ...], caller: object) -> int:
    """Return the number of calls of these methods of `caller` on this thread's stack.

    One beside the call that is being executed means that a signal handler has interrupted it.
    """
    calls = 0
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        calls += frame.f_code in codes and frame.f_locals.get("self") is caller
        frame = frame.f_back
    return calls
