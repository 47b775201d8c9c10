"""The workers that live, and the leases on what only one of them does at a time."""

from __future__ import annotations

from alembic import op

from cronq.schema import tables

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create both tables where they aren't there."""
    connection = op.get_bind()
    metadata = tables(connection.info["table_prefix"], connection.info["family"])
    for name in ("leases", "workers"):
        metadata.tables[f"{connection.info['table_prefix']}{name}"].create(connection, checkfirst=True)
