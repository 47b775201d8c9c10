"""What tasks leave behind on Django's connections harms no later task of the same child."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import scale
from tests.django.sites import Site, migrated
from tests.django.test_running import enqueue, results

LEFT = {
    "never_leave.enqueue()": ("SUCCESSFUL", []),
    "never_leave.enqueue(fails=True)": ("FAILED", ["shop.tasks.OwnError"]),
    "break_open.enqueue()": ("SUCCESSFUL", []),
    "break_open.enqueue(fails=True)": ("FAILED", ["shop.tasks.OwnError"]),
    "leave_open.enqueue()": ("SUCCESSFUL", []),
    "break_connection.enqueue()": ("SUCCESSFUL", []),
}


@pytest.mark.parametrize("engine", scale.engines("sqlite", "mariadb"))
@pytest.mark.parametrize(
    "lasting", [pytest.param(False, marks=pytest.mark.thorough, id="closed"), pytest.param(True, id="lasting")]
)
def test_the_next_task_writes_though_one_left_its_connection_in_any_state(
    tmp_path: Path, engine: str, *, lasting: bool
) -> None:
    site = migrated(tmp_path) if engine == "sqlite" else Site(tmp_path, engine)
    site.database["CONN_MAX_AGE"] = None if lasting else 0
    if engine != "sqlite":
        site.manage("migrate", "-v0")
    ids = enqueue(site, *(call for left in LEFT for call in (left, f"make_group.enqueue({left!r})")))
    site.cronq("run", "--jobs", 1)
    told = results(site, ids)
    assert [(status, errors) for status, _, errors, _ in told[::2]] == list(LEFT.values())
    assert [(status, value) for status, value, _, _ in told[1::2]] == [("SUCCESSFUL", left) for left in LEFT]
    names = (
        "from django.contrib.auth.models import Group\nprint('\\n'.join(g.name for g in Group.objects.order_by('id')))"
    )
    assert site.python(names).splitlines() == list(LEFT)
    warned = {job["id"] for job in json.loads(site.cronq("ls", "--json")) if job["outcome"] == "warning"}
    assert warned == {int(ids[2 * place]) for place in (0, 2, 4)}
