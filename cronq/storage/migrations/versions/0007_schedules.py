"""Add the tables of schedules, declarations and the ledger, and the columns of a job's schedule and due time."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, String, inspect

from cronq.storage.schema import LONGEST_LOCAL_TIME, collation, tables

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add what isn't there: after a crash in the middle, MySQL keeps what was made before it."""
    connection = op.get_bind()
    prefix, family = connection.info["table_prefix"], connection.info["family"]
    metadata = tables(prefix, family, collation=collation(connection))
    for name in ("schedules", "declarations", "fires"):
        table = metadata.tables[f"{prefix}{name}"]
        table.create(connection, checkfirst=True)
        for index in table.indexes:
            index.create(connection, checkfirst=True)
    there = {column["name"] for column in inspect(connection).get_columns(f"{prefix}jobs")}
    for column in (Column("schedule", String(255)), Column("scheduled_for", String(LONGEST_LOCAL_TIME))):
        if column.name not in there:
            op.add_column(f"{prefix}jobs", column)
