"""Measure each page of cronq web beside a million jobs: python -m benchmarks.web_pages [sqlite mariadb …]."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median

from flask.testing import FlaskClient

from cronq.config.loader import Config, from_database
from cronq.storage.sql.columns import LIMITED
from cronq.storage.sql.limits import PLACE, WAITING
from cronq.store import Store
from cronq.times import SECOND, Clock
from cronq.web.access import HostAccess
from cronq.web.application import application
from cronq.web.backend import Backend
from cronq.web.settings import WebSettings
from daemons import databases

JOBS = 1_000_000
TIMES = 20
MOST = 0.3
BATCHES = 30
"""The number of batches: each has 10,000 jobs, and the newest 100,000 more."""

_BATCH = 10_000
_WARM = 60
_COLUMNS = (
    "task, args, queue, priority, state, available_at, job_group, max_attempts, created_at, started_at, finished_at,"
    " outcome, error_class, error_message, flow"
)
PATHS = (
    "/", "/failures", "/jobs", "/jobs?state=failed", "/jobs?state=ready", "/jobs?state=finished&queue=mail",
    "/jobs?queue=mail", "/jobs?task=send&state=failed,retrying", "/jobs?search=user-77", "/jobs?search=nowhere",
    "/jobs?since=2h", "/jobs?before=500000", "/jobs/500000", "/queues", "/workers", "/schedules", "/audit", "/metrics",
    "/batches", "/batches?unended=yes", "/batches?before=12", f"/batches/{BATCHES}", "/batches/1",
    f"/jobs?batch={BATCHES}", f"/jobs?batch={BATCHES}&state=failed", "/limits", "/limit?name=smtp", "/limit?name=rare",
)  # fmt: skip


def main(kinds: list[str]) -> int:
    """Fill a queue on each kind of database and measure its pages; return 1 if a page is too slow."""
    slow = 0
    for kind in kinds or ["sqlite", *databases.SERVERS]:
        with filled(kind) as config:
            app = application(Backend(config, WebSettings()), HostAccess(lambda _environ: ("ann", "act")), hosts=None)
            browser = app.test_client()
            for path in PATHS:
                took = measured(browser, path)
                slow += took > MOST
                print(f"{kind:<12} {took * 1000:7.0f} ms  {path}{'  TOO SLOW' if took > MOST else ''}", flush=True)
    return 1 if slow else 0


def measured(browser: FlaskClient, path: str) -> float:
    """Return the median of several answers in seconds, after the first with status 200: before it, numbers are read."""
    deadline = time.monotonic() + _WARM
    while browser.get(path).status_code == 503 and time.monotonic() < deadline:
        time.sleep(0.5)
    took = []
    for _ in range(TIMES + 1):
        began = time.perf_counter()
        with browser.get(path) as answer:
            assert answer.status_code == 200, (path, answer.status_code, answer.get_data(as_text=True)[-500:])
        took.append(time.perf_counter() - began)
    return median(took[1:])


@contextmanager
def filled(kind: str) -> Iterator[Config]:
    """Yield the config of a queue with a million jobs: most have finished; others failed, wait or are due."""
    with tempfile.TemporaryDirectory(prefix="cronq-web-") as directory:
        if kind == "sqlite":
            config = from_database(f"sqlite:///{directory}/queue.db").with_values("the bench", synchronous="normal")
            fill(config)
            yield config
            return
        with databases.private(kind) as server:
            server.execute("CREATE DATABASE web")
            config = from_database(server.url("web")).with_values("the bench", lock_dir=f"{directory}/locks")
            fill(config)
            yield config


def fill(config: Config) -> None:
    """Insert the jobs, batches and limits."""
    with Store(config, Clock()) as store:
        store.prepare()
        now, names = store.clock.now(), store.tables.sql.names
        for start in range(0, JOBS, _BATCH):
            insert_many(store, names.jobs, _COLUMNS, [row(number, now) for number in range(start, start + _BATCH)])
        fill_flow(store, now)
        if config.database_url().family == "postgresql":
            for table in (names.jobs, names.members, names.limited):
                store.tables.open().execute(f"ANALYZE {table}")


def fill_flow(store: Store, now: int) -> None:
    """Put jobs into batches, and under a limit with ten places."""
    names = store.tables.sql.names
    batches = [(f"import {one}", "continue", now, "ann@web1", now) for one in range(BATCHES)]
    limits = [("smtp", "smtp", 10, 0), ("rare", "rare", 1, 0)]
    members = [(1 + number // _BATCH, 1 + number) for number in range(BATCHES * _BATCH)]
    members += [(BATCHES, 500_000 + number) for number in range(10 * _BATCH)]
    limited = [(number + 1, "smtp", WAITING, 50, now, now) for number in range(JOBS) if is_pending(number)]
    limited += [(number * 100 + 93, "smtp", PLACE, 50, now, now) for number in range(10)]
    insert_many(store, names.batches, "name, on_failed, opened_at, opened_by, closed_at", batches)
    insert_many(store, names.members, "batch, job", members)
    insert_many(store, names.limits, "name, pattern, concurrency, looked", limits)
    insert_many(store, names.limited, "job_id, limit_name, place, priority, due_at, since", limited)


def insert_many(store: Store, table: str, columns: str, rows: Sequence[Sequence[object]]) -> None:
    """Insert rows, ten thousand in a transaction."""
    sql = f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * (columns.count(',') + 1))})"
    for start in range(0, len(rows), _BATCH):
        part = rows[start : start + _BATCH]
        store.tables.open().transact(lambda tx, part=part: tx.execute_many(sql, part))  # type: ignore[misc]


STATES = (("finished", 85), ("failed", 90), ("scheduled", 92), ("ready", 96), ("pending", 100))
"""The states with their upper ends among the jobs of each hundred."""


def is_pending(number: int) -> bool:
    """Tell whether this job waits for a place."""
    return number % 100 >= dict(STATES)["ready"]


def row(number: int, now: int) -> tuple[object, ...]:
    """Return the row of one job: of a hundred, 85 have finished, 5 failed, 2 are scheduled, 4 ready, 4 pending."""
    place = number % 100
    state = next(name for name, end in STATES if place < end)
    ended = state in ("finished", "failed")
    at = now - (JOBS - number) * SECOND // 10
    return (
        ("send", "scale", "report")[number % 3], f'{{"to": "user-{number}", "text": "{"x" * 100}"}}',
        ("mail", "images", "default", "night")[number % 4], 50, state,
        at + (86_400 * SECOND * 9 if state == "scheduled" else 0), None, 20, at, at if ended else None,
        at + SECOND if ended else None, "success" if state == "finished" else "error" if ended else None,
        "OSError" if state == "failed" else None, f"no route to host-{number % 50}" if state == "failed" else None,
        LIMITED if state == "pending" else None,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
