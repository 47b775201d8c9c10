"""Who carries notices to people, so that no job waits for a mail server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq import locks
from cronq.notifications import channels
from cronq.system import background
from cronq.system.log import log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronq.config.loader import Config
    from cronq.notifications.notice import Notice
    from cronq.tasks.registry import Registry


class Sender:
    """Sends one errand after the other; what comes while one is under way goes with the next, all at once."""

    def __init__(self, config: Config, registry: Registry, *, close_inherited: Callable[[], None]) -> None:
        self._ways = channels.channels(config, registry.hooks["on_notify"])
        self._close_inherited = close_inherited
        self._pile: list[Notice] = []
        self._under_way: int | None = None

    @property
    def wanted(self) -> bool:
        """Whether anybody beyond the log is to be told."""
        return bool(self._ways)

    def take(self, notice: Notice) -> None:
        """Keep a notice for the next errand."""
        if self._ways:
            self._pile.append(notice)

    def may_go(self, *, at_once: bool) -> bool:
        """Whether there is something to carry and, if it may wait, the last errand is done."""
        if self._under_way is not None and background.has_ended(self._under_way):
            self._under_way = None
        return bool(self._pile) and (at_once or self._under_way is None)

    def go(self) -> list[Notice]:
        """Send all that was taken; returns it."""
        notices, self._pile = self._pile, []
        try:
            self._under_way = background.start(lambda: self._carry(notices))
        except OSError as error:
            log.warning("%d notices were not sent: %s", len(notices), error.strerror)
        return notices

    def _carry(self, notices: Sequence[Notice]) -> None:
        locks.drop_inherited()
        self._close_inherited()
        channels.deliver(notices, self._ways)
