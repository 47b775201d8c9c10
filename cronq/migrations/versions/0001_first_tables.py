"""The first tables: jobs, attempts, groups, paused queues.

Later revisions add what is missing; this one makes the tables as they are now, so a new
database needs no history.
"""

from __future__ import annotations

from alembic import op

from cronq.schema import tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables that aren't there."""
    connection = op.get_bind()
    tables(connection.info["table_prefix"]).create_all(connection, checkfirst=True)
