"""A machine for the tests that need one of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.booted import Booted


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Booted]:
    """A booted systemd with cronq's packaged files; the test says `needs("systemd-boot")`."""
    with Booted(tmp_path) as booted:
        yield booted
