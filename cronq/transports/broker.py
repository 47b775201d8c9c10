"""What the brokers have in common: a connection that is kept, opened again once it went stale, and its errors."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from cronq.errors import ConfigError, Unavailable
from cronq.transports.resolver import resolved
from cronq.transports.transport import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

EXPIRY = 60
"""Seconds after which a message that nobody took is dropped: by then every worker has looked anyway."""

_USUAL_NAME = "cronq"


class Place(NamedTuple):
    """A broker's URL taken apart. `name` is what its exchange, channel, tube or queue is called."""

    url: str
    """Without options."""
    host: str
    port: int | None
    user: str | None
    password: str | None
    path: str
    name: str
    options: dict[str, str]

    def __str__(self) -> str:
        """Scheme, host and port: nothing secret."""
        port = f":{self.port}" if self.port else ""
        return f"{self.url.partition(':')[0]}://{self.host}{port}"


def place_of(url: str, *, options: tuple[str, ...] = ()) -> Place:
    """Take a URL of `wake` apart. Raises ConfigError for options other than `name` and those given."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"wake: {url.partition(':')[0]}://…: {error}") from None
    given = dict(parse_qsl(parts.query))
    name = given.pop("name", _USUAL_NAME)
    if unknown := sorted(set(given) - set(options)):
        known = ", ".join(("name", *options))
        raise ConfigError(f"wake: {parts.scheme}://{parts.hostname or ''}: unknown option {unknown[0]}, known: {known}")
    user, password = (None if part is None else unquote(part) for part in (parts.username, parts.password))
    path = unquote(parts.path)
    bare = parts._replace(query="", fragment="").geturl()
    return Place(bare, parts.hostname or "localhost", port, user, password, path, name, given)


def needs(extra: str, package: str) -> ConfigError:
    """The error for a library that isn't installed."""
    return ConfigError(f"wake: {extra} needs the package {package}: install cronq-jobs[{extra}]")


class Broker:
    """A transport over a broker: one message wakes whoever listens."""

    listens = True
    reaches_all = False
    errors: ClassVar[tuple[type[Exception], ...]] = (OSError,)
    """What the library raises when the broker is out of reach or refuses."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._connection: Any = None
        self._pid = os.getpid()

    @property
    def host(self) -> str | None:
        """Whom it connects to, where the URL says so."""
        return self.place.host

    # What a library does

    def connect(self, limit: float) -> Any:
        """A connection that answers within so many seconds."""
        raise NotImplementedError

    def listen(self, limit: float) -> Any:
        """A connection to which messages come from now on."""
        return self.connect(limit)

    def send(self, connection: Any, body: str) -> None:
        """One message, accepted by the broker within LIMIT."""
        raise NotImplementedError

    def receive(self, connection: Any, timeout: float) -> bool:
        """Take a message, or some of those that are there, waiting for the first; whether there was any."""
        raise NotImplementedError

    def disconnect(self, connection: Any) -> None:
        """Close a connection that may be broken."""
        connection.close()

    # The same for all

    def notify(self, queue: str, job_id: int) -> None:
        """Send the id to whoever listens. Raises Unavailable."""
        del queue  # who is woken looks at all its queues
        kept, started = self._kept is not None, time.monotonic()
        try:
            self._send(str(job_id))
        except Unavailable:
            if not kept or time.monotonic() - started > LIMIT / 2:
                raise
            self._send(str(job_id))  # it was the old connection that had gone

    def wait(self, timeout: float) -> bool:
        """Sleep until a message comes. True also after connecting anew: what came in between is lost."""
        fresh = self._kept is None
        with self._translated():
            if fresh:
                self._connection = self.listen(LIMIT)
                return True
            return self.receive(self._connection, timeout)

    def close(self) -> None:
        """Close the connection; the next call opens another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*self.errors):
                self.disconnect(connection)

    @property
    def _kept(self) -> Any:
        """The connection that is open; what was opened before a fork stays the parent's."""
        if self._pid != os.getpid():
            self._connection, self._pid = None, os.getpid()
        return self._connection

    def _send(self, body: str) -> None:
        with self._translated():
            if self._kept is None:
                self._look_up(LIMIT / 2)
                self._connection = self.connect(LIMIT / 2)
            self.send(self._connection, body)

    def _look_up(self, limit: float) -> None:
        """Raise Unavailable where nobody knows the host; the libraries would wait for a dead name server."""
        if self.host is not None and not resolved(self.host, 0, time.monotonic() + limit):
            raise Unavailable(f"{self.place}: the name {self.host} can't be resolved")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self.errors as error:
            self.close()
            raise Unavailable(f"{self.place}: {str(error) or type(error).__name__}") from error
