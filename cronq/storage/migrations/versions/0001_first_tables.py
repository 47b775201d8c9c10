"""Make the tables in a new database.

It makes all tables as they are now, so the later revisions only add what is missing in an older database.
"""

from __future__ import annotations

from alembic import op

from cronq.storage.schema import collation, tables
from cronq.storage.views import views

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create what isn't there: after a crash in the middle, MySQL keeps what was made before it."""
    connection = op.get_bind()
    prefix, family = connection.info["table_prefix"], connection.info["family"]
    metadata = tables(prefix, family, collation=collation(connection))
    metadata.create_all(connection, checkfirst=True)
    if family == "sqlite":
        return
    for table in metadata.tables.values():
        for index in table.indexes:
            index.create(connection, checkfirst=True)
    for view in views(prefix, family):
        op.execute(view)
