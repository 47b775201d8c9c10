"""Fire schedules by a clock in a file, and declare now and then, until the process is killed."""

from __future__ import annotations

import random
import time
from pathlib import Path

from cronq.config.loader import from_database
from cronq.schedules.declaring import Declaring
from cronq.schedules.definition import Definition, read
from cronq.schedules.firing import Firing
from cronq.store import Store
from cronq.times import Clock, Measured
from tests.scale import times

_PAUSE = 0.03
"""Maximum pause in seconds between two firings: all processes see a new instant at about the same time, and sleep."""

SECONDS, SELDOM = times(8, full=20), times(10, full=30)
"""The numbers of schedules that are due every second, and every PERIOD seconds."""

PERIOD = 8


class SharedClock(Clock):
    """A clock whose instant is in a file; a database's clock doesn't change it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def now(self) -> int:
        return int.from_bytes(self._path.read_bytes())

    def set_by(self, measured: Measured) -> None:
        """Do nothing: the file decides."""


def definitions(version: int) -> list[Definition]:
    """Return the schedules; each version has other arguments, and the same due times."""
    when = {
        **{f"second-{n:02}": "1s" for n in range(SECONDS)},
        **{f"seldom-{n:02}": f"{PERIOD}s" for n in range(SELDOM)},
    }
    common = {"task": "t", "overlap": "allow", "catch_up": "all", "catch_up_max": 1000, "args": {"version": version}}
    return [read(name, {"every": every, **common}, where="the test") for name, every in when.items()]


def main(url: str, clock_file: str, locks: str) -> None:
    """Fire until the process is killed."""
    clock, chance = SharedClock(Path(clock_file)), random.Random()
    with Store(from_database(url).with_values("the test", lock_dir=locks, synchronous="normal"), clock) as store:
        firing, version = Firing(store), 0
        while True:
            firing.fire_all(clock.now())
            if chance.random() < 0.05:
                version += 1
                saying = Declaring(store, firing, source="cronq.toml")
                saying._host = f"host-{chance.randrange(2)}"
                saying.declare(definitions(version))
            time.sleep(chance.uniform(0, _PAUSE))
