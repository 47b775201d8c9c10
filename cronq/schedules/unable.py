"""Record the schedules that this host can't fire, so that each is logged once and not with each run of cron."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cronq.errors import CronqError
from cronq.locks import digest, folder
from cronq.system.log import log

if TYPE_CHECKING:
    from cronq.config.loader import Config


class Unable:
    """Schedules that can't be fired on this host, and the reasons.

    With a configuration they are kept in a file, from one process to the next.
    """

    def __init__(self, config: Config | None = None) -> None:
        self._config = config
        self._told = self._read()

    def tell(self, name: str, why: str) -> None:
        """Log that a schedule can't be fired, unless that was logged on this host for the same reason."""
        if self._told.get(name) != why:
            self._told[name] = why
            log.error("schedule %s can't be fired on this host: %s", name, why)
            self._write()

    def end(self, name: str) -> None:
        """Remove a schedule that was fired here."""
        if self._told.pop(name, None) is not None:
            self._write()

    def _read(self) -> dict[str, str]:
        with suppress(OSError, ValueError):
            known = json.loads(self._path().read_text()) if self._config else {}
            return {str(name): str(why) for name, why in known.items()} if isinstance(known, dict) else {}
        return {}

    def _write(self) -> None:
        if self._config is None:
            return
        with suppress(OSError, CronqError):  # if the file can't be written, the next process logs it again
            folder(self._config)
            path = self._path()
            new = path.with_suffix(f".{os.getpid()}.stamp")
            new.touch(0o600)
            new.write_text(json.dumps(self._told))
            new.rename(path)

    def _path(self) -> Path:
        assert self._config is not None
        return Path(self._config.lock_dir) / f"unable-{digest(self._config.identity())}.stamp"
