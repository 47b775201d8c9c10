"""Write one line to a terminal again and again, in the same place."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from cronq.model.printable import one_line

if TYPE_CHECKING:
    from typing import Self

_ERASED = "\r\x1b[K"


class StatusLine:
    """A line on stderr that each `show` writes over; it is erased at the block's end."""

    def __init__(self, *, quiet: bool) -> None:
        self.watched = not quiet and sys.stderr is not None and sys.stderr.isatty()
        """Whether the line is shown: stderr is a terminal and --quiet isn't given."""
        self._shown = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        self.show("")

    def show(self, text: str) -> None:
        """Write the text over the line."""
        line = one_line(text)[: shutil.get_terminal_size().columns - 1]
        if self.watched and line != self._shown:
            self._shown = line
            sys.stderr.write(_ERASED + line)
            sys.stderr.flush()
