"""Wake workers through an Amazon SQS queue, with the client `boto3`; ids expire after a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from cronq.transports.broker import EXPIRY, Broker, address_of, needs
from cronq.transports.transport import LIMIT

try:
    import boto3
    from botocore.config import Config as ClientConfig
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    raise needs("sqs", "boto3") from None

if TYPE_CHECKING:
    from cronq.config.loader import Config

_LONGEST_WAIT = 20
_AT_ONCE = 10
"""SQS's limits: the seconds that it waits for a message, and the messages in one answer."""


class Queue:
    """A client with the URL of its queue."""

    def __init__(self, client: Any, url: str) -> None:
        self.client = client
        self.url = url

    @classmethod
    def open(cls, client: Any, name: str) -> Self:
        """Find the queue of this name; create it if it is missing."""
        try:
            found = client.get_queue_url(QueueName=name)
        except client.exceptions.QueueDoesNotExist:
            found = client.create_queue(QueueName=name, Attributes={"MessageRetentionPeriod": str(EXPIRY)})
        return cls(client, found["QueueUrl"])

    def close(self) -> None:
        """Close the client's connections."""
        self.client.close()


class SQS(Broker):
    """Wake-ups through an SQS queue, created if it is missing; each reaches the workers of one host."""

    errors = (OSError, BotoCoreError, ClientError)

    @property
    def host(self) -> str | None:
        """The host of the endpoint, or of the region; None if the URL names neither."""
        options = self.address.options
        if "endpoint" in options:
            return urlsplit(options["endpoint"]).hostname
        return f"sqs.{options['region']}.amazonaws.com" if "region" in options else None

    def connect(self, limit: float) -> Queue:
        """Make a client that tries once."""
        return self._queue(connect=limit, read=limit)

    def listen(self, limit: float) -> Queue:
        """Make a client that waits for messages."""
        return self._queue(connect=limit, read=_LONGEST_WAIT + LIMIT)

    def send(self, connection: Queue, body: str) -> None:
        """Send the id."""
        connection.client.send_message(QueueUrl=connection.url, MessageBody=body)

    def receive(self, connection: Queue, timeout: float) -> bool:
        """Wait for a message, and take it and up to nine more; returns whether any came."""
        seconds = min(max(1, round(timeout)), _LONGEST_WAIT)
        came = connection.client.receive_message(
            QueueUrl=connection.url, WaitTimeSeconds=seconds, MaxNumberOfMessages=_AT_ONCE
        ).get("Messages", [])
        if came:
            entries = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(came)]
            connection.client.delete_message_batch(QueueUrl=connection.url, Entries=entries)
        return bool(came)

    def _queue(self, *, connect: float, read: float) -> Queue:
        options = self.address.options
        client = boto3.client(
            "sqs",
            region_name=options.get("region"),
            endpoint_url=options.get("endpoint"),
            aws_access_key_id=self.address.user,
            aws_secret_access_key=self.address.password,
            config=ClientConfig(connect_timeout=connect, read_timeout=read, retries={"total_max_attempts": 1}),
        )
        return Queue.open(client, self.address.path.strip("/") or self.address.name)


def open(url: str, config: Config) -> SQS:
    """Make the transport for a URL such as `sqs:///NAME?region=eu-west-1`; keys come from it or the environment."""
    del config
    return SQS(address_of(url, options=("region", "endpoint")))
