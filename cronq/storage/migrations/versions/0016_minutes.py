"""Add the table of the numbers of attempts that ended in each minute, by queue."""

from __future__ import annotations

from alembic import op

from cronq.storage.schema import collation, tables

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Create the table where it isn't there."""
    connection = op.get_bind()
    prefix, family = connection.info["table_prefix"], connection.info["family"]
    metadata = tables(prefix, family, collation=collation(connection))
    metadata.tables[f"{prefix}minutes"].create(connection, checkfirst=True)
