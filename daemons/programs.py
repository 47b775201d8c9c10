"""Find the programs of servers, also in the directories of root's programs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""A PATH with the directories of root's programs, which that of the caller may lack."""

_POSTGRESQL = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
"""The directories of Debian's PostgreSQL servers, which aren't on the PATH, one for each version."""

UNPACKED = Path(__file__).parents[1] / ".venv" / "unpacked"
"""The directory into which .ci/unpack-* unpack what can't be installed; the same for each environment of Python."""

FIRST = os.environ.get("CRONQ_TEST_PROGRAMS")
"""A directory with programs of another version, which take precedence over the machine's."""


def program(name: str) -> Path | None:
    """Return the path of the program of this name, or None."""
    places = [FIRST, os.environ.get("PATH"), SYSTEM_PATH, *_POSTGRESQL]
    found = shutil.which(name, path=":".join(filter(None, places)))
    return Path(found) if found else None


def chromium() -> Path | None:
    """Return the browser: Debian's headless shell, which loads a page in a quarter of the time, else Chromium."""
    return program("chromium-headless-shell") or program("chromium")
