"""Define the interface of transports, which wake workers. None carries a job, or decides which one runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from cronq.config.settings import TRANSPORTS

if TYPE_CHECKING:
    from cronq.config.loader import Config

_MODULES = {**TRANSPORTS, "notify": "postgresql"}
"""The module for each scheme; only that one is imported, and only it needs its library. `notify` needs no setting."""

LIMIT = 1.0
"""Seconds that a notification may take before it counts as failed."""


class Transport(Protocol):
    """One way to wake workers, or to have one job started at once."""

    listens: bool
    """Whether workers listen to it by calling `wait`."""

    reaches_all: bool
    """Whether each listener receives each message. Otherwise one of a host does, and wakes its other workers."""

    def notify(self, queue: str, job_id: int) -> None:
        """Send a notification for a job. Raises Unavailable if that fails or takes longer than LIMIT."""

    def wait(self, timeout: float) -> bool:
        """Sleep until a notification, at most `timeout` seconds; returns whether one came.

        Raises Unavailable if the transport can't be reached: wait a moment and call again.
        """

    def close(self) -> None:
        """Close connections; the next call opens them again."""


def listens(url: str) -> bool:
    """Tell whether workers can listen to the transport of a URL; the others start one job at once."""
    return _module(url) != "inetd"


def open_transport(url: str, config: Config) -> Transport:
    """Make the transport for a URL of the setting `wake`; it connects at first use.

    Raises ConfigError, naming the extra, if its library isn't installed.
    """
    module = import_module(f"cronq.transports.{_module(url)}")
    transport: Transport = module.open(url, config)
    return transport


def _module(url: str) -> str:
    return _MODULES[url.partition(":")[0]]
