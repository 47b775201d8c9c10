"""Measure what 500 schedules cost: firing all at once, and an idle run beside one without schedules."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.contest import ROOT, environment, place_for, produce
from benchmarks.figures.starts import STARTS_A_ROUND, cronq, processor_time
from benchmarks.result import Figure, Must
from cronq.config import loader
from cronq.schedules.declaring import Declaring
from cronq.schedules.definition import Definition, read
from cronq.schedules.firing import Firing
from cronq.store import Store
from cronq.times import SECOND, Clock

OURS = "cronq_sqlite"
SCHEDULES = 500
ZONES = ("Europe/Prague", "America/New_York", "Asia/Tokyo", "UTC")


def run(*, rounds: int) -> list[Figure]:
    """Measure firing 500 due schedules in one process, and idle runs with and without 500 schedules."""
    fired = [_fired() for _ in range(rounds)]
    none, stored, told = _idle(rounds * STARTS_A_ROUND)
    reference = "without schedules", none
    return [
        _figure("firing 500 due schedules, wall", [wall for wall, _ in fired], Must(at_most=1000)),
        _figure("firing 500 due schedules, processor time", [spent for _, spent in fired], Must(at_most=1000)),
        Figure("schedules", "idle run, 500 stored, processor time", "ms", stored, *reference, Must(at_most=1.02)),
        Figure("schedules", "idle run, 500 in cronq.toml, processor time", "ms", told, *reference, Must(at_most=1.02)),
    ]


def _figure(what: str, values: list[float], must: Must) -> Figure:
    return Figure("schedules", what, "ms", values, "", (), must)


def _fired() -> tuple[float, float]:
    """Fire all schedules; return the milliseconds of the wall clock and of the processors."""
    with place_for(OURS) as place:
        produce("one_a_call", OURS, place, 1)
        _in_a_process("declare", place)
        wall, spent = json.loads(_in_a_process("fire", place))
    return wall, spent


def _idle(number: int) -> tuple[list[float], list[float], list[float]]:
    """Return the processor milliseconds of runs without schedules, with stored ones, and with those of cronq.toml."""
    with place_for(OURS) as none, place_for(OURS) as stored, place_for(OURS) as told:
        for place in (none, stored, told):
            produce("one_a_call", OURS, place, 1)
            subprocess.run(cronq(place, "run"), check=True, env=environment(place))
        _in_a_process("declare", stored)
        with (told / "cronq.toml").open("a") as file:
            file.write("\n".join(map(_table, range(SCHEDULES))))
        commands = [cronq(place, "run") for place in (none, stored, told)]
        for command in commands:
            subprocess.run(command, check=True)
        measured = [[processor_time(command) for command in commands] for _ in range(number)]
    without, with_rows, with_tables = zip(*measured, strict=True)
    return list(without), list(with_rows), list(with_tables)


def _table(number: int) -> str:
    one = definition(number)
    return f'[schedules."{one.name}"]\ncron = "{one.cron[0]}"\ntask = "{one.task}"\ntimezone = "{one.timezone}"\n'


def _in_a_process(what: str, place: Path) -> str:
    command = [sys.executable, "-m", "benchmarks.figures.schedules", what, str(place)]
    done = subprocess.run(command, cwd=ROOT, env=environment(place), check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def definition(number: int) -> Definition:
    """Return one of the schedules: once a year in January, in one of four time zones, so that it isn't due."""
    keys = {"cron": f"{number % 60} 2 1 1 *", "task": "tick", "timezone": ZONES[number % len(ZONES)]}
    return read(f"schedule-{number:03}", keys, where="the benchmark")


def declare(place: Path) -> None:
    """Declare the schedules, which stores them."""
    with Store(loader.load(file=str(place / "cronq.toml"), environ={}), Clock()) as store:
        Declaring(store, Firing(store), source="cronq.toml").declare([definition(n) for n in range(SCHEDULES)])


def fire(place: Path) -> None:
    """Fire all of them at once, as if they had been due a second ago; print what that took in milliseconds."""
    with Store(loader.load(file=str(place / "cronq.toml"), environ={}), Clock()) as store:
        due = store.tell_time() - SECOND
        store._tables.open().execute("UPDATE cronq_schedules SET next_at = ?, due_at = ?", (due, due))
        wall, spent = time.perf_counter(), time.process_time()
        assert Firing(store).fire_all(store.tell_time()) == SCHEDULES
        print(json.dumps([(time.perf_counter() - wall) * 1000, (time.process_time() - spent) * 1000]))


if __name__ == "__main__":
    {"declare": declare, "fire": fire}[sys.argv[1]](Path(sys.argv[2]))
