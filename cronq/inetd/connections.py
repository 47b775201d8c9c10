"""Callers at listening sockets, none of whom waits for another: silent, slow and lost ones included."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import time
from typing import TYPE_CHECKING

from cronq.inetd.request import Client

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST = 256
"""Callers that are looked after at once; the one who has said nothing for longest makes room for another."""

_AT_ONCE = 64
"""Callers let in before those who are there are looked at."""

_FULL = 0.1
"""Seconds to let nobody in after the system had no descriptors left."""

_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Connections:
    """Lets callers in, reads what they ask, and sees them out when they have their answer."""

    def __init__(self, doors: Iterable[int]) -> None:
        self._doors = [socket.socket(fileno=fd) for fd in doors]
        for door in self._doors:
            door.settimeout(0)
        self._open = True
        self._full_until = 0.0
        self.callers: dict[int, Client] = {}
        os.register_at_fork(after_in_child=self._forget)

    def descriptors(self) -> list[int]:
        """What to sleep on: the doors and everybody inside."""
        return [*self._open_doors(), *self.callers]

    def next_deadline(self) -> float:
        """The monotonic time at which somebody's patience, or ours with somebody, is over."""
        waiting = [caller.deadline for caller in self.callers.values() if caller.deadline is not None]
        return min([*waiting, self._full_until or float("inf")], default=float("inf"))

    @property
    def lingering(self) -> bool:
        """Whether somebody who was answered may not have read it yet."""
        return any(caller.answered for caller in self.callers.values())

    def asking(self) -> list[Client]:
        """Those who have asked by now or whose time is over; the others are left where they are."""
        self._let_in()
        now = time.monotonic()
        for caller in self._readable():
            if caller.answered:
                caller.drain()
            else:
                caller.read()
        self._see_out(now)
        return [caller for caller in self.callers.values() if not caller.answered and _is_due(caller, now)]

    def shut(self) -> None:
        """Let nobody in any more; who hasn't asked yet is sent away."""
        self._open = False
        for caller in [caller for caller in self.callers.values() if not caller.answered]:
            self._dismiss(caller)

    def turn_away(self, text: str) -> None:
        """Give everybody inside and at the doors the same answer."""
        self._let_in()
        for caller in self.callers.values():
            if not caller.answered:
                caller.read()
                caller.answer(text)
                caller.drain()
        self.close()

    def close(self) -> None:
        """Send everybody away and let go of the doors; whoever knocks now waits for the next process."""
        for caller in list(self.callers.values()):
            self._dismiss(caller)
        self._forget()

    def _open_doors(self) -> list[int]:
        if self._full_until and time.monotonic() >= self._full_until:
            self._full_until = 0.0
        return [door.fileno() for door in self._doors] if self._open and not self._full_until else []

    def _let_in(self) -> None:
        open_doors = self._open_doors()
        for door in self._doors:
            for _ in range(_AT_ONCE if door.fileno() in open_doors else 0):
                try:
                    fd = door.accept()[0].detach()
                except BlockingIOError:
                    break
                except OSError as error:
                    if error.errno in _NO_ROOM:
                        self._full_until = time.monotonic() + _FULL
                        break
                    continue  # this one has gone before it was let in
                self._make_room()
                self.callers[fd] = Client(fd)

    def _make_room(self) -> None:
        if len(self.callers) >= _MOST:
            self._dismiss(next(iter(self.callers.values())))

    def _readable(self) -> list[Client]:
        poll = select.poll()
        for fd in self.callers:
            poll.register(fd, select.POLLIN)
        return [self.callers[fd] for fd, _ in poll.poll(0)]

    def _see_out(self, now: float) -> None:
        for caller in list(self.callers.values()):
            over = caller.deadline is not None and now >= caller.deadline
            if caller.answered and (caller.gone or over):
                self._dismiss(caller)

    def _dismiss(self, caller: Client) -> None:
        del self.callers[caller.fd]
        caller.close()

    def _forget(self) -> None:
        """Close everything without a word: also in a fork, whose parent goes on with it."""
        for fd in self.callers:
            with contextlib.suppress(OSError):
                os.close(fd)
        self.callers = {}
        for door in self._doors:
            with contextlib.suppress(OSError):
                door.close()
        self._doors = []


def _is_due(caller: Client, now: float) -> bool:
    return caller.complete or (caller.deadline is not None and now >= caller.deadline)
