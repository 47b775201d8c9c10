"""Read single keys from the terminal, without echo.

The terminal's mode is restored at any end of the program but kill -9: signals end the block. Ctrl-Z is read as a
key, because a stopped program would leave the terminal in this mode.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType
    from typing import Self

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_ESCAPE = b"\x1b"
_NAMES = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1b[C": "right",
    b"\x1b[D": "left",
    b"\x1bOC": "right",
    b"\x1bOD": "left",
    b"\x1b[5~": "page up",
    b"\x1b[6~": "page down",
    b"\x02": "page up",
    b"\x06": "page down",
    b"\x1b[H": "home",
    b"\x1bOH": "home",
    b"\x1b[1~": "home",
    b"\x1b[F": "end",
    b"\x1bOF": "end",
    b"\x1b[4~": "end",
    b"\t": "tab",
    b"\x1b[Z": "tab",
    b"\x7f": "backspace",
    b"\x08": "backspace",
    b"\x0c": "redraw",
    b"\x1b": "esc",
    b"\r": "enter",
    b"\n": "enter",
    b"\x03": "q",
    b"\x04": "q",
}
_TOGETHER = 0.02
"""Seconds within which the bytes of one key arrive."""

_LONGEST = 8
"""Bytes of an escape sequence."""

_FOLLOWING = ((0xF0, 3), (0xE0, 2), (0xC0, 1))
"""The least first byte of a UTF-8 character beyond ASCII, and the number of bytes that follow it."""


class Keyboard:
    """The keyboard of the terminal at stdin; without a terminal no key is read."""

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else -1
        self._usual: list[Any] = []
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if self._fd >= 0:
            self._usual = termios.tcgetattr(self._fd)
            for number in _ENDING:
                self._handlers[number] = signal.signal(number, _end)
            tty.setcbreak(self._fd)
            ours = termios.tcgetattr(self._fd)
            ours[6][termios.VSUSP] = b"\0"
            termios.tcsetattr(self._fd, termios.TCSADRAIN, ours)
        return self

    def __exit__(self, *_failure: object) -> None:
        if self._fd >= 0:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._usual)
            for number, handler in self._handlers.items():
                signal.signal(number, handler)

    def key(self, timeout: float) -> str | None:
        """Wait `timeout` seconds for a key; return its letter or name, `q` if the terminal was closed, or None."""
        readable, _, _ = select.select([self._fd] if self._fd >= 0 else [], [], [], timeout)
        if not readable:
            return None
        try:
            pressed = os.read(self._fd, 1)
            if pressed == _ESCAPE:
                pressed += self._sequence()
            elif pressed >= b"\xc0":
                pressed += self._following(pressed[0])
        except OSError:
            pressed = b""
        if not pressed:  # the terminal was closed
            return "q"
        return _NAMES.get(pressed, pressed.decode("utf-8", "ignore"))

    def _following(self, first: int) -> bytes:
        """Read the rest of a character that UTF-8 writes in several bytes."""
        rest = b""
        for _ in range(next(number for least, number in _FOLLOWING if first >= least)):
            if select.select([self._fd], [], [], _TOGETHER)[0]:
                rest += os.read(self._fd, 1)
        return rest

    def _sequence(self) -> bytes:
        """Read the rest of an escape sequence; empty for the escape key itself."""
        rest = b""
        while len(rest) < _LONGEST and select.select([self._fd], [], [], _TOGETHER)[0]:
            rest += os.read(self._fd, 1)
            if rest[-1:] == b"~" or (len(rest) > 1 and rest[-1:].isalpha()):
                break
        return rest


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
