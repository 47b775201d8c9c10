"""`tcp://host:11137` and `unix:///path`: the job's id goes to a `serve-inetd`, which starts that very job.

Any answer will do: who says ERR has looked, and cron does what is left. Resolving a name, connecting
and the answer have one time limit together.
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
    """The port in the URL. Raises ConfigError unless it names a host and a port, or a path."""
    del config
    tcp, unix = _TCP.fullmatch(url), _UNIX.fullmatch(url)
    if unix:
        return Port(url, [Address(socket.AF_UNIX, unquote(unix[1]))])
    if not tcp or not 0 < int(tcp[3]) <= _LAST_PORT:
        raise ConfigError(f"wake: {without_password(url)}: expected tcp://host:port or unix:///path")
    return Port(url, host=tcp[1] or tcp[2], port=int(tcp[3]))


class Port:
    """A `serve-inetd` that listens somewhere. Keeps no connection between two jobs."""

    listens = False
    reaches_all = False

    def __init__(self, url: str, addresses: list[Address] | None = None, *, host: str = "", port: int = 0) -> None:
        self.limit = LIMIT
        """Seconds that one job may take."""
        self._url = url
        self._host = host
        self._port = port
        self._addresses = addresses or []
        self._resolved = float("inf") if addresses else 0.0

    def notify(self, queue: str, job_id: int) -> None:
        """Ask for the job. Raises Unavailable unless somebody answers OK or ERR within the limit."""
        del queue
        deadline = time.monotonic() + self.limit
        addresses = self._where(deadline)
        for number, address in enumerate(addresses, start=1):
            now = time.monotonic()
            until = now + (deadline - now) / (len(addresses) - number + 1)
            try:
                answer = _asked(address, job_id, until)
            except OSError as error:
                reason = error.strerror or str(error) or "no answer in time"
            else:
                judged(self._url, answer)
                return
        raise Unavailable(f"{self._url}: {reason}")

    def wait(self, timeout: float) -> bool:
        """Nobody can listen to this one: it starts jobs itself."""
        time.sleep(timeout)
        return False

    def close(self) -> None:
        """Nothing is open; a name is looked up anew."""
        self._resolved = min(self._resolved, 0.0) if self._host else self._resolved

    def _where(self, deadline: float) -> list[Address]:
        if time.monotonic() >= self._resolved:
            self._addresses = resolved(self._host, self._port, deadline)
            self._resolved = time.monotonic() + _RESOLVED_FOR
        if not self._addresses:
            raise Unavailable(f"{self._url}: the name {self._host} can't be resolved")
        return self._addresses


def _asked(address: Address, job_id: int, deadline: float) -> bytes:
    """What was answered, up to the end of the line. Raises OSError, TimeoutError included."""
    with socket.socket(address.family, socket.SOCK_STREAM) as caller:
        _limit(caller, deadline)
        caller.connect(address.where)
        _limit(caller, deadline)
        caller.sendall(b"%d\n" % job_id)
        return read_answer(caller, deadline)


def read_answer(caller: socket.socket, deadline: float) -> bytes:
    """What comes until the end of a line, of the connection or of what a line may have. Raises OSError."""
    answer = b""
    while b"\n" not in answer and len(answer) < _LONGEST_ANSWER:
        _limit(caller, deadline)
        more = caller.recv(_LONGEST_ANSWER - len(answer))
        if not more:
            break
        answer += more
    return answer


def judged(url: str, answer: bytes) -> None:
    """Raise Unavailable unless it is an answer as serve-inetd gives them."""
    line, end, _ = answer.partition(b"\n")
    if not end or not line.startswith((b"OK ", b"ERR ")):
        said = f"answered {answer[:40]!r}" if answer else "closed the connection without an answer"
        raise Unavailable(f"{url}: {said}")


def _limit(caller: socket.socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    caller.settimeout(left)
