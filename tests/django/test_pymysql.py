"""PyMySQL in the place of mysqlclient: Django imports a second copy of its errors, and cronq uses the first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import databases, scale
from tests.django.sites import Site

TWINS = """
from cronq.django.runner import queue
made = [queue.enqueue("shop.tasks.add", {"a": 1}, key="twin", unique=True) for _ in range(2)]
print([one.existing for one in made])
"""
KILLED = """
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SELECT id FROM %s WHERE db = database() AND id <> connection_id()")
    (others,) = zip(*cursor.fetchall())
    for other in others:
        cursor.execute(f"KILL {other}")
print(queue.enqueue("shop.tasks.add", {"a": 2}).existing)
"""


@pytest.mark.parametrize("engine", scale.engines("mariadb", of=("mariadb", "mysql")))
def test_errors_of_the_server_are_known_though_pymysql_stands_in_for_mysqlclient(tmp_path: Path, engine: str) -> None:
    site = Site(tmp_path, engine)
    site.manage("migrate", "-v0")
    assert site.python(TWINS + KILLED % databases.PROCESSES[engine]).splitlines() == ["[False, True]", "False"]
    assert site.cronq("run", "--jobs", 1) == ""
    assert site.cronq("ls", "--state", "finished").count("\n") == 2
