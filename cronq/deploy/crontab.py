"""Add the line that starts runs to the caller's crontab, and keep all that is in it."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from cronq.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

_EMPTY = "no crontab for"
"""The words in the message of each cron's `crontab -l` for a user without a crontab."""


def line_for(program: Sequence[str], file: str) -> str:
    """Return the crontab line that runs the due jobs each minute."""
    command = shlex.join([*program, "--config", file, "run"])
    return f"* * * * * {command.replace('%', chr(92) + '%')}"  # cron makes a line break of a bare %


def add(new: str, *, file: str) -> str | None:
    """Add the line unless one for this configuration file is there already; returns the one that was there.

    Raises ConfigError if the crontab can't be read or written.
    """
    text = _call("-l")
    for there in text.splitlines():
        if not there.lstrip().startswith("#") and (there == new or ("cronq" in there and _names(there, file))):
            return there
    _call("-", text=f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{new}\n")
    if new not in _call("-l").splitlines():
        raise ConfigError("the line isn't in the crontab: add it with `crontab -e`")
    return None


def _names(there: str, file: str) -> bool:
    """Tell whether a line names the file, or changes to its directory."""
    words = there.replace("=", " ").replace(";", " ").split()
    return file in words or str(Path(file).parent) in words


def _call(argument: str, *, text: str | None = None) -> str:
    try:
        ran = subprocess.run(
            ["crontab", argument],
            input=text,
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise ConfigError(f"crontab: {error.strerror}: cron isn't installed; `cronq work` needs none") from None
    if ran.returncode == 0:
        return ran.stdout
    if text is None and _EMPTY in ran.stderr:
        return ""
    raise ConfigError(f"crontab {argument}: {ran.stderr.strip() or f'exit status {ran.returncode}'}")
