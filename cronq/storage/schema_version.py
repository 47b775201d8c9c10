"""Check the tables' revision; imports no migrations, because each start does this check."""

from __future__ import annotations

from cronq.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.drivers.database import Database

CURRENT = "0016"
"""The newest revision in cronq/storage/migrations/versions."""


def is_current(database: Database, prefix: str) -> bool:
    """Tell whether the tables are those that this cronq needs; False if they are older or missing.

    Raises ConfigError if a newer cronq made them.
    """
    found = database.version(f"{prefix}schema")
    if found is not None and found > CURRENT:
        message = f"the tables are of a newer cronq (revision {found}, this one knows {CURRENT}): upgrade cronq here"
        raise ConfigError(message)
    return found == CURRENT
