"""Define the base of all brokers, which keeps a connection, replaces a lost one, and translates its errors."""

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
"""Seconds after which an unread message is dropped: by then each worker has checked the database anyway."""

_DEFAULT_NAME = "cronq"


class BrokerAddress(NamedTuple):
    """The parts of a broker's URL. `name` is that of the exchange, channel, tube or queue."""

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
        """Return the scheme, host and port, without secrets."""
        port = f":{self.port}" if self.port else ""
        return f"{self.url.partition(':')[0]}://{self.host}{port}"


def address_of(url: str, *, options: tuple[str, ...] = ()) -> BrokerAddress:
    """Parse a URL of the setting `wake`. Raises ConfigError for options other than `name` and those given."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"wake: {url.partition(':')[0]}://…: {error}") from None
    given = dict(parse_qsl(parts.query))
    name = given.pop("name", _DEFAULT_NAME)
    if unknown := sorted(set(given) - set(options)):
        known = ", ".join(("name", *options))
        raise ConfigError(f"wake: {parts.scheme}://{parts.hostname or ''}: unknown option {unknown[0]}, known: {known}")
    user, password = (None if part is None else unquote(part) for part in (parts.username, parts.password))
    path = unquote(parts.path)
    bare = parts._replace(query="", fragment="").geturl()
    return BrokerAddress(bare, parts.hostname or "localhost", port, user, password, path, name, given)


def needs(extra: str, package: str) -> ConfigError:
    """Make the error for a library that isn't installed."""
    return ConfigError(f"wake: {extra} needs the package {package}: install cronq-jobs[{extra}]")


class Broker:
    """A transport over a message broker: one message wakes the listeners."""

    listens = True
    reaches_all = False
    errors: ClassVar[tuple[type[Exception], ...]] = (OSError,)
    """The exceptions that the library raises if the broker can't be reached or refuses."""

    def __init__(self, address: BrokerAddress) -> None:
        self.address = address
        self._connection: Any = None
        self._pid = os.getpid()

    @property
    def host(self) -> str | None:
        """The host it connects to, None if the URL doesn't name it."""
        return self.address.host

    # Implemented for each broker

    def connect(self, limit: float) -> Any:
        """Open a connection that answers within `limit` seconds."""
        raise NotImplementedError

    def listen(self, limit: float) -> Any:
        """Open a connection that receives messages from now on."""
        return self.connect(limit)

    def send(self, connection: Any, body: str) -> None:
        """Send one message, which the broker accepts within LIMIT."""
        raise NotImplementedError

    def receive(self, connection: Any, timeout: float) -> bool:
        """Wait up to `timeout` seconds for a message, and take it and some after it; returns whether any came."""
        raise NotImplementedError

    def disconnect(self, connection: Any) -> None:
        """Close a connection, which may be broken."""
        connection.close()

    # The same for all

    def notify(self, queue: str, job_id: int) -> None:
        """Send the id to the listeners, on a new connection if the kept one was lost. Raises Unavailable."""
        del queue  # a worker that is woken checks all its queues
        kept, started = self._kept is not None, time.monotonic()
        try:
            self._send(str(job_id))
        except Unavailable:
            if not kept or time.monotonic() - started > LIMIT / 2:
                raise
            self._send(str(job_id))  # only the kept connection had been lost

    def wait(self, timeout: float) -> bool:
        """Sleep until a message comes, at most `timeout` seconds; returns whether one came.

        True also after reconnecting: messages in between are lost. Raises Unavailable.
        """
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
        """The open connection, None if it was opened before a fork: that one is the parent's."""
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
        """Raise Unavailable if the host can't be resolved; the libraries have no time limit for that."""
        if self.host is not None and not resolved(self.host, 0, time.monotonic() + limit):
            raise Unavailable(f"{self.address}: the name {self.host} can't be resolved")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self.errors as error:
            self.close()
            raise Unavailable(f"{self.address}: {str(error) or type(error).__name__}") from error
