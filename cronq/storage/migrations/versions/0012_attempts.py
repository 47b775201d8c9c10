"""Add the columns of an attempt's worker, and of the import path of its exception's class."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, String, inspect

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the columns that aren't there: after a crash in the middle, MySQL keeps the first one."""
    connection = op.get_bind()
    table = f"{connection.info['table_prefix']}attempts"
    there = {column["name"] for column in inspect(connection).get_columns(table)}
    for name, length in (("worker", 128), ("error_path", 255)):
        if name not in there:
            op.add_column(table, Column(name, String(length)))
