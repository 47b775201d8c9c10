"""Tasks under limits: what follows from an enqueue waits for the COMMIT of the request's transaction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import scale
from tests.django.sites import Site

OPTIONS: dict[str, Any] = {
    "limits": {"one": 1, "two": 1},
    "tasks": {"shop.tasks.add": {"limit": "one"}, "shop.tasks.mail": {"limit": "two"}},
}

ENGINES = scale.engines("sqlite", "postgresql")

COMMITS = """
import json
from cronq.app import Cronq
from cronq.django.api import task_backends
from cronq.model.selection import Filter
from cronq.model.settlement import settlement
from cronq.model.outcome import Outcome
from cronq.model.retry import Policies
from cronq.store import Lease
from django.db import connection, transaction
from shop.tasks import add

queue = Cronq(task_backends["default"].config)
runner = queue.store
first = queue.enqueue("x", {}, check=False)
second = queue.enqueue("y", {}, check=False, after=first.id)
now = runner.clock.now()
(job,) = runner.claim(Filter(), Lease("w", now=now, seconds=60), limit=1)
runner._settler._follow_up = lambda: 0  # as if the runner was killed between its COMMIT and what follows
runner.settle([settlement(job, Outcome("success", now, now), Policies(queue.config, queue.registry), float)])

def states(*ids):
    store = task_backends["default"].store
    return [str(store.jobs.get(int(one)).state) for one in ids]

def looked():
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(looked) FROM cronq_limits")  # what gives places counts here, and so locks the row
        return cursor.fetchone()[0]

seen = []
try:
    with transaction.atomic():
        gone = add.enqueue(1)
        seen.append(states(gone.id, second.id))
        raise LookupError
except LookupError:
    seen.append(states(second.id))
with transaction.atomic():
    kept, before = add.enqueue(2), looked()
    seen.append(states(kept.id, second.id) + [looked() == before])
seen.append(states(kept.id, second.id))
print(json.dumps(seen))
"""

OPPOSITE = """
import threading
from django.db import connection, transaction
from shop.tasks import add, mail

met, errors = threading.Barrier(2, timeout=30), []

def request(*tasks):
    try:
        with transaction.atomic():
            tasks[0].enqueue(1)
            met.wait()
            tasks[1].enqueue(1)
            met.wait()
    except Exception as error:
        errors.append(repr(error))
        met.abort()
    finally:
        connection.close()

requests = [threading.Thread(target=request, args=order) for order in ((add, mail), (mail, add))]
for one in requests:
    one.start()
for one in requests:
    one.join()
print(errors)
"""

LOCKED = """
import sqlite3
from cronq.django.api import task_backends
from django.conf import settings
from django.db import connection, connections
from shop.tasks import add

left = []

def lock_before(execute, sql, *rest):
    if "cronq_loose_ends" in sql and sql.startswith("SELECT") and not left:
        other = connections.create_connection("default")
        if connection.vendor == "sqlite":
            other = sqlite3.connect(settings.DATABASES["default"]["NAME"], isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
        else:
            other.set_autocommit(False)
            other.cursor().execute("LOCK TABLE cronq_limits")
            execute("SET lock_timeout = 200", None, *rest[1:])
        left.append(other)
    return execute(sql, *rest)

with connection.execute_wrapper(lock_before):
    add.enqueue(1)
left[0].close()
print(len(left))
"""


@pytest.fixture(params=ENGINES)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """A migrated project with tasks under limits."""
    site = Site(tmp_path, request.param, **OPTIONS)
    site.manage("migrate", "-v0")
    return site


def states(site: Site) -> list[str]:
    return [row["state"] for row in reversed(json.loads(site.cronq("ls", "--json")))]


def test_places_are_given_after_the_commit_and_a_rollback_takes_back_no_change_of_another(site: Site) -> None:
    site.cronq("enqueue", "shop.tasks.add", "a=0", "--at", "+1h")
    assert json.loads(site.python(COMMITS)) == [
        ["pending", "pending"],
        ["pending"],
        ["pending", "pending", True],
        ["ready", "ready"],
    ]


@pytest.mark.parametrize("site", scale.engines("postgresql"), indirect=True)  # SQLite has one transaction at a time
def test_two_requests_enqueue_under_two_limits_in_opposite_orders(site: Site) -> None:
    for task in ("add a=0", "mail to=ann"):
        site.cronq("enqueue", *f"shop.tasks.{task}".split(), "--at", "+1h")
    assert site.python(OPPOSITE) == "[]"
    assert sorted(states(site)) == ["pending", "pending", "ready", "ready", "scheduled", "scheduled"]


def test_an_enqueue_is_done_though_its_place_cant_be_given_at_once(site: Site) -> None:
    if site.database["ENGINE"].endswith("sqlite3"):
        site.database["OPTIONS"]["timeout"] = 0.2
    assert site.python(LOCKED) == "1"
    assert states(site) == ["pending"]
    site.cronq("run")
    assert states(site) == ["finished"]
