"""`python -m benchmarks`: measure, print the table, and say whether every figure is reached."""

from __future__ import annotations

import argparse
import json
import platform
import signal
import sqlite3
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.figures import claims, django, flow, groups, inetd, latency, million, peers, schedules, starts
from benchmarks.progress import Measured, measured
from benchmarks.result import Figure, Standing
from benchmarks.tables import show

SINGLE: dict[str, Callable[..., list[Figure]]] = {
    "idle": starts.idle,
    "ls": starts.listing,
    "claim": claims.run,
    "group": groups.run,
    "flow": flow.run,
    "django": django.run,
    "million": million.run,
    "schedules": schedules.run,
    "inetd": inetd.run,
    "latency": latency.run,
    "idle-work": latency.idle,
}
NAMES = (*peers.MEASURES, *SINGLE)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=NAMES, help="measure this figure; repeatable")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default: 3)")
    parser.add_argument("--alone", action="store_true", help="leave out the peers that are no reference")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every value to this file")
    return parser.parse_args()


def main() -> int:
    """Measure the chosen figures, print the tables, and return the exit status: 1 if a figure was not reached."""
    asked = arguments()
    contest = peers.Contest(rounds=asked.rounds, alone=asked.alone)
    runs: dict[str, Callable[[], list[Figure]]] = {
        **{measure: partial(contest.measure, measure) for measure in peers.MEASURES},
        **{name: partial(run, rounds=asked.rounds) for name, run in SINGLE.items()},
    }
    done = [measured(name, run) for name, run in runs.items() if name in (asked.only or NAMES)]
    show(done, contest.standings(), rounds=asked.rounds)
    if asked.json:
        asked.json.write_text(json.dumps(document(done, contest.standings()), indent=2) + "\n")
    return 0 if all(figure.reached() for one in done for figure in one.figures) else 1


def document(done: Sequence[Measured], standings: Sequence[Standing]) -> dict[str, object]:
    """Return all that was measured, as JSON for a later comparison."""
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "machine": {one.name: one.to_json() for one in done},
        "figures": [figure.to_json() for one in done for figure in one.figures],
        "peers": [standing.to_json() for standing in standings],
    }


def _end(number: int, _frame: object) -> None:
    """Exit, so that servers and workers of the measurement are ended; in the background SIGINT is ignored otherwise."""
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, _end)
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main())
