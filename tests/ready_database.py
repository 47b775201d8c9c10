"""Copy a ready SQLite file for a test: the migrations take longer than most commands."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from pathlib import Path

from cronq import Cronq


def make(file: Path) -> None:
    """Make an empty queue, unless the file exists."""
    if not file.exists():
        put(empty(), file)


def put(content: bytes, file: Path) -> None:
    """Write the file, unless it exists: in one step, because a running command may open it."""
    whole = file.with_name(f"{file.name}.made")
    whole.write_bytes(content)
    with contextlib.suppress(FileExistsError):
        file.hardlink_to(whole)
    whole.unlink()


@functools.cache
def empty() -> bytes:
    """Return the content of the file that cronq makes at the first job, made once for all tests."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "cronq.db"
        with Cronq(database=f"sqlite:///{file}") as queue:
            queue.store.prepare()
        return file.read_bytes()
