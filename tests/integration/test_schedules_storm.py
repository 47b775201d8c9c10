"""Once in the cluster: processes fire the same schedules, change them, and are killed in the middle."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.context import ForkProcess
from pathlib import Path

import pytest

from cronq.config.loader import Config
from cronq.schedules.firing import Firing
from cronq.store import Store
from cronq.times import SECOND
from tests import scale
from tests.contract.conftest import engine_queue
from tests.contract.schedule_steps import declare
from tests.integration import firing_process
from tests.integration.firing_process import PERIOD, SECONDS, SELDOM, SharedClock, definitions

PROCESSES = 4
DURATION = scale.times(2, full=8) * PERIOD
"""Seconds of the clock that is shared."""

START = 1_800_000_000 * SECOND


class Processes:
    """Four processes that fire; those that were killed are started again."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._running = [self._start() for _ in range(PROCESSES)]

    def _start(self) -> ForkProcess:
        process = get_context("fork").Process(target=firing_process.main, args=self._arguments, daemon=True)
        process.start()
        return process

    def kill_one(self, chance: random.Random) -> None:
        number = chance.randrange(PROCESSES)
        self._end(self._running[number])
        self._running[number] = self._start()

    def go_on(self) -> None:
        """Leave them alone for a moment, so that a kill comes in the middle of something."""
        self._running[0].join(0.2)

    def _end(self, process: ForkProcess) -> None:
        process.kill()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL, "it has failed before"
        process.close()

    def stop(self) -> None:
        for process in self._running:
            self._end(process)


@contextmanager
def firing(config: Config, clock_file: Path, locks: Path) -> Iterator[Processes]:
    processes = Processes(config.database, str(clock_file), str(locks))
    try:
        yield processes
    finally:
        processes.stop()


def set_clock(file: Path, instant: int) -> None:
    with file.open("r+b" if file.exists() else "wb") as stream:
        stream.write(instant.to_bytes(8))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
@pytest.mark.parametrize("engine", scale.engines("postgresql"))
def test_each_due_time_is_decided_once_whoever_is_killed(engine: str, tmp_path: Path) -> None:
    config, file, chance = engine_queue(engine, tmp_path), tmp_path / "clock", random.Random(1)
    set_clock(file, START)
    with Store(config, SharedClock(file)) as store:
        declare(store, *definitions(0), host="host-0")
    with firing(config, file, tmp_path / "locks") as processes:
        for second in range(1, DURATION + 1):
            set_clock(file, START + second * SECOND)
            if second % 3 == 0:
                processes.kill_one(chance)
            processes.go_on()
    with Store(config, SharedClock(file)) as store:
        Firing(store).fire_all(START + DURATION * SECOND)
        check(store)


def check(store: Store) -> None:
    """As many jobs as due times, none twice, none lost, each of them in the ledger."""
    database = store._tables.open()
    fires = database.query("SELECT schedule, fire_at, outcome, job_id FROM cronq_fires")
    jobs = database.query("SELECT id, schedule FROM cronq_jobs")
    due = Counter({f"second-{n:02}": DURATION for n in range(SECONDS)})
    due.update({f"seldom-{n:02}": DURATION // PERIOD for n in range(SELDOM)})
    assert Counter(schedule for _, schedule in jobs) == due
    assert Counter(schedule for schedule, *_ in fires) == due
    assert {outcome for _, _, outcome, _ in fires} == {"enqueued"}
    assert len({(schedule, fire_at) for schedule, fire_at, *_ in fires}) == len(fires)
    assert {(job_id, schedule) for schedule, _, _, job_id in fires} == set(jobs)
