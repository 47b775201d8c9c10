"""Make cronq's tables, or bring them up to date, through Django's schema editor.

A migration of Django adds what is missing: the same tables, columns and indexes as `cronq update-schema`, which
may have made them before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db.migrations.operations.base import Operation
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable

from cronq.django.connection import FAMILIES, DjangoDatabase
from cronq.errors import ConfigError
from cronq.storage.schema import tables
from cronq.storage.schema_version import CURRENT, is_current
from cronq.storage.views import views

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Dialect, MetaData, Table

_DIALECTS: dict[str, Callable[[], Dialect]] = {
    "sqlite": sqlite.dialect,
    "mysql": mysql.dialect,
    "postgresql": postgresql.dialect,
}


class BringTables(Operation):
    """Brings cronq's tables to the revision of the installed cronq, in the database that has the jobs."""

    reduces_to_sql = True
    reversible = True
    atomic = False
    """MySQL refuses such statements in a transaction."""

    def __init__(self, revision: str) -> None:
        self.revision = revision

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change nothing: the models are unmanaged."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:  # noqa: ARG002 - Django's interface
        """Add what is missing, if the jobs are in this database."""
        if schema_editor.connection.alias == _app(app_label).database:
            bring(schema_editor, _app(app_label).table_prefix)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Keep the tables: they may have jobs."""

    def describe(self) -> str:
        """Return what `manage.py migrate --plan` shows."""
        return f"Bring cronq's tables to revision {self.revision}, or a later one"


def _app(label: str) -> Any:
    return apps.get_app_config(label)


def bring(schema_editor: Any, prefix: str) -> None:
    """Add what is missing of cronq's tables, and write their revision.

    Raises ImproperlyConfigured for newer tables, and for an engine that cronq doesn't support.
    """
    connection = schema_editor.connection
    if connection.vendor not in FAMILIES:
        raise ImproperlyConfigured(f"cronq keeps no jobs in a database of the engine {connection.vendor}")
    shown_only = schema_editor.collect_sql
    try:
        if not shown_only and is_current(DjangoDatabase(connection.alias), prefix):
            return
    except ConfigError as error:
        raise ImproperlyConfigured(str(error)) from None
    there = _There(None if shown_only else connection)
    for statement in _statements(connection, prefix, there):
        schema_editor.execute(statement, params=None)


def _statements(connection: Any, prefix: str, there: _There) -> Iterator[str]:
    family = connection.vendor
    dialect = _DIALECTS[family]()
    if family == "mysql":
        dialect.is_mariadb = connection.mysql_is_mariadb  # type: ignore[attr-defined]
    metadata = tables(prefix, family, collation=_collation(connection))
    for table in metadata.sorted_tables:
        yield from _of_table(table, dialect, there)
    yield from views(prefix, family)
    yield from _revision(f"{prefix}schema", there)


def _of_table(table: Table, dialect: Dialect, there: _There) -> Iterator[str]:
    if table.name not in there.tables:
        yield _text(CreateTable(table), dialect)
    else:
        columns = there.columns(table.name)
        for column in table.columns:
            if column.name not in columns:
                yield f"ALTER TABLE {table.name} ADD COLUMN {_text(CreateColumn(column), dialect)}"
    known = there.indexes(table.name) if table.name in there.tables else ()
    for index in sorted(table.indexes, key=lambda one: str(one.name)):
        if index.name not in known:
            yield _text(CreateIndex(index), dialect)


def _revision(table: str, there: _There) -> Iterator[str]:
    """Write the revision as cronq's own migrations do."""
    if table not in there.tables:
        key = f"CONSTRAINT {table}_pkc PRIMARY KEY (version_num)"
        yield f"CREATE TABLE {table} (version_num VARCHAR(32) NOT NULL, {key})"
    yield f"DELETE FROM {table}"
    yield f"INSERT INTO {table} (version_num) VALUES ('{CURRENT}')"


def _text(element: Any, dialect: Dialect) -> str:
    return str(element.compile(dialect=dialect)).strip()


def _collation(connection: Any) -> str | None:
    """Return the collation that compares bytes on MySQL or MariaDB; None for other engines."""
    if connection.vendor != "mysql":
        return None
    return "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"


class _There:
    """The tables, columns and indexes that a database has already; none without a connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.tables = self._asked(lambda cursor, see: see.table_names(cursor)) if connection else []

    def columns(self, table: str) -> set[str]:
        """Return the names of a table's columns."""
        found = self._asked(lambda cursor, see: see.get_table_description(cursor, table))
        return {column.name for column in found}

    def indexes(self, table: str) -> set[str]:
        """Return the names of a table's indexes."""
        return set(self._asked(lambda cursor, see: see.get_constraints(cursor, table)))

    def _asked(self, ask: Callable[[Any, Any], Any]) -> Any:
        with self._connection.cursor() as cursor:
            return ask(cursor, self._connection.introspection)


def empty(connection: Any, prefix: str) -> None:
    """Delete all jobs and what belongs to them, as `manage.py flush` does with the other tables."""
    there = set(_There(connection).tables)
    with connection.cursor() as cursor:
        for table in _names(prefix, tables(prefix, connection.vendor)):
            if table in there:
                cursor.execute(f"DELETE FROM {table}")


def _names(prefix: str, metadata: MetaData) -> list[str]:
    return [table.name for table in metadata.sorted_tables if table.name.startswith(prefix)]
