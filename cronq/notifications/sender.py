"""Send notices from a background process, so that no job waits for a mail server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq import locks
from cronq.system import background
from cronq.system.log import log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronq.config.loader import Config
    from cronq.notifications.channels import Channel
    from cronq.notifications.notice import Notice
    from cronq.tasks.registry import Registry


class Sender:
    """Sends notices in batches, one background process at a time; later notices are sent with the next batch."""

    def __init__(self, config: Config, registry: Registry, *, close_inherited: Callable[[], None]) -> None:
        self._channels = _channels(config, registry.hooks["on_notify"])
        self._close_inherited = close_inherited
        self._waiting: list[Notice] = []
        self._process: int | None = None

    @property
    def wanted(self) -> bool:
        """Whether there are channels."""
        return bool(self._channels)

    def take(self, notice: Notice) -> None:
        """Keep a notice for the next batch, if there are channels."""
        if self._channels:
            self._waiting.append(notice)

    def may_send(self, *, at_once: bool) -> bool:
        """Tell whether notices wait and, unless `at_once`, the process of the last batch has ended."""
        if self._process is not None and background.has_ended(self._process):
            self._process = None
        return bool(self._waiting) and (at_once or self._process is None)

    def send(self) -> list[Notice]:
        """Send all waiting notices in the background; returns them."""
        notices, self._waiting = self._waiting, []
        try:
            self._process = background.start(lambda: self._deliver(notices))
        except OSError as error:
            log.warning("%d notices were not sent: %s", len(notices), error.strerror)
        return notices

    def _deliver(self, notices: Sequence[Notice]) -> None:
        locks.drop_inherited()
        self._close_inherited()
        from cronq.notifications import channels  # here, not above: as in `_channels`

        channels.deliver(notices, self._channels)


def check(config: Config) -> None:
    """Raise ConfigError if the configuration needs a library that isn't installed."""
    if config.notify or config.sentry:
        from cronq.notifications import channels  # here, not above: as in `_channels`

        channels.check(config)


def _channels(config: Config, hooks: Sequence[Callable[[Notice], object]]) -> Sequence[Channel]:
    if not (config.notify_command or config.notify or config.sentry or hooks):
        return ()
    from cronq.notifications import channels  # here, not above: most runs send no notices

    return channels.channels(config, hooks)
