"""What all tests share: a project to run cronq in, and what a missing server means."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

from tests import brokers, databases, inherited, order, servers, sharing
from tests.project import Project
from tests.scale import FULL, THOROUGH

inherited.reset()  # here, for this file is read before any test starts something, in each worker too
sharing.place_tests_in_memory()
# On a busy machine any example may take longer than Hypothesis lets it; and each run has the same examples.
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
    """Stop the servers that were started for this test run."""
    sharing.leave(databases.end, brokers.end)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave to a thorough run what is its own; start first what waits for the clock, beside it the slow tests."""
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
    """An empty queue on SQLite with a small app."""
    return Project(tmp_path)
