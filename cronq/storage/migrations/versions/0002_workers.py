"""Add the tables of workers, and of leases on work that only one of them does at a time."""

from __future__ import annotations

from alembic import op

from cronq.storage.schema import collation, tables

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create both tables where they aren't there."""
    connection = op.get_bind()
    prefix, family = connection.info["table_prefix"], connection.info["family"]
    metadata = tables(prefix, family, collation=collation(connection))
    for name in ("leases", "workers"):
        metadata.tables[f"{prefix}{name}"].create(connection, checkfirst=True)
