"""Add the table of the last runs of each host, and how they ended."""

from __future__ import annotations

from alembic import op

from cronq.storage.schema import collation, tables

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create the table where it isn't there."""
    connection = op.get_bind()
    prefix, family = connection.info["table_prefix"], connection.info["family"]
    metadata = tables(prefix, family, collation=collation(connection))
    metadata.tables[f"{prefix}runs"].create(connection, checkfirst=True)
