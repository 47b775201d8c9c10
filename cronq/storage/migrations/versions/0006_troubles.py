"""Add the table of incidents: jobs about which a failure notice was sent, until their queue is healthy again."""

from __future__ import annotations

from alembic import op

from cronq.storage.schema import collation, tables

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the table where it isn't there."""
    connection = op.get_bind()
    prefix, family = connection.info["table_prefix"], connection.info["family"]
    metadata = tables(prefix, family, collation=collation(connection))
    metadata.tables[f"{prefix}troubles"].create(connection, checkfirst=True)
