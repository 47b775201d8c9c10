"""Define machines and directories for the tests that need some of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.booted import Booted


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Yield a directory on the disk: these tests' machines have a /dev of their own, without the machine's /dev/shm."""
    with tempfile.TemporaryDirectory(prefix="cronq-packaging-", ignore_cleanup_errors=True) as place:
        yield Path(place)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Booted]:
    """Yield a booted systemd with cronq's packaged files; the test has the mark `needs("systemd-boot")`."""
    with Booted(tmp_path) as booted:
        yield booted


@pytest.fixture(scope="session")
def shared() -> Iterator[Booted]:
    """Yield a booted system for all tests that change none of its files but the queue."""
    place = tempfile.TemporaryDirectory(prefix="cronq-packaging-", ignore_cleanup_errors=True)
    with place as directory, Booted(Path(directory)) as booted:
        yield booted


@pytest.fixture
def unchanged(shared: Booted) -> Iterator[Booted]:
    """Yield the shared system: its files are those of the package; no unit of cronq runs, but it may have jobs."""
    yield shared
    shared.systemctl("stop", "cronq*.timer", "cronq*.socket", "cronq*.service")
