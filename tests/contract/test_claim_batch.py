"""After any operations in any order the tables are consistent and all jobs can be run.

Two workers claim, end, give back and die; people cancel, retry and clear; time passes.
After each step the rows are held against what must always be true.
"""

from __future__ import annotations

import itertools
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from cronq.config.loader import Config
from cronq.model.job import ENDED, FUTURE, Claimed, NewJob, State
from cronq.model.outcome import Settlement
from cronq.model.retry import Policy
from cronq.storage.drivers.opening import open_database
from cronq.storage.schema import tables
from cronq.store import Store
from cronq.testing import ManualClock
from tests import ready_database, servers
from tests.contract.conftest import ENGINES, engine_queue
from tests.contract.steps import claim, ending, later, outcome
from tests.scale import times

GROUPS = [None, "release", "hold"]
KEYS = [None, "a", "b"]
WORKERS = ["one", "two"]
FAILURES = [("error", ""), ("error", "fail"), ("snoozed", "snooze"), ("", "skip"), ("crashed", "release")]

COLUMNS = {name: list(table.columns.keys()) for name, table in tables("cronq_").tables.items()}

Row = dict[str, Any]


def policy(group: str | None) -> Policy:
    return Policy(jitter=0.0, group_on_failed="hold" if group == "hold" else "release")


