"""Define the installation that doctor checks: its configuration, and its database if that answers."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cronq.errors import ConfigError, Unavailable
from cronq.storage.drivers.database import Missing
from cronq.storage.drivers.opening import open_database, require_sight
from cronq.storage.sql.statements import Statements
from cronq.storage.stats import look_through
from cronq.system.deadline import DeadlineExceeded, deadline
from cronq.times import span

if TYPE_CHECKING:
    from cronq.config.loader import Config
    from cronq.storage.drivers.database import Database
    from cronq.storage.stats import QueueStats


_PATIENCE = 3.0
"""Seconds for which the database is tried; its first answer may take twice as long."""


class Places(NamedTuple):
    """The paths that checks read."""

    cron_files: Path = Path("/etc/cron.d")
    crontabs: Path = Path("/var/spool/cron/crontabs")
    units: Path = Path("/etc/systemd/system")
    mounts: Path = Path("/proc/mounts")
    processes: Path = Path("/proc")
    mailers: tuple[Path, ...] = (Path("/usr/sbin/sendmail"), Path("/usr/lib/sendmail"))


class Installation:
    """A configuration with its database, which is opened once for all checks."""

    def __init__(self, config: Config, places: Places | None = None) -> None:
        self.config = config
        self.places = places or Places()
        self.sql = Statements(config.table_prefix, config.database_url().family)

    def close(self) -> None:
        """Close the database, if a check has opened it."""
        opened = self.__dict__.get("opened")
        if opened is not None and not isinstance(opened, Unavailable):
            opened.close()

    @cached_property
    def file(self) -> Path | None:
        """The database's file; None for a server."""
        path = self.config.database_file()
        return None if path is None else Path(path)

    @cached_property
    def opened(self) -> Database | Unavailable:
        """The database, or the error of opening it. A missing file is not created."""
        if self.file is not None:
            try:
                require_sight(str(self.file))
            except Unavailable as error:
                return error
            if not self.file.exists():
                return Unavailable(f"{self.file} does not exist")
        database = open_database(self.config.with_values("doctor", patience=_PATIENCE), reading=True)
        try:
            with deadline(2 * _PATIENCE):
                database.query("SELECT 1")
        except DeadlineExceeded:
            return Unavailable(f"{self.config.safe_database()}: no answer within {span(2 * _PATIENCE)}")
        except Unavailable as error:
            return error
        except ConfigError as error:
            return Unavailable(str(error))
        return database

    @property
    def database(self) -> Database | None:
        """The database, None if it doesn't answer: the first check reports that."""
        return None if isinstance(self.opened, Unavailable) else self.opened

    @cached_property
    def revision(self) -> str | None:
        """The revision of the tables; None without a database or tables."""
        return None if self.database is None else self.database.version(f"{self.config.table_prefix}schema")

    @cached_property
    def stats(self) -> QueueStats | None:
        """The statistics of the queue; None without tables that this version can read."""
        if self.database is None or self.revision is None:
            return None
        try:
            return look_through(self.config, self.database)
        except (Missing, Unavailable):
            return None
