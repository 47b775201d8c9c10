"""A machine for the tests that need one of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.booted import Booted


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory on the disk: the machines of these tests have a /dev of their own, without what lies in memory."""
    with tempfile.TemporaryDirectory(prefix="cronq-packaging-", ignore_cleanup_errors=True) as place:
        yield Path(place)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Booted]:
    """A booted systemd with cronq's packaged files; the test says `needs("systemd-boot")`."""
    with Booted(tmp_path) as booted:
        yield booted


@pytest.fixture(scope="session")
def shared() -> Iterator[Booted]:
    """One for all tests that change none of its files but the queue."""
    place = tempfile.TemporaryDirectory(prefix="cronq-packaging-", ignore_cleanup_errors=True)
    with place as directory, Booted(Path(directory)) as booted:
        yield booted


@pytest.fixture
def unchanged(shared: Booted) -> Iterator[Booted]:
    """The machine of several tests: its files are those of the package; no unit of cronq's runs, but jobs may wait."""
    yield shared
    shared.systemctl("stop", "cronq*.timer", "cronq*.socket", "cronq*.service")
