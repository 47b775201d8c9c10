"""Run a storm of kill -9 over runners and their children, and read what their jobs record meanwhile."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.integration.running import Queue
from tests.project import COMMAND
from tests.started import Process
from tests.waiting import wait_until

TASKS = """
class Broken(Exception):
    pass


@queue.task
def work(fails=0, seconds=0.0, hopeless=False, snoozes=0):
    job = current_job()
    mark("b", job.id, job.attempt, job.snoozes, time.monotonic_ns())
    time.sleep(seconds)
    mark("e", job.id, job.attempt, job.snoozes, time.monotonic_ns())
    if job.snoozes < snoozes:
        raise Snooze("0.01s")
    if hopeless:
        raise Fail("hopeless")
    if job.attempt - job.crashes <= fails:
        raise Broken(job.attempt)
"""

CONFIG = (
    'notify_after = 100\ncrash_limit = 100\n[retry]\nbase = "0.01s"\ncap = "0.05s"\njitter = 0.0\nmax_attempts = 100\n'
)

LANES = (("--queue", "a"), ("--queue", "b", "--priority", "-49"), ("--queue", "b", "--priority", "50-"))
"""The options by which the three runners claim different jobs. Groups have jobs in all of them."""

TARGETS = ("runner", "child", "child", "both")


class Execution(NamedTuple):
    """The record of one run of a job's code; times in monotonic nanoseconds."""

    job: int
    attempt: int
    snoozes: int
    begun: int
    ended: int | None


class Storm:
    """Three runners that are killed at random moments, and started again."""

    lanes: Sequence[tuple[str, ...]] = LANES
    anew = False
    """Whether each runner is started with a Python of its own instead of as a fork."""

    def __init__(self, queue: Queue, *, seed: int, config: str = "") -> None:
        self.queue = queue
        self.kills: Counter[str] = Counter()
        self.expected: dict[int, str] = {}
        self._random = random.Random(seed)
        self._runners: dict[tuple[str, ...], Process] = {}
        self._log = queue.directory / "stderr"
        self.config = config + CONFIG
        queue.tasks(TASKS, self.config)

    # Jobs

    def enqueue(self, count: int) -> None:
        """Enqueue various jobs, and twins of unique ones that may or may not have ended."""
        app, chance = self.queue.app, self._random
        specs = [self._spec(len(self.expected) + number) for number in range(count)]
        jobs = app.enqueue_many(specs, check=False)
        for job, spec in zip(jobs, specs, strict=True):
            self.expected[job.id] = "failed" if spec["args"]["hopeless"] else "finished"
        for _ in range(count // 25):
            key = f"key-{chance.randrange(50)}"
            twin = app.enqueue("jobs.work", {}, check=False, key=key, unique=True, queue=chance.choice("ab"))
            self.expected.setdefault(twin.id, "finished")

    def _spec(self, number: int) -> dict[str, Any]:
        chance = self._random
        spec: dict[str, Any] = {
            "task": "jobs.work",
            "args": {
                "fails": chance.choice((0, 0, 0, 0, 0, 1, 2)),
                "seconds": chance.choice((0.0, 0.0, 0.001, 0.005)),
                "hopeless": number % 97 == 0,
                "snoozes": chance.choice((0, 0, 0, 0, 0, 0, 0, 1)),
            },
            "queue": chance.choice("aab"),
            "priority": chance.choice((10, 60)),
        }
        if number % 3 == 0:
            spec["group"] = f"group-{chance.randrange(30)}"
        if number % 11 == 0:
            spec["key"] = f"key-{number}"
            spec["unique"] = True
        return spec

    # Runners

    def blow(self, kills: int, jobs: int) -> None:
        """Kill so many times while so many jobs are enqueued."""
        for number in range(kills):
            self.enqueue(jobs * (number + 1) // kills - jobs * number // kills)
            self.strike()

    def strike(self) -> None:
        """Kill one of the runners or their children at a random moment."""
        self._start_missing()
        time.sleep(self._random.uniform(0, 0.1))  # the moment of the kill is what this test is about
        self._kill(self._random.choice(TARGETS))

    def calm_down(self, seconds: float = 60) -> None:
        """Wait for the end of the runners, then run until every job has ended."""
        for process in self._runners.values():
            process.wait(timeout=seconds)
        with self._log.open("ab") as log:
            wait_until(lambda: self._run_once(log), seconds=seconds, what="every job has ended", pause=0.2)

    def _run_once(self, log: Any) -> bool:
        assert self.queue.project.begin(self.command(()), log).wait(300) == 0, self.complaints()
        return not self.queue.rows("state NOT IN ('finished', 'failed', 'cancelled')")

    def command(self, lane: tuple[str, ...]) -> list[str]:
        """Return the command of a run that claims the jobs of the lane."""
        return [*COMMAND, "run", "--jobs", "2", *lane]

    def _start_missing(self) -> None:
        for lane in self.lanes:
            process = self._runners.get(lane)
            status = process.poll() if process else 0
            if process is None or status is not None:
                assert status in (0, -signal.SIGKILL), self.complaints()
                self._runners[lane] = self._start(lane)

    def _start(self, lane: tuple[str, ...]) -> Process:
        with self._log.open("ab") as log:
            return self.queue.project.begin(self.command(lane), log, anew=self.anew)

    def _kill(self, target: str) -> None:
        """Kill a runner, a child of one, or both; a runner that has just started has no children yet."""
        while True:
            process = self._random.choice(self.within_reach())
            children = children_of(process.pid)
            victims = {
                "runner": [process.pid],
                "child": self._random.sample(children, k=min(1, len(children))),
                "both": [process.pid, *children],
            }[target]
            if process.poll() is None and victims:
                break
            self._start_missing()
        self.note(f"kill {target} {victims} of runner {process.pid}")
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.kills[target] += 1

    def note(self, what: str) -> None:
        """Write an event and its time to a file, for the search for a cause."""
        with (self.queue.directory / "events").open("a") as events:
            events.write(f"{time.monotonic_ns()} {what}\n")

    def within_reach(self) -> list[Process]:
        """Return the runners that may be killed now."""
        return list(self._runners.values())

    def stop(self) -> None:
        """Kill all runners."""
        for process in self._runners.values():
            process.kill()
            process.wait()

    # Results

    def complaints(self) -> str:
        """Return the lines that the runners wrote to stderr, but those on jobs that fail for good on purpose."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return "\n".join(line for line in lines if "failed for good" not in line or "hopeless" not in line)

    def executions(self) -> dict[int, list[Execution]]:
        """Return the runs of each job's code, in the order in which they began."""
        begun: dict[tuple[int, int, int], int] = {}
        ended: dict[tuple[int, int, int], int] = {}
        for line in self.queue.recorded():
            what, *numbers = line.split()
            job, attempt, snoozes, instant = map(int, numbers)
            times = begun if what == "b" else ended
            key = job, attempt, snoozes
            assert key not in times, f"attempt {attempt} of job {job} ran twice after {snoozes} snoozes"
            times[key] = instant
        executions = defaultdict(list)
        for key, instant in sorted(begun.items(), key=lambda item: item[1]):
            executions[key[0]].append(Execution(*key, instant, ended.get(key)))
        return executions


def children_of(pid: int) -> list[int]:
    """Return the pids of the processes that this one has started."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
