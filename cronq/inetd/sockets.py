"""Take over the descriptors that `serve-inetd` was started with: a connection, listening sockets, a pipe or terminal.

Under xinetd the descriptors 0, 1 and 2 are all the client's socket, so tracebacks and output of tasks
would be sent to it. The sockets are moved before anything else is imported or read.
"""

from __future__ import annotations

import _socket
import fcntl
import os
import stat

from cronq.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTION, LISTENING, STREAM = "connection", "listening", "stream"
_FIRST = 3
_ACCEPTS = getattr(_socket, "SO_ACCEPTCONN", None)


class Inherited:
    """The inherited descriptors and their kind."""

    def __init__(self, kind: str, sockets: list[int], *, stderr: bool) -> None:
        self.kind = kind
        self.sockets = sockets
        self.stderr = stderr
        """Whether descriptor 2 is stderr, not a client's socket."""


def enter(handed_over: Callable[[], int]) -> Inherited:
    """Find the inherited sockets, and take them off 0, 1 and 2. Raises UsageError for other kinds of sockets.

    `handed_over` returns how many sockets systemd passes from descriptor 3 on.
    """
    if _is_socket(0):
        return _from_descriptor_0()
    count = handed_over()
    if not count:
        return Inherited(STREAM, [], stderr=True)
    sockets = list(range(_FIRST, _FIRST + count))
    for fd in sockets:
        fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    return Inherited(_kind(sockets), sockets, stderr=True)


def _from_descriptor_0() -> Inherited:
    # inetutils-inetd leaks its own descriptors, systemd passes the same connection twice.
    os.closerange(_FIRST, os.sysconf("SC_OPEN_MAX"))
    own = os.dup(0)
    theirs = _is_same(2, 0)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2) if theirs else (0, 1):
        os.dup2(null, fd)
    os.close(null)
    return Inherited(_kind([own]), [own], stderr=not theirs)


def _kind(sockets: list[int]) -> str:
    kinds = {_kind_of(fd) for fd in sockets}
    if len(kinds) > 1 or (kinds == {CONNECTION} and len(sockets) > 1):
        raise UsageError("serve-inetd: expected one connection or listening sockets, got several of both")
    return kinds.pop()


def _kind_of(fd: int) -> str:
    borrowed = _socket.socket(fileno=fd)
    try:
        if borrowed.type != _socket.SOCK_STREAM:
            raise UsageError(f"serve-inetd: descriptor {fd} is a socket, but not one for a stream")
        listens = _ACCEPTS is not None and borrowed.getsockopt(_socket.SOL_SOCKET, _ACCEPTS)
        return LISTENING if listens else CONNECTION
    finally:
        borrowed.detach()


def _is_socket(fd: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False


def _is_same(one: int, other: int) -> bool:
    """Tell whether two descriptors are the same socket, or the first is closed."""
    try:
        first, second = os.fstat(one), os.fstat(other)
    except OSError:
        return True
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)
