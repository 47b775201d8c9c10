"""Add a token for each new job on a server, so that an INSERT whose answer got lost can be repeated."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, inspect

from cronq.storage.schema import tables
from cronq.storage.sql.dialect import DIALECTS

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add what isn't there: after a crash in the middle, MySQL keeps what was made before it."""
    connection = op.get_bind()
    prefix, family = connection.info["table_prefix"], connection.info["family"]
    if not DIALECTS[family].has_tokens:
        return
    jobs = tables(prefix, family).tables[f"{prefix}jobs"]
    if "enqueue_token" not in {column["name"] for column in inspect(connection).get_columns(jobs.name)}:
        op.add_column(jobs.name, Column("enqueue_token", BigInteger))
    for index in jobs.indexes:
        index.create(connection, checkfirst=True)
