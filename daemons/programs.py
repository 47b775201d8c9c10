"""Where the programs of servers are, in the places for administrators too."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""A PATH with the directories of root's programs, which that of the caller may lack."""

_POSTGRESQL = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
"""Debian keeps the server's programs off the PATH, one directory for each version."""

UNPACKED = Path(__file__).parents[1] / ".venv" / "unpacked"
"""Where .ci/unpack-* put what can't be installed, whichever environment's Python runs the tests."""

FIRST = os.environ.get("CRONQ_TEST_PROGRAMS")
"""A directory with programs of another version, which are taken before the machine's."""


def program(name: str) -> Path | None:
    """The program of this name."""
    places = [FIRST, os.environ.get("PATH"), SYSTEM_PATH, *_POSTGRESQL]
    found = shutil.which(name, path=":".join(filter(None, places)))
    return Path(found) if found else None


def chromium() -> Path | None:
    """The browser: Debian's headless shell, which loads a page in a quarter of the time, or Chromium in whole."""
    return program("chromium-headless-shell") or program("chromium")
