"""Compare cronq, django-tasks-db and django-ox for Django's tasks: the same Python, Django and SQLite's durability."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple, TypeVar

from benchmarks.contest import ROOT, environment
from benchmarks.processor import Spent, Stopwatch, of_ended_children
from benchmarks.progress import say
from benchmarks.result import Cost, Figure, Must, Rate, of_rates

SITE = ROOT / "benchmarks" / "django_site"
PYTHON = "3.14"
"""The version of Python: django-ox and Django 6 need 3.12 or later."""

OURS, TASKS_DB, OX = "default", "django-tasks-db", "django-ox"
"""The names of the backends in the project's settings."""

ENVIRONMENT = ROOT / ".ci" / "environment"

FEW, MANY = 500, 10_000
REQUESTS, STARTS = 200, 20
BATCH = {
    OURS: ("-m", "cronq", "run"),
    TASKS_DB: ("-m", "django", "db_worker", "--batch", "-v0", "--no-startup-delay", "--backend", TASKS_DB),
    OX: ("-m", "django", "ox_worker", "-v0", "--batch", "--backend", OX),
}
STAYING = {
    OURS: ("-m", "cronq", "work"),
    TASKS_DB: ("-m", "django", "db_worker", "-v0", "--backend", TASKS_DB),
    OX: ("-m", "django", "ox_worker", "-v0", "--backend", OX),
}
Measurement = TypeVar("Measurement")


class Latency(NamedTuple):
    """Milliseconds, and the processor time of one task where it was measured."""

    p50: float
    p95: float
    cost: Cost | None = None

    def __str__(self) -> str:
        return f"p50 {self.p50:.2f} ms, p95 {self.p95:.2f} ms"


def run(*, rounds: int) -> list[Figure]:
    """Measure drains, enqueues in requests, and starts of single tasks: each backend in each round.

    10,000 tasks are drained once only: the other backends take minutes for them.
    """
    names = backends()
    drains = {
        FEW: _rounds(f"drain of {FEW:,}", rounds, functools.partial(drain, FEW), names),
        MANY: _rounds(f"drain of {MANY:,}", 1, functools.partial(drain, MANY), names),
    }
    asked = _rounds("enqueue in a request", rounds, requests, names)
    begun = _rounds("enqueue to start", rounds, starts, names)
    figures = []
    for peer in names[1:]:
        figures += [_drain_figure(count, measured, peer) for count, measured in drains.items()]
        figures += latency_figures("enqueue in a request", ("p50",), asked, peer)
        figures += latency_figures("enqueue to start, cronq work", ("p50", "p95"), begun, peer)
    return figures


def _rounds(
    what: str, rounds: int, measure: Callable[[Sequence[str]], Iterable[tuple[str, Measurement]]], names: Sequence[str]
) -> dict[str, list[Measurement]]:
    taken: dict[str, list[Measurement]] = {name: [] for name in names}
    for number in range(1, rounds + 1):
        for name, value in measure(names):
            taken[name].append(value)
            say(f"  django, {what}, round {number} of {rounds}: {'cronq' if name == OURS else name}: {value}")
    return taken


def _drain_figure(count: int, measured: dict[str, list[Rate]], peer: str) -> Figure:
    figure = Figure("django", f"Django: drain of {count:,}, start to end", "tasks/s", (), peer, (), Must(at_least=10))
    return of_rates(figure, measured[OURS], measured[peer])


def latency_figures(what: str, parts: Sequence[str], measured: dict[str, list[Latency]], peer: str) -> Iterator[Figure]:
    """Yield the figures that compare our milliseconds with those of one other backend."""
    spent = [[one.cost for one in measured[name] if one.cost] for name in (OURS, peer)]
    for part in parts:
        taken = [[getattr(one, part) for one in values] for values in (measured[OURS], measured[peer])]
        yield Figure("django", f"Django: {what}, {part}", "ms", taken[0], peer, taken[1], Must(at_most=1), *spent)


