"""The first tables: jobs, attempts, groups, paused queues.

Later revisions add what is missing; this one makes the tables as they are now, so a new
database needs no history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import op

from cronq.schema import tables, views

if TYPE_CHECKING:
    from sqlalchemy import Connection

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create what isn't there: after a crash in the middle, MySQL keeps what was made before it."""
    connection = op.get_bind()
    prefix, family = connection.info["table_prefix"], connection.info["family"]
    metadata = tables(prefix, family, collation=_collation(connection))
    metadata.create_all(connection, checkfirst=True)
    if family == "sqlite":
        return
    for table in metadata.tables.values():
        for index in table.indexes:
            index.create(connection, checkfirst=True)
    for view in views(prefix, family):
        op.execute(view)


def _collation(connection: Connection) -> str | None:
    # Others take "a" and "A", or "a" and "a ", for the same key.
    if connection.dialect.name != "mysql":
        return None
    return "utf8mb4_nopad_bin" if connection.dialect.is_mariadb else "utf8mb4_0900_bin"  # type: ignore[attr-defined]
