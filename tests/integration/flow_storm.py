"""Run a storm over chains, batches and limits, with a ledger of starts that the database itself keeps."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from cronq.model.after import AFTER, AFTER_END, AFTER_FAILURE
from cronq.model.job import NewJob
from cronq.storage.drivers.opening import open_database
from tests.integration.running import Queue
from tests.integration.storm import LANES, TASKS, Storm
from tests.project import COMMAND
from tests.scale import FULL

PLACES = {"one": 1, "three": 3, "ten": 10}
RATE, STARTS, PERIOD = "often", 30, 2.0
LIMITS = f"""\
limits.one = 1
limits.three = 3
limits.ten = 10
limits.{RATE} = {{ rate = "{STARTS}/{PERIOD:g}s" }}
"""
CHOICES = ("one", "three", "three", "ten", "ten", "ten", RATE, None, None, None)
SIBLINGS = """

@queue.task
def grow(more):
    job = current_job()
    mark("b", job.id, job.attempt, job.snoozes, time.monotonic_ns())
    job.batch.add({"task": "jobs.work", "args": {}, "limit": "three"} for _ in range(more))
    mark("e", job.id, job.attempt, job.snoozes, time.monotonic_ns())
"""
LARGEST = 500
"""Maximum number of members of a batch."""

OF_THE_KILLED = (": rescued ", ": gave back ", "has died and is started again")
"""Words in a worker's messages about killed processes whose jobs it has taken care of."""

CALLBACKS = {"on_success": AFTER, "on_failure": AFTER_FAILURE, "on_end": AFTER_END}

TAKEN = (
    "SELECT l.limit_name, count(*) FROM cronq_limited l JOIN cronq_jobs j ON j.id = l.job_id"
    " WHERE j.state IN ('ready', 'running') GROUP BY l.limit_name"
)


