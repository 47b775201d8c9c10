"""A process that fires schedules by a clock in a file, declares now and then, and stays until it is killed."""

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
"""Seconds at most between two looks: all see a new instant at about the same time, and don't spin until it comes."""

SECONDS, SELDOM = times(8, full=20), times(10, full=30)
"""So many schedules of every second, and so many of every PERIOD seconds."""

PERIOD = 8


class SharedClock(Clock):
    """The instant that stands in a file; a database's clock doesn't change it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def now(self) -> int:
        return int.from_bytes(self._path.read_bytes())

    def set_by(self, measured: Measured) -> None:
        """Stay with the file."""


def definitions(version: int) -> list[Definition]:
    """The schedules; each version has other arguments, and the same due times."""
    when = {
        **{f"second-{n:02}": "1s" for n in range(SECONDS)},
        **{f"seldom-{n:02}": f"{PERIOD}s" for n in range(SELDOM)},
    }
    common = {"task": "t", "overlap": "allow", "catch_up": "all", "catch_up_max": 1000, "args": {"version": version}}
    return [read(name, {"every": every, **common}, where="the test") for name, every in when.items()]


def main(url: str, clock_file: str, locks: str) -> None:
    """Fire until it is killed."""
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
