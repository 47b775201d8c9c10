"""Add the column with the instant since which a host declares a schedule in the same way."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, inspect

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the column if it isn't there: a table that an earlier revision has just made has it."""
    connection = op.get_bind()
    declarations = f"{connection.info['table_prefix']}declarations"
    if "declared_at" not in {column["name"] for column in inspect(connection).get_columns(declarations)}:
        op.add_column(declarations, Column("declared_at", BigInteger))
