"""Detect changes in the files of the modules that this process has loaded."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAUSE = 0.2
"""Seconds between two checks in `Sources.wait`."""


class Sources:
    """Watches the files of the loaded modules; those of modules loaded later are added at the next check.

    `besides` are further files to watch.
    """

    def __init__(self, besides: tuple[str, ...] = ()) -> None:
        self._besides = besides
        self._seen: dict[str, int] = {}
        self.changed()

    def changed(self) -> str | None:
        """Return a file that was changed since the last check, None if none was."""
        found = None
        for file in self._files():
            written = _written(file)
            if self._seen.setdefault(file, written) != written:
                self._seen[file] = written
                found = file
        return found

    def wait(self) -> str:
        """Wait until a file is changed, and return it."""
        while (file := self.changed()) is None:
            time.sleep(_PAUSE)
        return file

    def _files(self) -> Iterator[str]:
        yield from self._besides
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and file.endswith(".py"):
                yield file


def _written(file: str) -> int:
    """Return the time of the last write to the file, in nanoseconds; 0 if it doesn't exist."""
    try:
        return os.stat(file).st_mtime_ns  # noqa: PTH116 - it is called for a thousand files
    except OSError:
        return 0


def files_of(error: BaseException) -> tuple[str, ...]:
    """Return the files that an error of importing passed through: of its traceback, and of a SyntaxError."""
    found = {str(error.filename)} if isinstance(error, SyntaxError) and error.filename else set()
    trace = error.__traceback__
    while trace is not None:
        found.add(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    return tuple(sorted(found))
