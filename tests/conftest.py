"""Define what all tests share: a project to run cronq in, the skips for missing servers, the order of the tests."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

from tests import brokers, databases, inherited, order, servers, sharing
from tests.project import Project
from tests.scale import FULL, THOROUGH

inherited.reset()  # here, because each worker reads this file before a test starts a process
sharing.place_tests_in_memory()
# No deadline: on a busy machine any example may take long. Derandomised: each usual run has the same examples.
hypothesis.settings.register_profile(
    "here", deadline=None, derandomize=not FULL, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("here")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs what this machine lacks; in CI that is a failure."""
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            servers.require(name)


def pytest_sessionfinish() -> None:
    """Stop the servers that were started for this test run, once no worker uses them."""
    sharing.leave(databases.end, brokers.end)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests that are only for thorough runs; order the others so that slow ones begin first."""
    if not THOROUGH:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("thorough")])
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]
    waiting = [item for item in items if item.get_closest_marker("waits")]
    slow = [item for item in items if item.get_closest_marker("slow") and not item.get_closest_marker("waits")]
    long = {*waiting, *slow}
    quick = [item for item in items if item not in long]
    workers: int = getattr(config, "workerinput", {}).get("workercount", 1)
    items[:] = order.shared_out(waiting, slow, quick, workers)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project with an empty queue on SQLite and a small app."""
    return Project(tmp_path)
