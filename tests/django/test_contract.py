"""Django's contract for tasks, in the project's own tests, with the test database that Django makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import scale
from tests.django.sites import Site


@pytest.mark.timeout(600)
@pytest.mark.parametrize("engine", scale.engines("sqlite", "postgresql"))
def test_the_contract_of_djangos_tasks_holds(engine: str, tmp_path: Path) -> None:
    site = Site(tmp_path, engine, limits={"one": 1}, tasks={"shop.tasks.count_down": {"limit": "one"}})
    said = site.manage("test", "--pattern", "contract_*.py", seconds=540)
    assert "OK" in said
