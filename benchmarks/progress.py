"""Write to stderr what is measured, the results, and how busy the machine was."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from benchmarks import servers
from benchmarks.processor import machine
from benchmarks.result import Figure


class Measured(NamedTuple):
    """The figures of one kind, and the load of the machine while they were measured."""

    name: str
    figures: Sequence[Figure]
    seconds: float
    load: float
    others: float
    """The share of the processors that other processes took, from 0 to 1."""

    def __str__(self) -> str:
        processors = os.cpu_count() or 1
        return (
            f"{self.name}: measured in {self.seconds:.0f} s; other processes took {self.others:.0%} "
            f"of {processors} processors, load {self.load:.2f}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the duration, and how busy the machine was."""
        return {"seconds": self.seconds, "load": self.load, "others_share": self.others}


def say(text: str) -> None:
    """Write a line about the progress to stderr, with the time of day."""
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def measured(name: str, run: Callable[[], Sequence[Figure]]) -> Measured:
    """Measure one kind of figure; write when it begins, and the results."""
    say(f"{name}: measuring")
    before = machine(servers.processes())
    figures = run()
    after = machine(servers.processes())
    done = Measured(name, figures, after.wall - before.wall, os.getloadavg()[0], before.others_share(after))
    say(str(done))
    for figure in figures:
        say(f"  {figure}")
    return done
