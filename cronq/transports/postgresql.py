"""Receive wake-ups through LISTEN and NOTIFY if PostgreSQL is the queue's database; the INSERT of a job notifies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cronq.errors import Unavailable
from cronq.storage.drivers.notify import channel

if TYPE_CHECKING:
    from cronq.config.loader import Config


class PostgreSQL:
    """A connection that listens for new jobs."""

    listens = True
    reaches_all = True

    def __init__(self, config: Config) -> None:
        from cronq.storage.drivers import postgresql

        self._dialect = postgresql
        self._url = config.database_url()
        self._channel = channel(config.table_prefix)
        self._connection: Any = None

    def notify(self, queue: str, job_id: int) -> None:
        """Wake all listeners, which the INSERT of a job does by itself. Raises Unavailable."""
        del queue, job_id
        self._translated(lambda: self._opened().execute("SELECT pg_notify(%s, '')", (self._channel,)))

    def wait(self, timeout: float) -> bool:
        """Sleep until a transaction with new jobs commits, at most `timeout` seconds; returns whether one did.

        True also after reconnecting. Raises Unavailable.
        """
        return bool(self._translated(lambda: self._wait(timeout)))

    def close(self) -> None:
        """Close the connection; the next call opens another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _wait(self, timeout: float) -> bool:
        if self._connection is None:
            self._opened().execute(f'LISTEN "{self._channel}"')
            return True
        notified = any(self._connection.notifies(timeout=timeout, stop_after=1))
        if notified:
            for _ in self._connection.notifies(timeout=0):
                continue
        else:
            self._connection.execute("SELECT 1")  # fails if the connection was lost unnoticed
        return notified

    def _opened(self) -> Any:
        if self._connection is None:
            self._connection = self._dialect.connect(self._url)
        return self._connection

    def _translated(self, act: Any) -> Any:
        try:
            return act()
        except self._dialect.Database.errors as error:
            self.close()
            raise Unavailable(f"postgresql://{self._url.host}: {' '.join(str(error).split())}") from error


def open(_url: str, config: Config) -> PostgreSQL:
    """Make the transport for the configured database."""
    return PostgreSQL(config)
