"""Refresh a screen until a key ends it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from rich.live import Live
from rich.segment import Segment

from cronq.errors import UsageError
from cronq.render.console import Screen
from cronq.render.keyboard import Keyboard

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

_SLICE = 0.25
"""Maximum number of seconds until a terminal with a new size is redrawn."""

_HEADING = 4
"""Lines that a table's frame takes."""


class LiveScreen:
    """The terminal's alternate screen, with a keyboard. The normal screen is restored at the block's end."""

    def __init__(self) -> None:
        self.screen = Screen()
        self._keyboard = Keyboard()
        # Without rich's thread: it would draw while a signal ends the block.
        self._live = Live(console=self.screen.console, screen=True, auto_refresh=False, vertical_overflow="crop")
        self._shown: list[list[Segment]] = []

    @classmethod
    def required(cls, what: str, *, instead: str = "") -> Self:
        """Make the screen. Raises UsageError with the alternative if stdout is no terminal."""
        if sys.stdout is None or not sys.stdout.isatty():
            raise UsageError(f"{what} needs a terminal{f' ({instead})' if instead else ''}")
        return cls()

    @property
    def rows(self) -> int:
        """The number of rows of a table that fit on the screen."""
        return max(1, self.screen.console.height - _HEADING)

    def __enter__(self) -> Self:
        self._keyboard.__enter__()
        try:
            self._live.__enter__()
        except BaseException:
            self._keyboard.__exit__()
            raise
        return self

    def __exit__(self, *_failure: object) -> None:
        try:
            self._live.__exit__(None, None, None)
        finally:
            self._keyboard.__exit__()

    def show(self, drawn: RenderableType) -> None:
        """Draw this at once; write nothing if the terminal shows it already."""
        lines = self.screen.console.render_lines(drawn)
        if lines != self._shown:
            self._shown = lines
            self._live.update(Lines(lines), refresh=True)

    def key(self, timeout: float) -> str | None:
        """Wait `timeout` seconds for a key; return its letter or name.

        Return None if there was none, or as soon as the screen must be drawn again.
        """
        deadline = time.monotonic() + timeout
        size = self.screen.console.size
        while (left := deadline - time.monotonic()) > 0:
            pressed = self._keyboard.key(min(left, _SLICE))
            if pressed == "redraw" or self.screen.console.size != size:
                self._shown = []
                return None
            if pressed is not None:
                return pressed
        return None


class Lines:
    """Lines that are rendered already, which rich can draw."""

    def __init__(self, lines: Iterable[Iterable[Segment]]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._lines:
            yield from line
            yield Segment.line()
