"""Add the tables of limits, of the jobs under them, and of the starts of these."""

from __future__ import annotations

from alembic import op

from cronq.storage.schema import collation, tables

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Create the tables and their indexes where they aren't there."""
    connection = op.get_bind()
    prefix, family = connection.info["table_prefix"], connection.info["family"]
    metadata = tables(prefix, family, collation=collation(connection))
    for name in ("limits", "limited", "starts"):
        table = metadata.tables[f"{prefix}{name}"]
        table.create(connection, checkfirst=True)
        for index in table.indexes:
            index.create(connection, checkfirst=True)
