"""Report a process's state to the service manager that listens on $NOTIFY_SOCKET, such as systemd."""

from __future__ import annotations

import socket
import time


class ServiceManager:
    """The service manager at $NOTIFY_SOCKET; without an address nothing is sent."""

    def __init__(self, address: str | None, watchdog: float | None = None) -> None:
        self._address = f"\0{address[1:]}" if address and address.startswith("@") else address
        self.interval = watchdog / 2 if watchdog else None
        """Seconds between two watchdog notifications, None if the manager expects none."""
        self._alive_at = 0.0
        self._status = ""
        self._ending = False

    def ready(self) -> None:
        """Report that the service has started or restarted itself."""
        self._tell("READY=1")

    def ending(self, *, afresh: bool) -> None:
        """Report that the service is about to end, or to restart itself (`afresh`): then `ready` follows."""
        if not self._ending:
            self._ending = True
            self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}" if afresh else "STOPPING=1")

    def status(self, text: str) -> None:
        """Report the state of the service in words, if it has changed."""
        if text != self._status:
            self._status = text
            self._tell(f"STATUS={text}")

    def alive(self) -> None:
        """Send a watchdog notification if one is due."""
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
                return  # the manager isn't there: the jobs run all the same
