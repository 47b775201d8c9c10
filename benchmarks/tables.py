"""Print the tables at the end of a benchmark: the figures, the processor time of their jobs, and all queues."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.progress import Measured
from benchmarks.result import Figure, Rate, Standing, amount, cost_text, costs

NOTE = """\
drain: from the start of the workers until the last process has ended; for workers that stay
(huey, celery, dramatiq), until the last job has started. rq is given fewer jobs, for it would take minutes.
processor time: user and system of all processes of the queue and, in brackets, its server's part of it; with drain,
the start and the end of the workers are in it. On a machine that others disturb, its ratio is the steadier one."""


def show(done: Sequence[Measured], standings: Sequence[Standing], *, rounds: int) -> None:
    """Print the tables, and how busy the machine was."""
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    figures = [figure for one in done for figure in one.figures]
    console.print(_figures(figures, rounds))
    if with_cost := [figure for figure in figures if figure.cost]:
        console.print(_costs(with_cost))
    if standings:
        console.print(_standings(standings))
        console.print(NOTE, style="dim")
    for one in done:
        console.print(str(one))


def _figures(figures: Sequence[Figure], rounds: int) -> Table:
    table = Table(title=f"Medians of {rounds} interleaved rounds", title_justify="left")
    for heading in ("figure", "cronq", "reference", "ratio (min to max)", "must reach", ""):
        table.add_column(heading, justify="right" if heading in {"cronq", "must reach"} else "left")
    for figure in figures:
        verdict = "[green]reached[/]" if figure.reached() else "[red]missed[/]"
        reference = f"{amount(figure.reference)} {figure.reference_name}" if figure.reference else ""
        ours = f"{amount(figure.ours)} {figure.unit}"
        unit = "" if figure.reference else f" {figure.unit}"
        table.add_row(figure.what, ours, reference, _ratio(figure.ratios()), f"{figure.must}{unit}", verdict)
    return table


def _costs(figures: Sequence[Figure]) -> Table:
    table = Table(title="Processor time a job", title_justify="left")
    for heading in ("figure", "cronq", "reference", "times less (min to max)"):
        table.add_column(heading)
    for figure in figures:
        reference = f"{cost_text(figure.reference_cost)} {figure.reference_name}" if figure.reference_cost else ""
        table.add_row(figure.what, cost_text(figure.cost), reference, _ratio(figure.cost_ratios()))
    return table


def _ratio(ratios: Sequence[float]) -> str:
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else ""


def _standings(standings: Sequence[Standing]) -> Table:
    table = Table(title="Jobs a second, and below it the processor time of one", title_justify="left")
    table.add_column("queue")
    for heading in ("enqueue", "bulk", "drain", "first to last"):
        table.add_column(heading, justify="right")
    table.add_column("what it promises here")
    for one in standings:
        rates = (one.one_a_call, one.bulk, one.drain, one.drain_span)
        table.add_row(one.name, *map(_rate, rates), one.promise)
    return table


def _rate(rates: Sequence[Rate]) -> str:
    a_second = amount([rate.a_second for rate in rates])
    return f"{a_second}\n{cost_text(taken)}" if (taken := costs(rates)) else a_second
