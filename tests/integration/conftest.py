"""What the tests with real processes share: a queue that runs in a project of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.running import Queue
from tests.project import Project


@pytest.fixture
def queue(project: Project) -> Iterator[Queue]:
    """A queue in an empty project; what a test has left running is killed after it."""
    with Queue(project) as queue:
        yield queue
