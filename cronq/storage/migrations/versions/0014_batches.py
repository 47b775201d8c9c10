"""Add the tables of batches and their members."""

from __future__ import annotations

from alembic import op

from cronq.storage.schema import collation, tables

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add what isn't there: after a crash in the middle, MySQL keeps what was made before it."""
    connection = op.get_bind()
    prefix, family = connection.info["table_prefix"], connection.info["family"]
    metadata = tables(prefix, family, collation=collation(connection))
    for name in ("batches", "members"):
        table = metadata.tables[f"{prefix}{name}"]
        table.create(connection, checkfirst=True)
        for index in table.indexes:
            index.create(connection, checkfirst=True)