class Worker:
    """A runner with one child: what it has in hand, in order, and what ended without being settled yet."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.hand: list[Claimed] = []
        self.ended: list[Settlement] = []

    def behind(self, job: Claimed) -> list[Claimed]:
        """What follows the job in its group."""
        if job.group is None:
            return []
        return [one for one in self.hand if one.group == job.group and one.token == job.token and one is not job]

    def heads(self) -> list[Claimed]:
        """What may start: the first of each group, and all that have none."""
        first: dict[str, Claimed] = {}
        for job in self.hand:
            first.setdefault(job.group or f"alone {job.id}", job)
        return list(first.values())


class Queue(RuleBasedStateMachine):
    """The store beside a model of what each job must look like."""

    engine = "sqlite"

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.config: Config = engine_queue(self.engine, Path(self.directory.name))
        self.config = self.config.with_values("the test", synchronous="normal")
        if path := self.config.sqlite_path():
            ready_database.make(Path(path))
        self.clock = ManualClock()
        self.store = Store(self.config, self.clock)
        self.store.prepare()
        self.workers = {name: Worker(name) for name in WORKERS}
        self.attempts: dict[int, int] = {}
        self.spent: dict[int, int] = defaultdict(int)

    def teardown(self) -> None:
        try:
            self.drain()
        finally:
            self.store.close()
            self.directory.cleanup()

    # What happens

    @rule(
        group=st.sampled_from(GROUPS),
        key=st.sampled_from(KEYS),
        priority=st.sampled_from([1, 2]),
        delay=st.sampled_from([0, 0, 0, 30]),
    )
    def enqueue(self, group: str | None, key: str | None, priority: int, delay: int) -> None:
        due = later(self.store, delay) if delay else None
        job = NewJob(
            "t", priority=priority, available_at=due, key=key, unique=key is not None, group=group, max_attempts=2
        )
        twins = [row["id"] for row in self.rows() if row["unique_key"] == key and key is not None]
        (new,) = self.store.enqueue([job])
        assert new.existing == bool(twins)
        assert not twins or twins == [new.id]
        self.attempts.setdefault(new.id, 0)

    @rule(count=st.integers(1, 6), group=st.sampled_from(GROUPS))
    def enqueue_many(self, count: int, group: str | None) -> None:
        new = self.store.enqueue([NewJob("t", group=group, max_attempts=2)] * count)
        assert [one.id for one in new] == list(range(new[0].id, new[0].id + count))
        self.attempts.update(dict.fromkeys((one.id for one in new), 0))

    @rule(name=st.sampled_from(WORKERS), limit=st.integers(1, 6))
    def claim(self, name: str, limit: int) -> None:
        before = {row["id"]: row for row in self.rows()}
        holders = self.holders()
        taken = claim(self.store, limit, worker=name)
        for job in taken:
            self.attempts[job.id] += 1
        self.workers[name].hand += taken
        self.check_order([before[job.id] for job in taken], before, holders)
        leftover = [i for i, row in before.items() if row["state"] == "ready" and i not in {j.id for j in taken}]
        assert len(taken) <= limit
        assert taken or not [i for i in leftover if self.row(i)["state"] == "ready"]

    @rule(name=st.sampled_from(WORKERS), data=st.data())
    def succeed(self, name: str, data: st.DataObject) -> None:
        worker = self.workers[name]
        if worker.hand:
            job = data.draw(st.sampled_from(worker.heads()))
            worker.hand.remove(job)
            kind = data.draw(st.sampled_from(["success", "warning"]))
            worker.ended.append(ending(job, outcome(self.store, kind), policy(job.group)))

    @rule(name=st.sampled_from(WORKERS), how=st.sampled_from(FAILURES), data=st.data())
    def fail(self, name: str, how: tuple[str, str], data: st.DataObject) -> None:
        worker = self.workers[name]
        if worker.hand:
            job = data.draw(st.sampled_from(worker.heads()))
            followers = worker.behind(job)
            worker.hand = [one for one in worker.hand if one is not job and one not in followers]
            ended = outcome(self.store, *how, delay=10.0 if how[1] == "snooze" else None)
            worker.ended.append(ending(job, ended, policy(job.group)))
            self.settle(name)
            self.give_back(followers)

    @rule(name=st.sampled_from(WORKERS))
    def settle(self, name: str) -> None:
        worker = self.workers[name]
        ended, worker.ended = worker.ended, []
        assert self.store.settle(ended) == []
        for one in ended:
            if not one.next.spent:
                self.attempts[one.job.id] -= 1
        if ended:
            assert self.store.settle(ended) == [], "a second time is no loss"

    @rule(name=st.sampled_from(WORKERS), data=st.data())
    def recall(self, name: str, data: st.DataObject) -> None:
        worker = self.workers[name]
        if worker.hand:
            job = data.draw(st.sampled_from(worker.heads()))
            back = [job, *worker.behind(job)]
            worker.hand = [one for one in worker.hand if one not in back]
            if data.draw(st.booleans()):
                self.settle(name)
            self.give_back(back)

    @rule(name=st.sampled_from(WORKERS), known=st.booleans(), data=st.data())
    def die_and_be_rescued(self, name: str, known: bool, data: st.DataObject) -> None:
        """With its journal, one job at most was cut off; without, it isn't known which had begun."""
        worker = self.workers[name]
        forgotten = worker.ended if data.draw(st.booleans()) and not known else []
        worker.ended = [] if forgotten else worker.ended
        self.settle(name)
        held = [held.job for held in self.store.leases.held_by(name)]
        assert {job.id for job in held} == {j.id for j in worker.hand} | {s.job.id for s in forgotten}
        begun = worker.heads()[:1] if known else held
        holders = self.holders()
        crashed = [ending(job, outcome(self.store, "crashed", "rescue"), policy(job.group)) for job in begun]
        assert self.store.settle(crashed) == []
        for job in begun:
            if holders.get(job.group or "") == job.id and self.row(job.id)["state"] not in ENDED:
                assert self.holders()[job.group or ""] == job.id
        ids = {job.id for job in begun}
        self.give_back([job for job in held if job.id not in ids])
        stale = [ending(job, outcome(self.store)) for job in worker.hand]
        assert len(self.store.settle(stale)) == len(stale), "the dead one's own word comes too late"
        worker.hand.clear()

    @rule(seconds=st.sampled_from([5, 60, 120]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.store.leases.promote(self.clock.now())

    @rule(data=st.data(), verb=st.sampled_from(["cancel", "retry"]))
    @precondition(lambda self: self.attempts)
    def steer(self, data: st.DataObject, verb: str) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.attempts)))
        row = self.row(job_id)
        if verb == "cancel":
            wanted = row["state"] not in {"running", "finished", "cancelled"} and row["lease_until"] is None
            assert self.store.admin.cancel([job_id]) == ([job_id] if wanted else [])
            return
        twin = row["is_unique"] and any(r["unique_key"] == row["job_key"] for r in self.rows())
        if row["state"] in ENDED and not twin:
            assert self.store.admin.retry([job_id]) == [job_id]
            self.spent[job_id] += self.attempts[job_id]
            self.attempts[job_id] = 0

    @rule(which=st.sampled_from(sorted(ENDED)))
    def clear(self, which: State) -> None:
        self.clock.advance(1)
        before = {row["id"] for row in self.rows()}
        count = sum(self.store.admin.clear([which]))
        gone = before - {row["id"] for row in self.rows()}
        assert len(gone) == count
        for job_id in gone:
            del self.attempts[job_id]

    # What must be true after each step

    @invariant()
    def the_rows_are_sound(self) -> None:
        """All of it from one look, which takes longer than the step."""
        rows, holders = self.rows(), self.holders()
        by_id = {row["id"]: row for row in rows}
        for group, members in in_groups(rows).items():
            one_runs_in_a_group_and_it_is_the_holder(members, holders.get(group))
            each_blocked_job_has_a_holder(members, by_id.get(holders.get(group, 0)))
        for group, holder in holders.items():
            a_holder_is_there_and_has_reason_to_hold(group, by_id[holder])
        self.rows_agree_with_the_model(rows)

    def rows_agree_with_the_model(self, rows: list[Row]) -> None:
        assert {row["id"] for row in rows} == set(self.attempts)
        in_hand = {j.id for w in self.workers.values() for j in (*w.hand, *(s.job for s in w.ended))}
        for row in rows:
            ended = row["state"] in ENDED
            assert row["attempt"] == self.attempts[row["id"]], row
            assert row["spent_before"] == self.spent[row["id"]], row
            assert (row["finished_at"] is not None) == ended
            assert row["unique_key"] == (row["job_key"] if row["is_unique"] and not ended else None)
            assert (row["lease_until"] is not None) == (row["id"] in in_hand)
            assert row["state"] not in FUTURE or row["lease_until"] is None

    # Looking

    def give_back(self, jobs: list[Claimed]) -> None:
        self.store.release(jobs)
        for job in jobs:
            self.attempts[job.id] -= 1

    def rows(self) -> list[Row]:
        return self.select("cronq_jobs", "ORDER BY id")

    def row(self, job_id: int) -> Row:
        return self.select("cronq_jobs", f"WHERE id = {job_id}")[0]

    def holders(self) -> dict[str, int]:
        return {row["name"]: row["job_id"] for row in self.select("cronq_groups")}

    def select(self, table: str, which: str = "") -> list[Row]:
        if not hasattr(self, "_looking"):
            self._looking = open_database(self.config)
        names = COLUMNS[table]
        rows = self._looking.query(f"SELECT {', '.join(names)} FROM {table} {which}")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def check_order(self, taken: list[Row], before: dict[int, Row], holders: dict[str, int]) -> None:
        """In a group the holder comes first, then the others in the order of the line."""
        chosen = {row["id"] for row in taken}
        for group in {row["job_group"] for row in taken} - {None}:
            mine = [row["id"] for row in taken if row["job_group"] == group]
            due = [r for r in before.values() if r["job_group"] == group and r["state"] in {"ready", "blocked"}]
            line = [row["id"] for row in sorted(due, key=_place)]
            if group in holders:
                line = line[line.index(holders[group]) :]
            assert mine == line[: len(mine)], (group, mine, line)
        alone = [row for row in taken if row["job_group"] is None]
        rest = [r for r in before.values() if r["state"] == "ready" and not r["job_group"] and r["id"] not in chosen]
        assert not alone or not rest or _place(alone[-1]) < min(map(_place, rest))

    def drain(self) -> None:
        """Everything that is left can be worked off."""
        for worker in self.workers.values():
            self.settle(worker.name)
            back, worker.hand = worker.hand, []
            self.give_back(back)
        for _ in range(200):
            self.clock.advance(3600)
            self.store.leases.promote(self.clock.now())
            failed = [holder for holder in self.holders().values() if self.row(holder)["state"] == "failed"]
            for job_id in failed:
                self.store.admin.cancel([job_id])
            taken = claim(self.store, 100)
            if not taken and not failed:
                break
            assert self.store.settle([ending(job, outcome(self.store)) for job in taken]) == []
        assert {row["state"] for row in self.rows()} <= ENDED
        assert self.holders() == {}
        self._looking.close()


