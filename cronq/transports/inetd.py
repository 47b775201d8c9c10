"""Send the job's id to a `serve-inetd` (`tcp://host:11137`, `unix:///path`), which starts that job.

An answer of ERR counts as success, too: the next `cronq run` of cron runs the job. Resolving the
name, connecting and the answer share one time limit.
"""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote

from cronq.config.database_url import without_password
from cronq.errors import ConfigError, Unavailable
from cronq.transports.resolver import Address, resolved
from cronq.transports.transport import LIMIT

if TYPE_CHECKING:
    from cronq.config.loader import Config

_TCP = re.compile(r"tcp://(?:\[([0-9a-fA-F:.]+)\]|([^\[\]:/@]+)):([0-9]{1,5})/?", re.ASCII)
_UNIX = re.compile(r"unix://(/.+)")
_LAST_PORT = 65_535

_LONGEST_ANSWER = 128
_RESOLVED_FOR = 60.0
"""Seconds that the addresses of a name are remembered."""


def open(url: str, config: Config) -> Port:
    """Make the transport for a URL. Raises ConfigError unless it names a host and a port, or a path."""
    del config
    tcp, unix = _TCP.fullmatch(url), _UNIX.fullmatch(url)
    if unix:
        return Port(url, [Address(socket.AF_UNIX, unquote(unix[1]))])
    if not tcp or not 0 < int(tcp[3]) <= _LAST_PORT:
        raise ConfigError(f"wake: {without_password(url)}: expected tcp://host:port or unix:///path")
    return Port(url, host=tcp[1] or tcp[2], port=int(tcp[3]))


class Port:
    """A `serve-inetd` at an address; each notification has its own connection."""

    listens = False
    reaches_all = False

    def __init__(self, url: str, addresses: list[Address] | None = None, *, host: str = "", port: int = 0) -> None:
        self.limit = LIMIT
        """Seconds that one notification may take."""
        self._url = url
        self._host = host
        self._port = port
        self._addresses = addresses or []
        self._resolved = float("inf") if addresses else 0.0

    def notify(self, queue: str, job_id: int) -> None:
        """Request the start of the job. Raises Unavailable unless the answer OK or ERR comes within `limit` seconds."""
        del queue
        deadline = time.monotonic() + self.limit
        addresses = self._where(deadline)
        for number, address in enumerate(addresses, start=1):
            now = time.monotonic()
            until = now + (deadline - now) / (len(addresses) - number + 1)
            try:
                answer = _request(address, job_id, until)
            except OSError as error:
                reason = error.strerror or str(error) or "no answer in time"
            else:
                check_answer(self._url, answer)
                return
        raise Unavailable(f"{self._url}: {reason}")

    def wait(self, timeout: float) -> bool:
        """Sleep for `timeout` seconds, and return False: this transport starts jobs itself, and has no listeners."""
        time.sleep(timeout)
        return False

    def close(self) -> None:
        """Forget the addresses of the name; no connection is open."""
        self._resolved = min(self._resolved, 0.0) if self._host else self._resolved

    def _where(self, deadline: float) -> list[Address]:
        if time.monotonic() >= self._resolved:
            self._addresses = resolved(self._host, self._port, deadline)
            self._resolved = time.monotonic() + _RESOLVED_FOR
        if not self._addresses:
            raise Unavailable(f"{self._url}: the name {self._host} can't be resolved")
        return self._addresses


def _request(address: Address, job_id: int, deadline: float) -> bytes:
    """Send the id and read the answer's line. Raises OSError, TimeoutError included."""
    with socket.socket(address.family, socket.SOCK_STREAM) as connection:
        _limit(connection, deadline)
        connection.connect(address.where)
        _limit(connection, deadline)
        connection.sendall(b"%d\n" % job_id)
        return read_answer(connection, deadline)


def read_answer(connection: socket.socket, deadline: float) -> bytes:
    """Read to the end of the line or of the connection, at most _LONGEST_ANSWER bytes. Raises OSError."""
    answer = b""
    while b"\n" not in answer and len(answer) < _LONGEST_ANSWER:
        _limit(connection, deadline)
        more = connection.recv(_LONGEST_ANSWER - len(answer))
        if not more:
            break
        answer += more
    return answer


def check_answer(url: str, answer: bytes) -> None:
    """Raise Unavailable unless the answer is one that serve-inetd gives."""
    line, end, _ = answer.partition(b"\n")
    if not end or not line.startswith((b"OK ", b"ERR ")):
        said = f"answered {answer[:40]!r}" if answer else "closed the connection without an answer"
        raise Unavailable(f"{url}: {said}")


def _limit(connection: socket.socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    connection.settimeout(left)
