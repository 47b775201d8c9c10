"""Is there anything to do? Asked 1,440 times a day, so with nothing but the driver."""

from __future__ import annotations

import os

from cronq.dialects import open_database
from cronq.queries import glance

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.config import Config
    from cronq.times import Clock

SECOND = 1_000_000


def anything_to_do(config: Config, clock: Clock) -> bool:
    """Whether a run would find due jobs, leases to look after, or ended jobs to prune.

    True also where the database or its tables don't exist yet: the run makes them. Raises
    Unavailable when the database can't be read.
    """
    path = config.sqlite_path()
    if path is not None and not os.path.exists(path):  # noqa: PTH110 - pathlib costs 10 ms
        return True
    database = open_database(config)
    if not database.has_table(f"{config.table_prefix}workers"):
        return True
    now = clock.now() + database.offset()
    expired = now - round(config.retention * SECOND) if config.retention is not None else 0
    found = database.query(glance(config.table_prefix, database.family), (now, expired))
    database.close()
    return bool(found[0][0])