def in_groups(rows: list[Row]) -> dict[str, list[Row]]:
    members = sorted((row for row in rows if row["job_group"]), key=lambda row: row["job_group"])
    return {name: list(mine) for name, mine in itertools.groupby(members, lambda row: str(row["job_group"]))}


def one_runs_in_a_group_and_it_is_the_holder(members: list[Row], holder: int | None) -> None:
    running = [row["id"] for row in members if row["state"] == "running"]
    assert len(running) <= 1
    assert running in ([], [holder])


def each_blocked_job_has_a_holder(members: list[Row], holder: Row | None) -> None:
    blocked = [row for row in members if row["state"] == "blocked"]
    ready = [row for row in members if row["state"] == "ready"]
    assert not blocked or ready or holder
    for row in blocked:
        if row["lease_until"] is not None:
            assert holder is not None
            assert (holder["token"], holder["state"]) == (row["token"], "running")


def a_holder_is_there_and_has_reason_to_hold(group: str, row: Row) -> None:
    assert row["job_group"] == group
    allowed = {"running", "ready", "retrying", "waiting"} | ({"failed"} if group == "hold" else set())
    assert row["state"] in allowed, row


def _place(row: Row) -> tuple[int, int, int]:
    return row["priority"], row["available_at"], row["id"]


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_the_line_stays_sound(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if engine != "sqlite":
        servers.require(engine)  # here, for a skip in the middle of a step would leave its files behind
    monkeypatch.setattr(Queue, "engine", engine)
    run_state_machine_as_test(
        Queue,
        settings=settings(
            max_examples=times(20, full=60) if engine == "sqlite" else times(4, full=20), stateful_step_count=40,
            deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
