"""Since when a host declares a schedule as it does."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, inspect

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the column if it isn't there: schedules that were made just now have it."""
    connection = op.get_bind()
    declarations = f"{connection.info['table_prefix']}declarations"
    if "declared_at" not in {column["name"] for column in inspect(connection).get_columns(declarations)}:
        op.add_column(declarations, Column("declared_at", BigInteger))
