"""Notice changes in the files of the modules that this process has loaded."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAUSE = 0.2
"""Seconds between two looks while nothing else is to be done."""


class Sources:
    """The files as they were when they were first looked at; modules that are loaded later come in with the next look.

    `besides` are files that are watched too.
    """

    def __init__(self, besides: tuple[str, ...] = ()) -> None:
        self._besides = besides
        self._seen: dict[str, int] = {}
        self.changed()

    def changed(self) -> str | None:
        """Return a file that was changed since the last look, None if none was."""
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
    """Return when the file was last written; 0 while it isn't there."""
    try:
        return os.stat(file).st_mtime_ns  # noqa: PTH116 - a thousand files are looked at
    except OSError:
        return 0


def files_of(error: BaseException) -> tuple[str, ...]:
    """Return the files that an error of importing comes from."""
    found = {str(error.filename)} if isinstance(error, SyntaxError) and error.filename else set()
    trace = error.__traceback__
    while trace is not None:
        found.add(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    return tuple(sorted(found))
