"""Add the tables of which job comes after which, and of ended jobs whose consequences are not carried out yet."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, SmallInteger, inspect

from cronq.storage.schema import collation, tables

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add what isn't there: after a crash in the middle, MySQL keeps what was made before it."""
    connection = op.get_bind()
    prefix, family = connection.info["table_prefix"], connection.info["family"]
    metadata = tables(prefix, family, collation=collation(connection))
    for name in ("edges", "loose_ends"):
        table = metadata.tables[f"{prefix}{name}"]
        table.create(connection, checkfirst=True)
        for index in table.indexes:
            index.create(connection, checkfirst=True)
    if "flow" not in {column["name"] for column in inspect(connection).get_columns(f"{prefix}jobs")}:
        op.add_column(f"{prefix}jobs", Column("flow", SmallInteger))
