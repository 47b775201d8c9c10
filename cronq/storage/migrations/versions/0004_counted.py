"""Add the index with which SQLite counts ended jobs. The index `ended`, which it replaces, may stay."""

from __future__ import annotations

from alembic import op

from cronq.storage.schema import tables

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the index where it isn't there."""
    connection = op.get_bind()
    prefix, family = connection.info["table_prefix"], connection.info["family"]
    for index in tables(prefix, family).tables[f"{prefix}jobs"].indexes:
        if index.name == f"{prefix}jobs_counted":
            index.create(connection, checkfirst=True)
