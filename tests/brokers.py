"""Start brokers for the first test that needs them; all workers of a test run share them."""

from __future__ import annotations

import functools
from pathlib import Path

from daemons.brokers import KINDS, Broker
from tests.sharing import joining


@functools.cache
def shared(kind: str) -> Broker:
    """Return the broker of this test run, started for the first test that needs it. Tests use their own names in it."""
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
    """Kill the brokers in the directory."""
    for kind in KINDS:
        if (root / kind).exists():
            Broker(kind, root / kind).kill()
