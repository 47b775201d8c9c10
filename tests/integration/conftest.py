"""Define what the tests with real processes share: a queue that runs in a project of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.running import Queue
from tests.project import Project


@pytest.fixture
def queue(project: Project) -> Iterator[Queue]:
    """Yield a queue in an empty project; processes that a test has left running are killed after it."""
    with Queue(project) as queue:
        yield queue
