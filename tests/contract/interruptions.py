"""Interrupt calls of a queue at random instants, and record the results that the calls returned before."""

from __future__ import annotations

import ctypes
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from cronq import Cronq
from cronq.config.loader import Config
from cronq.errors import TryLater
from cronq.model.job import Claimed
from cronq.model.selection import Filter
from cronq.store import Lease
from tests.contract.steps import ending, outcome

EVERYTHING = Filter()


class Interrupted(BaseException):
    """An exception like those of Ctrl-C and of cronq's time limit."""


class TooLate(Exception):
    """An exception like those of the time limits of other programs."""


INTERRUPTIONS = (Interrupted, TooLate, TimeoutError)
"""The exceptions that signal handlers raise; the last one is also the network's."""


class Callers:
    """Calls a queue in all ways, again and again, and records what was acknowledged."""

    def __init__(self, config: Config, seed: int) -> None:
        self.queue = Cronq(config)
        self.random = random.Random(seed)
        self.accepted: dict[int, str] = {}
        """The returned ids, each with the word in its job's arguments."""
        self.wrong: list[str] = []
        """Descriptions of wrong answers."""
        self.ended: dict[int, str] = {}
        self.cancelled: set[int] = set()
        self.interrupted: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self._held: list[Claimed] = []
        self._words = 0
        self._ways: list[Callable[[], None]] = [
            self.enqueue, self.enqueue, self.enqueue, self.enqueue_unique, self.enqueue_many, self.enqueue_group,
            self.get, self.wait, self.claim, self.settle, self.retry, self.cancel,
        ]  # fmt: skip

    def word(self) -> str:
        self._words += 1
        return f"{threading.get_ident()}-{self._words}"

    def step(self) -> None:
        """Make one call, chosen at random."""
        way = self.random.choice(self._ways)
        try:
            way()
            self.done[way.__name__] += 1
        except INTERRUPTIONS:
            self.interrupted[way.__name__] += 1

    # The ways

    def enqueue(self) -> None:
        word = self.word()
        self.accepted[self.queue.enqueue("t", {"word": word}, check=False).id] = word

    def enqueue_unique(self) -> None:
        word = self.word()
        self.accepted[self.queue.enqueue("t", {"word": word}, check=False, key=word, unique=True).id] = word

    def enqueue_group(self) -> None:
        word = self.word()
        self.accepted[self.queue.enqueue("t", {"word": word}, check=False, group=self.random.choice("abc")).id] = word

    def enqueue_many(self) -> None:
        words = [self.word() for _ in range(3)]
        jobs = self.queue.enqueue_many([{"task": "t", "args": {"word": word}} for word in words], check=False)
        self.accepted |= {job.id: word for job, word in zip(jobs, words, strict=True)}

    def get(self) -> None:
        for job_id in self._some():
            self._compare(job_id, self.queue.get(job_id))

    def wait(self) -> None:
        for job_id in self._some():
            with suppress(TryLater):
                self._compare(job_id, self.queue.ended(job_id, timeout=0))

    def claim(self) -> None:
        now = self.queue.clock.now()
        lease = Lease("one", now=now, seconds=3600)
        taken = self.queue.store.claim(EVERYTHING, lease, limit=self.random.randrange(1, 6))
        self._held += taken
        for job in taken:
            if job.id in self.accepted and self.accepted[job.id] not in str(job.args):
                self.wrong.append(f"claimed {job.id}: {job.args}, not {self.accepted[job.id]}")

    def settle(self) -> None:
        held = self._held
        self._held = []
        store = self.queue.store
        endings = [ending(job, outcome(store, self.random.choice(["success", "error"]))) for job in held]
        lost = store.settle(endings)
        self.ended |= {e.job.id: e.next.state.value for e in endings if e.job.id not in lost}

    def retry(self) -> None:
        failed = [job_id for job_id, state in self.ended.items() if state == "finished"]
        for job_id in failed[:2]:
            del self.ended[job_id]
            self.queue.retry(job_id)

    def cancel(self) -> None:
        for job_id in self._some():
            if self.queue.cancel(job_id):
                self.cancelled.add(job_id)

    def _some(self) -> list[int]:
        ids = list(self.accepted)
        return self.random.sample(ids, min(2, len(ids)))

    def _compare(self, job_id: int, job: Any) -> None:
        if job is None or job.id != job_id or job.args.get("word") != self.accepted[job_id]:
            self.wrong.append(f"asked for {job_id} ({self.accepted[job_id]}), got {job}")


@contextmanager
def alarms(action: Callable[[], object]) -> Iterator[Callable[[float], object]]:
    """Yield a function that sets SIGALRM's timer to so many seconds, 0 for none; its handler does the action."""

    def ring(_number: int, _frame: object) -> None:
        action()

    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield partial(signal.setitimer, signal.ITIMER_REAL)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def interrupt_steps(callers: Callers, steps: int, longest: float) -> None:
    """Make at least so many calls, each interrupted by a signal after a random time unless it ends before."""
    deadline = time.monotonic() + 60
    done = 0

    def interrupt() -> None:
        raise callers.random.choice(INTERRUPTIONS)

    with alarms(interrupt) as ring:
        while _wanted(callers, done, steps) and time.monotonic() < deadline:
            done += 1
            try:
                ring(max(1e-6, callers.random.random() * longest))
                callers.step()
                ring(0)
            except INTERRUPTIONS:
                callers.interrupted["between"] += 1


def interrupt_thread(callers: Callers, steps: int, longest: float) -> None:
    """Make the calls in a thread, interrupted by exceptions that this thread throws into it."""
    over = threading.Event()

    def work() -> None:
        done = 0
        while _wanted(callers, done, steps):
            try:
                while _wanted(callers, done, steps):
                    done += 1
                    callers.step()
            except INTERRUPTIONS:
                callers.interrupted["between"] += 1
        over.set()

    thread = threading.Thread(target=_until_done, args=(work,))
    thread.start()
    while not over.wait(callers.random.random() * longest):
        error = callers.random.choice(INTERRUPTIONS[:2])
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(error))
    thread.join()


def _wanted(callers: Callers, done: int, steps: int) -> bool:
    """Tell whether more calls are needed: on a busy machine few interruptions hit a call."""
    return done < steps or callers.interrupted.total() <= steps / 10


def _until_done(work: Callable[[], None]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            return work()
        except INTERRUPTIONS:
            continue
    return None