# What is measured, each time on a new database


def drain(count: int, names: Sequence[str]) -> Iterator[tuple[str, Rate]]:
    """Measure how many tasks a second each backend's worker runs, from its start to its end."""
    for name in names:
        yield name, _drained(name, count)


def _drained(name: str, count: int) -> Rate:
    with project() as place:
        ask(place, "fill", name, count)
        watch = Stopwatch(place, of_ended_children)
        python(place, *BATCH[name])
        spent = watch.spent()
        done = ask(place, "done", name)
    assert done == count, f"{name}: {done} of {count} tasks were done"
    return Rate(count / spent.wall, Cost.of(spent, count))


def requests(names: Sequence[str]) -> Iterator[tuple[str, Latency]]:
    """Measure a request that enqueues a task, from the call of Django's WSGI handler to the end of the answer."""
    with project() as place:
        taken: dict[str, list[list[float]]] = ask(place, "requests", REQUESTS, *names)
    for name, samples in taken.items():
        yield name, _of_requests(*map(list, zip(*samples, strict=True)))


def _of_requests(wall: list[float], own: list[float]) -> Latency:
    return _latency(wall)._replace(cost=Cost.of(Spent(sum(wall) / 1000, sum(own) / 1000, 0), len(own)))


def starts(names: Sequence[str]) -> Iterator[tuple[str, Latency]]:
    """Measure the time from an enqueue until an idle worker has begun the task."""
    for name in names:
        with project() as place, worker(place, STAYING[name]):
            yield name, _latency(ask(place, "starts", name, STARTS))


def _latency(milliseconds: list[float]) -> Latency:
    return Latency(median(milliseconds), quantiles(milliseconds, n=20)[-1])


# The project


@functools.cache
def interpreter() -> str:
    """Return the Python with all backends; if there is none, this one, which has no django-ox."""
    found = subprocess.run(
        [ENVIRONMENT, PYTHON, "bench-django"], check=False, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    if not found:
        say(
            f"  django: there is no Python {PYTHON}, which {OX} needs: measured without it, on {sys.version.split()[0]}"
        )
        return sys.executable
    subprocess.run([found, "-m", "compileall", "-q", ROOT / "cronq"], check=True)
    return found


def backends() -> list[str]:
    """Return the names of our backend, and of the others that this Python has."""
    others = [TASKS_DB] if interpreter() == sys.executable else [TASKS_DB, OX]
    return [OURS, *others]


@contextmanager
def project() -> Iterator[Path]:
    """Yield the directory of a project with empty tables."""
    with tempfile.TemporaryDirectory(prefix="cronq-bench-") as directory:
        place = Path(directory)
        python(place, "-m", "django", "migrate", "-v0")
        yield place


@contextmanager
def worker(place: Path, arguments: Sequence[str]) -> Iterator[None]:
    """Run a worker until the end of the block."""
    with (place / "said").open("wb") as said:
        process = subprocess.Popen(
            [interpreter(), *arguments], cwd=place, env=_environment(place), stdout=said, stderr=said
        )
        try:
            yield
        except subprocess.CalledProcessError:
            print((place / "said").read_text(errors="replace"), file=sys.stderr)
            raise
        finally:
            process.terminate()
            process.wait()


def ask(place: Path, *arguments: object) -> Any:
    """Run `nothing.measure` in the project, and return the JSON that it prints."""
    return json.loads(python(place, "-m", "nothing.measure", *map(str, arguments)))


def python(place: Path, *arguments: str) -> str:
    """Run a Python program of the project, which must succeed; return its output."""
    command = [interpreter(), *arguments]
    done = subprocess.run(command, cwd=place, env=_environment(place), check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def _environment(place: Path) -> dict[str, str]:
    given = environment(place)
    return given | {"PYTHONPATH": f"{SITE}:{given['PYTHONPATH']}", "DJANGO_SETTINGS_MODULE": "settings"}
