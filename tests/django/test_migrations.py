"""Django's migrations make the tables that cronq's own make, take those that are there, and keep up with them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect

from cronq.config.django_project import values
from cronq.config.loader import Config, from_django
from cronq.storage.migrations import upgrade
from cronq.storage.schema_version import CURRENT
from tests import scale
from tests.django.sites import ROOT, Site

OURS = ROOT / "cronq" / "storage" / "migrations" / "versions"
DJANGOS = ROOT / "cronq" / "django" / "migrations"
MISSING = """\
cronq's revision {revision} has no migration for Django. Write cronq/django/migrations/{name}.py:

\"""The tables of revision {revision}.\"""

from __future__ import annotations

from django.db import migrations

from cronq.django.tables import BringTables


class Migration(migrations.Migration):
    \"""Brings the tables to this revision.\"""

    dependencies = (("cronq", "{before}"),)
    operations = (BringTables("{revision}"),)
"""


def config_of(site: Site) -> Config:
    """cronq's own configuration for the site's database."""
    return from_django(values({}, site.database, where="the test", timezone=None), origin="the test")


def described(config: Config) -> dict[str, Any]:
    """All of cronq's tables: columns, indexes, keys, and the revision."""
    engine = create_engine(config.database)
    see = inspect(engine)
    found: dict[str, Any] = {
        table: (
            [{**column, "type": str(column["type"])} for column in see.get_columns(table)],
            sorted(index_of(index) for index in see.get_indexes(table)),
            see.get_pk_constraint(table),
        )
        for table in see.get_table_names()
        if table.startswith("cronq_")
    }
    found["views"] = see.get_view_names()
    with engine.connect() as connection:
        found["revision"] = connection.exec_driver_sql("SELECT version_num FROM cronq_schema").fetchall()
    engine.dispose()
    return found


def index_of(index: Any) -> str:
    """An index with its condition, as text."""
    options = {name: str(value) for name, value in index.pop("dialect_options", {}).items()}
    return f"{sorted(index.items())} {sorted(options.items())}"


@pytest.mark.parametrize("engine", scale.engines("sqlite", "mysql"))
def test_both_make_the_same_tables_and_take_each_others(engine: str, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    django, own = Site(tmp_path / "one", engine), Site(tmp_path / "two", engine)
    django.manage("migrate", "-v0", "cronq")
    assert upgrade(config_of(django)) == []
    assert len(upgrade(config_of(own))) > 5
    by_itself = described(config_of(own))
    own.manage("migrate", "-v0", "cronq")
    assert described(config_of(own)) == by_itself
    made = described(config_of(django))
    assert made.keys() == by_itself.keys()
    for name in made:
        assert made[name] == by_itself[name], name


def test_old_tables_are_brought_up_to_date_and_keep_their_jobs(tmp_path: Path) -> None:
    site = Site(tmp_path)
    upgrade(config_of(site))
    engine = create_engine(config_of(site).database)
    with engine.begin() as connection:
        for change in (
            "ALTER TABLE cronq_jobs DROP COLUMN flow",
            "DROP TABLE cronq_edges",
            "DROP INDEX cronq_jobs_failed",
            "INSERT INTO cronq_jobs (queue, priority, state, available_at, task, max_attempts, created_at, args)"
            " VALUES ('default', 1, 'ready', 1, 'kept', 1, 1, '{}')",
            "UPDATE cronq_schema SET version_num = '0009'",
        ):
            connection.exec_driver_sql(change)
    engine.dispose()
    assert "cronq.W001" in site.manage("check", "--database", "default")
    site.manage("migrate", "-v0")
    assert "cronq.W001" not in site.manage("check", "--database", "default")
    made = described(config_of(site))
    assert made["revision"] == [(CURRENT,)]
    assert "kept" in site.cronq("ls")


def test_each_revision_has_its_migration() -> None:
    names = sorted(path.stem for path in DJANGOS.glob("0*.py"))
    django = [revision for name in names for revision in brought(DJANGOS / f"{name}.py")]
    ours = sorted(path.name.partition("_")[0] for path in OURS.glob("0*.py"))
    for revision in ours[ours.index(django[0]) :]:
        name = f"{len(names) + 1:04}_revision_{revision}"
        assert revision in django, MISSING.format(revision=revision, name=name, before=names[-1])
    assert django == ours[ours.index(django[0]) :]


def brought(path: Path) -> list[str]:
    """The revisions to which a migration brings the tables."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [
        ast.literal_eval(call.args[0])
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "BringTables"
    ]


def test_models_and_migrations_agree(tmp_path: Path) -> None:
    assert "No changes" in Site(tmp_path).manage("makemigrations", "--check", "--dry-run")


def test_sqlmigrate_shows_the_tables(tmp_path: Path) -> None:
    said = Site(tmp_path).manage("sqlmigrate", "cronq", "0001")
    assert "CREATE TABLE cronq_jobs" in said
    assert f"VALUES ('{CURRENT}')" in said
