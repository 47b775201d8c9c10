"""Tasks that use the ORM leave no connection and no descriptor open: 60 of them, 10,000 in `make storm`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import scale
from tests.django.sites import Site
from tests.waiting import wait_until

JOBS = scale.times(60, full=10_000)
CHILDREN = scale.times(1, full=2)
FEW = 20
"""Jobs of one kind; a child that ran no more has perhaps not opened what it needs."""

ENQUEUE = f"""
from cronq.django.api import task_backends
from shop.tasks import alook, look
failing = (look.using(max_attempts=1), (), {{"fails": True}})
calls = [((look, alook)[n % 2], (), {{}}) if n % 10 else failing for n in range({JOBS})]
for start in range(0, len(calls), 1000):
    task_backends["default"].enqueue_many(calls[start:start + 1000])
"""

COUNT = "from shop.tasks import opened\nprint(opened()[2])"


@pytest.mark.slow
@pytest.mark.timeout(scale.times(240, full=2700))
@pytest.mark.parametrize("engine", scale.engines("postgresql"))
def test_nothing_is_left_open_however_many_tasks_run(tmp_path: Path, engine: str) -> None:
    site = Site(tmp_path, engine)
    if engine in ("mariadb", "mysql"):
        site.database["OPTIONS"]["ssl_disabled"] = True  # TLS takes PyMySQL 50 ms of a processor for each connection
    seconds = scale.times(200, full=2400)
    site.manage("migrate", "-v0", seconds=seconds)
    site.python(ENQUEUE, seconds=seconds)
    assert "Traceback" not in site.cronq("run", "--jobs", CHILDREN, seconds=seconds)
    jobs = json.loads(site.cronq("ls", "--json", "--limit", JOBS))
    assert sum(job["state"] == "finished" for job in jobs) == JOBS * 9 // 10
    assert sum(job["state"] == "failed" for job in jobs) == JOBS // 10
    by_child: dict[tuple[int, str], list[list[int]]] = {}
    for job in sorted(jobs, key=lambda job: (job["finished_at"], job["id"])):
        if job["state"] == "finished":
            by_child.setdefault((job["pid"], job["task"]), []).append(job["result"])
    lasting = [seen for seen in by_child.values() if len(seen) > FEW]
    assert lasting
    for seen in lasting:
        middle = len(seen) // 2
        earlier, later = ([max(one) for one in zip(*half, strict=True)] for half in (seen[:middle], seen[middle:]))
        assert all(now <= before + 1 for before, now in zip(earlier, later, strict=True)), (earlier, later)
        assert later[2] <= 2 * CHILDREN + 2
    # A server lists a connection for a moment after its end.
    wait_until(lambda: int(site.python(COUNT)) <= 1, what="only its own connection")