class FlowStorm(Storm):
    """A storm of three runners and a worker over chains, batches and single jobs, most of them under limits."""

    anew = FULL

    def __init__(self, queue: Queue, *, seed: int, hosts: tuple[str, ...] = ("cronq",)) -> None:
        kinds = [("run", *lane) for lane in LANES] + [("work", "--idle-exit", "2s", "--poll", "0.5s")]
        self.lanes = [(hosts[number % len(hosts)], *kind) for number, kind in enumerate(kinds)]
        self._hosts = hosts
        self.batches: dict[int, dict[str, int]] = {}
        """The callbacks of each batch, by kind."""
        self.failing: set[int] = set()
        """The batches with a member that fails for good."""
        super().__init__(queue, seed=seed, config=LIMITS)
        queue.tasks(TASKS + SIBLINGS, self.config)
        queue.app.store.prepare()

    def command(self, lane: tuple[str, ...]) -> list[str]:
        host, *words = lane or (self._random.choice(self._hosts), "run")
        return [*COMMAND, "--config", f"{host}.toml", *words, "--jobs", "2"]

    def enqueue(self, count: int) -> None:
        """Enqueue about so many jobs: chains, batches and single jobs."""
        target = len(self.expected) + count
        while (left := target - len(self.expected)) > 0:
            make = self._random.choice((self._chain, self._chain, self._batch, self._open_batch, self._singles))
            make(left)

    def _singles(self, left: int) -> None:
        specs = [self._spec(len(self.expected) + number) for number in range(min(left, 10))]
        for job, spec in zip(self.queue.app.enqueue_many(specs, check=False), specs, strict=True):
            self.expected[job.id] = _end(spec)

    def _chain(self, _: int) -> None:
        """Enqueue 3 to 10 jobs, each after the one before it."""
        specs = [self._spec(self._random.randrange(97 * 8)) for _ in range(self._random.randint(3, 10))]
        kinds = [self._random.choice((AFTER, AFTER, AFTER, AFTER_END, AFTER_FAILURE)) for _ in specs]
        for number, spec in enumerate(specs):
            spec["ref"] = f"job-{number}"
            if number:
                spec[kinds[number]] = f"job-{number - 1}"
        before = ""
        for job, spec, kind in zip(self.queue.app.enqueue_many(specs, check=False), specs, kinds, strict=True):
            before = self.expected[job.id] = _end(spec) if not before or _is_met(kind, before) else "cancelled"

    def _batch(self, left: int) -> None:
        """Enqueue a batch of 1 to 500 with its callbacks, in one transaction."""
        specs = self._members(left)
        callbacks: Any = {what: self._job({"limit": "ten"}) for what in CALLBACKS}
        with self.queue.app.batch("whole", **callbacks) as batch:
            batch.add(self._job(dict(spec)) for spec in specs)
        members = self.queue.sql("SELECT job FROM cronq_members WHERE batch = ? ORDER BY job", batch.id)
        after = self.queue.sql("SELECT kind, child FROM cronq_edges WHERE parent = ?", -batch.id)
        self._note_batch(batch.id, [job for (job,) in members], specs, dict(after))

    def _job(self, spec: dict[str, Any]) -> NewJob:
        spec.pop("task", None)
        return self.queue.app.enqueuer.prepare("jobs.work", spec.pop("args", {}), spec, check=False)

    def _open_batch(self, left: int) -> None:
        """Enqueue a batch that grows while its members run: in parts, and by one of its members."""
        app, specs = self.queue.app, self._members(left)
        batch = app.open_batch("in parts")
        jobs = [app.enqueue("jobs.grow", {"more": 3}, check=False, batch=batch)]
        after = {
            kind: app.enqueue_many([{"task": "jobs.work", kind: f"batch:{batch.id}"}], check=False)[0].id
            for kind in CALLBACKS.values()
        }
        for start in range(0, len(specs), 20):
            jobs += app.enqueue_many([{**spec, "batch": batch.id} for spec in specs[start : start + 20]], check=False)
            if start % 100 == 0:
                self._start_missing()
        batch.close()
        grow: dict[str, Any] = {"args": {"hopeless": False}}
        self._note_batch(batch.id, [job.id for job in jobs], [grow, *specs], after)

    def _members(self, left: int) -> list[dict[str, Any]]:
        size = min(round(LARGEST ** self._random.random()), max(1, left))
        return [self._spec(self._random.randrange(97 * 8)) for _ in range(size)]

    def _note_batch(self, batch: int, jobs: list[int], specs: list[dict[str, Any]], after: dict[str, int]) -> None:
        ends = [_end(spec) for spec in specs]
        self.expected.update(zip(jobs, ends, strict=True))
        self.batches[batch] = after
        outcome = "failed" if "failed" in ends else "finished"
        if outcome == "failed":
            self.failing.add(batch)
        for kind, job in after.items():
            self.expected[job] = "finished" if _is_met(kind, outcome) else "cancelled"

    def _spec(self, number: int) -> dict[str, Any]:
        spec = super()._spec(number)
        for name in ("key", "unique"):
            spec.pop(name, None)
        return {**spec, "limit": self._random.choice(CHOICES)}

    def complaints(self) -> str:
        """Return those of a storm, without a worker's messages about killed processes."""
        lines = super().complaints().splitlines()
        return "\n".join(line for line in lines if not any(word in line for word in OF_THE_KILLED))

    def expect_siblings(self) -> None:
        """Expect the jobs that members have added, too: more if a member was killed after it had added some."""
        for job, batch in self.queue.sql("SELECT job, batch FROM cronq_members"):
            assert batch in self.batches
            self.expected.setdefault(job, "finished")


def _end(spec: dict[str, Any]) -> str:
    return "failed" if spec["args"]["hopeless"] else "finished"


def _is_met(kind: str, before: str) -> bool:
    return {AFTER: before == "finished", AFTER_END: True, AFTER_FAILURE: before == "failed"}[kind]


# What the database itself writes down

