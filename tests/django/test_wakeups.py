"""Workers are woken after the outermost COMMIT alone, and coroutines that enqueue stop no event loop."""

from __future__ import annotations

import json
from pathlib import Path

from tests.django.sites import migrated

WOKEN = """
import json
from cronq.django.api import task_backends
from cronq.transports.doorbell import Doorbell
from django.db import transaction
from shop.tasks import add
bell = Doorbell.open(task_backends["default"].config, "host-1-abc")
seen = {}
def nested(name, fails):
    with transaction.atomic():
        with transaction.atomic():
            add.enqueue(1)
        seen[f"{name}, inside"] = bell.drain()
        if fails:
            raise LookupError
try:
    nested("rolled back", True)
except LookupError:
    seen["rolled back"] = bell.drain()
try:
    with transaction.atomic():
        try:
            nested("savepoint rolled back", True)
        except LookupError:
            pass
finally:
    seen["savepoint rolled back"] = bell.drain()
nested("committed", False)
seen["committed"] = bell.drain()
add.enqueue(1)
seen["without a transaction"] = bell.drain()
bell.close()
print(json.dumps([name for name, woken in seen.items() if woken]))
"""

LOCKED = 2.0
"""Seconds for which another connection locks the database."""

STOP = 0.05
"""Seconds that no coroutine may keep others waiting."""

STOPS = f"""
import asyncio, json, sqlite3, threading, time
from django.conf import settings
from shop.tasks import add

async def watch(stops):
    last = time.monotonic()
    while True:
        await asyncio.sleep(0.001)
        now = time.monotonic()
        stops.append(now - last)
        last = now

async def longest():
    await add.aenqueue(1)
    other = sqlite3.connect(settings.DATABASES["default"]["NAME"], check_same_thread=False, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    threading.Timer({LOCKED}, other.execute, ("COMMIT",)).start()
    stops = []
    watching = asyncio.create_task(watch(stops))
    made = await asyncio.gather(*(add.aenqueue(n) for n in range(3)))
    assert time.monotonic() - begun >= {LOCKED} * 0.9, "it was locked"
    found = await asyncio.gather(*(add.aget_result(one.id) for one in made))
    watching.cancel()
    other.close()
    assert [one.args for one in found] == [[0], [1], [2]]
    return max(stops)

# On a busy machine the whole process may be stopped, but not each time.
print(json.dumps(any(asyncio.run(longest()) < {STOP} for _ in range(4))))
"""


def test_workers_are_woken_after_the_outermost_commit_and_after_no_rollback(tmp_path: Path) -> None:
    assert json.loads(migrated(tmp_path).python(WOKEN)) == ["committed", "without a transaction"]


def test_no_loop_is_stopped_while_sqlite_is_locked(tmp_path: Path) -> None:
    site = migrated(tmp_path)
    site.database["OPTIONS"]["timeout"] = 60
    assert json.loads(site.python(STOPS)) is True
