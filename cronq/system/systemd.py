"""Telling a service manager (systemd, or whoever else listens on $NOTIFY_SOCKET) how a process does."""

from __future__ import annotations

import socket
import time


class ServiceManager:
    """The other end of $NOTIFY_SOCKET; nobody listens where there is no address."""

    def __init__(self, address: str | None, watchdog: float | None = None) -> None:
        self._address = f"\0{address[1:]}" if address and address.startswith("@") else address
        self.interval = watchdog / 2 if watchdog else None
        """Seconds between two signs of life, None where nobody waits for them."""
        self._alive_at = 0.0
        self._status = ""
        self._ending = False

    def ready(self) -> None:
        """The service has started, or has started afresh."""
        self._tell("READY=1")

    def ending(self, *, afresh: bool) -> None:
        """The service is about to end, or to start afresh: then `ready` follows."""
        if not self._ending:
            self._ending = True
            self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}" if afresh else "STOPPING=1")

    def status(self, text: str) -> None:
        """What the service does, in words."""
        if text != self._status:
            self._status = text
            self._tell(f"STATUS={text}")

    def alive(self) -> None:
        """A sign of life, if it is time for one."""
        now = time.monotonic()
        if self.interval is not None and now >= self._alive_at:
            self._alive_at = now + self.interval
            self._tell("WATCHDOG=1")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as notifier:
            try:
                notifier.sendto(message.encode(), self._address)
            except OSError:
                return  # a manager that doesn't listen is its own problem
