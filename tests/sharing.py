"""Share servers among all workers of a test run: the first user starts them, the last one to leave ends them."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock

from daemons.databases import quick_place

_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
_ROOT = Path(quick_place() or tempfile.gettempdir()) / f"cronq-servers-{_RUN}"


def place_tests_in_memory() -> None:
    """Put the tests' directories in memory if there is enough: SQLite waits for the disk at each commit.

    The tests kill processes, but not the machine, so they need no disk.
    """
    place = quick_place()
    if place and not os.statvfs(place).f_flag & os.ST_NOEXEC:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", place)


@contextlib.contextmanager
def joining(name: str) -> Iterator[Path]:
    """Yield the directory of the shared servers, with a lock on this one, and register this worker as a user of it."""
    _ROOT.mkdir(mode=0o755, exist_ok=True)
    with FileLock(_ROOT / "lock"):
        _mark().touch()
    with FileLock(_ROOT / f"{name}.lock"):
        yield _ROOT


def leave(*ends: Callable[[Path], None]) -> None:
    """End the servers in the directory if no other worker uses it."""
    if not _mark().exists():
        return
    with FileLock(_ROOT / "lock"):
        _mark().unlink()
        if not [user for user in _ROOT.glob("*.user") if Path(f"/proc/{user.stem}").exists()]:
            for end in ends:
                end(_ROOT)
            shutil.rmtree(_ROOT, ignore_errors=True)


def _mark() -> Path:
    return _ROOT / f"{os.getpid()}.user"
