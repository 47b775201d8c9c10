"""Add the table of actions: changes by users, such as pausing a queue or cancelling a job."""

from __future__ import annotations

from alembic import op

from cronq.storage.schema import collation, tables

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create the table and its indexes where they aren't there."""
    connection = op.get_bind()
    prefix, family = connection.info["table_prefix"], connection.info["family"]
    table = tables(prefix, family, collation=collation(connection)).tables[f"{prefix}actions"]
    table.create(connection, checkfirst=True)
    for index in table.indexes:
        index.create(connection, checkfirst=True)
