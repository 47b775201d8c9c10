"""`python -m benchmarks`: measure, print the table, and say whether every figure is reached."""

from __future__ import annotations

import argparse
import json
import platform
import signal
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.figures import claims, groups, inetd, latency, million, peers, starts
from benchmarks.result import Figure, Standing

SINGLE: dict[str, Callable[..., list[Figure]]] = {
    "idle": starts.idle,
    "ls": starts.listing,
    "claim": claims.run,
    "group": groups.run,
    "million": million.run,
    "inetd": inetd.run,
    "latency": latency.run,
    "idle-work": latency.idle,
}
NOTE = """\
drain: from the start of the workers until the last process has ended; for workers that stay
(huey, celery, dramatiq), until the last job has started. rq is given fewer jobs, for it would take minutes."""
NAMES = (*peers.MEASURES, *SINGLE)


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=NAMES, help="measure this figure; repeatable")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default: 3)")
    parser.add_argument("--alone", action="store_true", help="leave out the peers that are no reference")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every value to this file")
    return parser.parse_args()


def main() -> int:
    """Measure what was asked for; 1 if a figure was not reached."""
    asked = arguments()
    chosen = asked.only or NAMES
    contests = [measure for measure in peers.MEASURES if measure in chosen]
    figures, standings = peers.run(contests, rounds=asked.rounds, alone=asked.alone)
    for name, run in SINGLE.items():
        if name in chosen:
            figures += run(rounds=asked.rounds)
    show(figures, standings, rounds=asked.rounds)
    if asked.json:
        asked.json.write_text(json.dumps(document(figures, standings), indent=2) + "\n")
    return 0 if all(figure.reached() for figure in figures) else 1


def document(figures: Sequence[Figure], standings: Sequence[Standing]) -> dict[str, object]:
    """All that was measured, for comparing later."""
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "figures": [figure.to_json() for figure in figures],
        "peers": [standing.to_json() for standing in standings],
    }


def show(figures: Sequence[Figure], standings: Sequence[Standing], *, rounds: int) -> None:
    """Print both tables."""
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(_figures(figures, rounds))
    if standings:
        console.print(_standings(standings))
        console.print(NOTE, style="dim")


def _figures(figures: Sequence[Figure], rounds: int) -> Table:
    table = Table(title=f"Medians of {rounds} interleaved rounds", title_justify="left")
    for heading in ("figure", "cronq", "reference", "ratio (min to max)", "must reach", ""):
        table.add_column(heading, justify="right" if heading in {"cronq", "must reach"} else "left")
    for figure in figures:
        verdict = "[green]reached[/]" if figure.reached() else "[red]missed[/]"
        reference = f"{_amount(figure.reference)} {figure.reference_name}" if figure.reference else ""
        ours = f"{_amount(figure.ours)} {figure.unit}"
        unit = "" if figure.reference else f" {figure.unit}"
        table.add_row(figure.what, ours, reference, _ratio(figure), f"{figure.must}{unit}", verdict)
    return table


def _ratio(figure: Figure) -> str:
    ratios = figure.ratios()
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else ""


def _standings(standings: Sequence[Standing]) -> Table:
    table = Table(title="Jobs a second", title_justify="left")
    table.add_column("queue")
    for heading in ("enqueue", "bulk", "drain", "first to last"):
        table.add_column(heading, justify="right")
    table.add_column("what it promises here")
    for one in standings:
        rates = (one.one_a_call, one.bulk, one.drain, one.drain_span)
        table.add_row(one.name, *map(_amount, rates), one.promise)
    return table


def _amount(values: Sequence[float]) -> str:
    if not values:
        return "-"
    middle = median(values)
    return f"{middle:,.0f}" if middle >= 100 else f"{middle:.2f}"


def _end(number: int, _frame: object) -> None:
    """End with what was started for the measurements, also in the background, where SIGINT is ignored otherwise."""
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, _end)
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main())
