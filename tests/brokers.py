"""Brokers that are started when a test first asks and shared by all workers of a test run."""

from __future__ import annotations

import functools
from pathlib import Path

from daemons.brokers import KINDS, Broker
from tests.sharing import joining


@functools.cache
def shared(kind: str) -> Broker:
    """The broker of this test run, started by the first test that asks. Tests take names of their own in it."""
    with joining(kind) as root:
        place = root / kind
        started = (place / "started").exists()
        place.mkdir(mode=0o755, exist_ok=True)
        broker = Broker(kind, place)
        if not started:
            broker.start()
            (place / "started").touch()
    return broker


def end(root: Path) -> None:
    """Stop the brokers in the directory."""
    for kind in KINDS:
        if (root / kind).exists():
            Broker(kind, root / kind).kill()