_TURNS = "(OLD.lease_until IS NULL) <> (NEW.lease_until IS NULL)"
_ROW = "(job_id, started, at) VALUES (NEW.id, NEW.lease_until IS NOT NULL, NEW.started_at)"
LEDGER = {
    "sqlite": (
        "CREATE TABLE ledger (id INTEGER PRIMARY KEY, job_id BIGINT, started BOOLEAN, at BIGINT,"
        " seen INTEGER DEFAULT 0)",
        f"CREATE TRIGGER ledger AFTER UPDATE OF lease_until ON cronq_jobs WHEN {_TURNS}"
        f" BEGIN INSERT INTO ledger {_ROW}; END",
    ),
    "mysql": (
        "CREATE TABLE ledger (id BIGINT AUTO_INCREMENT PRIMARY KEY, job_id BIGINT, started BOOLEAN, at BIGINT,"
        " seen DATETIME(6))",
        f"CREATE TRIGGER ledger AFTER UPDATE ON cronq_jobs FOR EACH ROW BEGIN IF {_TURNS} THEN"
        f" INSERT INTO ledger {_ROW.replace(', at)', ', at, seen)')[:-1]}, SYSDATE(6)); END IF; END",
    ),
    "postgresql": (
        "CREATE TABLE ledger (id BIGSERIAL PRIMARY KEY, job_id BIGINT, started BOOLEAN, at BIGINT,"
        " seen TIMESTAMP DEFAULT clock_timestamp())",
        "CREATE FUNCTION ledger() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$BEGIN INSERT INTO ledger {_ROW}; RETURN NULL; END$$",
        f"CREATE TRIGGER ledger AFTER UPDATE ON cronq_jobs FOR EACH ROW WHEN ({_TURNS}) EXECUTE FUNCTION ledger()",
    ),
}
_GONE = {
    "sqlite": ("DROP TRIGGER ledger", "DROP TABLE ledger"),
    "mysql": ("DROP TRIGGER ledger", "DROP TABLE ledger"),
    "postgresql": ("DROP TRIGGER ledger ON cronq_jobs", "DROP FUNCTION ledger", "DROP TABLE ledger"),
}


@contextmanager
def kept_ledger(queue: Queue) -> Iterator[None]:
    """Have the database record each start and end of a lease, by any process."""
    database = open_database(queue.app.config)
    for statement in LEDGER[database.family]:
        database.execute(statement)
    try:
        yield
    finally:
        for statement in _GONE[database.family]:
            database.execute(statement)
        database.close()


@contextmanager
def sampled(queue: Queue) -> Iterator[Counter[str]]:
    """Query the places all the time; yield a counter of the most that were taken under each limit."""
    most: Counter[str] = Counter()
    over = threading.Event()
    database = open_database(queue.app.config)

    def look() -> None:
        while not over.wait(0.05):
            for name, taken in database.query(TAKEN):
                most[name] = max(most[name], taken)
        database.close()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join(60)


def most_at_once(queue: Queue) -> Counter[str]:
    """Return, by limit, the most leases that there were at the same time, according to the ledger."""
    held: dict[str, set[int]] = defaultdict(set)
    most: Counter[str] = Counter()
    limits: dict[int, str] = dict(queue.sql("SELECT job_id, limit_name FROM cronq_limited"))
    for job, started in queue.sql("SELECT job_id, started FROM ledger ORDER BY seen, id"):
        change = partial(set.add if started else set.discard, held[limits.get(job, "")])
        change(job)
        most[limits.get(job, "")] = max(most[limits.get(job, "")], len(held[limits.get(job, "")]))
    return most


def starts_under_the_rate(queue: Queue) -> list[int]:
    """Return the instants at which jobs under the rate were claimed, without claims that were given back unstarted."""
    begun: dict[int, list[int]] = defaultdict(list)
    sql = (
        "SELECT g.job_id, g.started, g.at FROM ledger g JOIN cronq_limited l ON l.job_id = g.job_id"
        " WHERE l.limit_name = ? ORDER BY g.seen, g.id"
    )
    for job, started, at in queue.sql(sql, RATE):
        if started:
            begun[job].append(at)
        elif at is None:
            begun[job].pop()
    return sorted(at for starts in begun.values() for at in starts)
