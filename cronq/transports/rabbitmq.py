"""Wake workers through a RabbitMQ exchange, with the client `kombu`.

A fanout exchange has a quorum queue for each host: each host receives each message, and one of its
listeners takes it. Any program wakes workers by publishing a job's id there.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from cronq.transports.broker import EXPIRY, Broker, address_of, needs
from cronq.transports.transport import LIMIT

try:
    import kombu
    from amqp.exceptions import AMQPError
    from kombu.exceptions import KombuError
except ImportError:
    raise needs("amqp", "kombu") from None

if TYPE_CHECKING:
    from cronq.config.loader import Config

_MAX_LENGTH = 1000
"""Messages that a host's queue holds at most; the oldest are dropped."""

_UNUSED = 3600
"""Seconds after which the queue of a host where no worker listens is removed."""

_HEARTBEAT = 10


class RabbitMQ(Broker):
    """Wake-ups through a RabbitMQ exchange."""

    errors = (OSError, AMQPError, KombuError)

    def connect(self, limit: float) -> Any:
        """Open a connection on which messages are confirmed; returns its producer.

        Without heartbeats: no thread would send them.
        """
        return self._connected(limit, heartbeat=0).Producer(exchange=self._exchange)

    def listen(self, limit: float) -> Any:
        """Open a connection that consumes this host's queue, which is declared if it is missing."""
        connection = self._connected(limit, heartbeat=_HEARTBEAT)
        queue = kombu.Queue(
            f"{self.address.name}.{os.uname().nodename}",
            self._exchange,
            durable=True,
            message_ttl=EXPIRY,
            expires=_UNUSED,
            max_length=_MAX_LENGTH,
            queue_arguments={"x-queue-type": "quorum"},
        )
        consumer = connection.Consumer(queue, no_ack=True, accept=None, on_message=lambda _: None)
        consumer.consume()
        return connection

    def send(self, connection: Any, body: str) -> None:
        """Publish the id; it is dropped at once where no host has a queue."""
        connection.publish(
            body,
            content_type="text/plain",
            content_encoding="utf-8",
            expiration=EXPIRY,
            timeout=LIMIT / 2,
            confirm_timeout=LIMIT / 2,
        )

    def receive(self, connection: Any, timeout: float) -> bool:
        """Wait for a message in this host's queue, at most _HEARTBEAT / 3 seconds; returns whether one came."""
        connection.heartbeat_check()
        try:
            connection.drain_events(timeout=min(timeout, _HEARTBEAT / 3))
        except TimeoutError:
            return False
        return True

    def disconnect(self, connection: Any) -> None:
        """Close the socket without the closing handshake, which a broken broker would not answer."""
        (connection.connection if isinstance(connection, kombu.Producer) else connection).collect()

    @property
    def _exchange(self) -> Any:
        return kombu.Exchange(self.address.name, type="fanout", durable=True)

    def _connected(self, limit: float, *, heartbeat: int) -> Any:
        options = {"confirm_publish": True, "read_timeout": limit, "write_timeout": limit}
        connection = kombu.Connection(
            self.address.url, connect_timeout=limit, heartbeat=heartbeat, transport_options=options
        )
        # Its `connect` would pause two seconds before a second try.
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=limit)
        return connection


def open(url: str, config: Config) -> RabbitMQ:
    """Make the transport for an amqp:// or amqps:// URL."""
    del config
    return RabbitMQ(address_of(url))
