"""Open the configured database, and bring its tables up to date, at first use."""

from __future__ import annotations

import os

from cronq.errors import ConfigError, NoQueue, Unavailable
from cronq.storage.drivers.opening import may_write, open_database, require_sight
from cronq.storage.schema_version import is_current
from cronq.storage.sql.statements import Statements

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from cronq.config.loader import Config
    from cronq.storage.drivers.database import Database, Row
    from cronq.times import Clock

BATCH = 1000
"""The greatest number of rows that one transaction changes, so that other writers don't wait long."""


class Tables:
    """The connection, statements and clock that the parts of a store share.

    A `database` that is given is open already, has current tables, and has set the clock.
    For `reading`, a queue that doesn't exist is not made.
    """

    def __init__(
        self, config: Config, clock: Clock, database: Database | None = None, *, reading: bool = False
    ) -> None:
        self.config = config
        self.clock = clock
        self.sql = Statements(config.table_prefix, config.database_url().family)
        self.prepared = database is not None
        """Whether the tables are known to exist, and the clock follows the database's."""
        self._reading = reading
        self._database = database

    @property
    def database(self) -> Database:
        """The database; before `open` its tables may be missing. Raises Unavailable without its driver."""
        if self._database is None:
            self._database = open_database(self.config, reading=self._reading)
        return self._database

    def open(self) -> Database:
        """Return the database with current tables; makes or upgrades them and sets the clock at first use.

        A file that was replaced is opened again, and a clock that was set long ago is set again.
        """
        database = self._database
        if database is not None and self.prepared and not self.clock.is_old:
            if not database.is_replaced():
                return database
            self.prepared = False
        return self._prepare()

    def open_beside(self, *, locked: bool) -> None:
        """Open the database during a caller's transaction; if that has it `locked`, no tables are made.

        Raises ConfigError then if there are none, or old ones.
        """
        if self.prepared:
            return
        if locked and not is_current(self.database, self.config.table_prefix):
            message = (
                "cronq's tables are missing or of an older cronq, and they can't be made while a transaction is open:"
                " run `cronq update-schema` once before"
            )
            raise ConfigError(message)
        self._prepare()

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Open the database if needed, and read the rows of one statement."""
        return self.open().query(sql, parameters)

    def synchronise(self) -> None:
        """Set the clock by the database's, so that on all hosts a job is due, and a lease ends, at the same moment."""
        measured = self.database.read_clock()
        if measured is not None:
            self.clock.set_by(measured)

    def _require_tables(self) -> None:
        """Raise NoQueue if there are no tables, and ConfigError if they are old and this user may not update them."""
        path = self.config.database_file()
        if path is not None:
            require_sight(path)
            self._require_folder(path)
        if self.database.version(f"{self.config.table_prefix}schema") is None:
            message = (
                f"no queue at {self.config.safe_database()} yet: the first `cronq enqueue` or `cronq run` makes it"
            )
            raise NoQueue(message)
        if path is not None and not may_write(path):
            message = f"{path}: its tables are of an older cronq: `cronq update-schema` by its owner updates them"
            raise ConfigError(message)

    def _require_folder(self, path: str) -> None:
        folder = os.path.dirname(path)  # noqa: PTH120 - pathlib costs 10 ms
        if self.config.origins["database"] != "default" and not os.path.isdir(folder):  # noqa: PTH112
            message = f"{path}: the directory {folder} does not exist"
            raise Unavailable(message)

    def _prepare(self) -> Database:
        if not self.prepared:
            if not is_current(self.database, self.config.table_prefix):
                if self._reading:
                    self._require_tables()
                from cronq.storage.migrations import upgrade

                upgrade(self.config)
            self.prepared = True
        self.synchronise()
        return self.database
