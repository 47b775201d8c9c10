"""Wake workers through a Redis channel, with the client `redis`; `redis-cli publish cronq 42` does it by hand.

Redis keeps no messages: only the listeners that are connected at that time receive them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from cronq.transports.broker import Broker, address_of, needs
from cronq.transports.transport import LIMIT

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError:
    raise needs("redis", "redis") from None

if TYPE_CHECKING:
    from cronq.config.loader import Config


class Redis(Broker):
    """Wake-ups through a Redis channel."""

    reaches_all = True
    errors = (OSError, redis.RedisError)

    def connect(self, limit: float) -> Any:
        """Make a client that tries once."""
        return redis.Redis.from_url(
            self.address.url,
            socket_connect_timeout=limit,
            socket_timeout=LIMIT / 2,
            retry=Retry(NoBackoff(), 0),
            max_connections=1,
        )

    def listen(self, limit: float) -> Any:
        """Subscribe to the channel."""
        channel = self.connect(limit).pubsub(ignore_subscribe_messages=True)
        channel.subscribe(self.address.name)
        return channel

    def send(self, connection: Any, body: str) -> None:
        """Publish the id."""
        connection.publish(self.address.name, body)

    def receive(self, connection: Any, timeout: float) -> bool:
        """Wait for a message; returns whether one came. The confirmation of the subscription isn't one."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            if connection.get_message(timeout=left) is not None:
                return True
        return False


def open(url: str, config: Config) -> Redis:
    """Make the transport for a redis:// or rediss:// URL."""
    del config
    return Redis(address_of(url))
