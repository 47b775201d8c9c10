"""Accepting jobs."""

from __future__ import annotations

import multiprocessing
import os
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import Session

from cronq.config.loader import Config
from cronq.errors import InvalidInput
from cronq.model.selection import Selection
from cronq.store import Store
from cronq.testing import ManualClock
from cronq.times import Clock
from tests.contract.steps import claim, end, later, new, put, states, stored

EVERYTHING = Selection()


def test_ids_come_in_order_and_every_field_is_kept(store: Store) -> None:
    job = new("mail", args='{"to":"ann"}', queue="q", priority=3, key="k", unique=True, group="g",
              max_attempts=7, time_limit=1.5, event="shot", retry='{"base":1}')  # fmt: skip
    ids = put(store, new(), job, new())
    assert ids == [ids[0], ids[0] + 1, ids[0] + 2]
    kept = stored(store, ids[1])
    assert (kept.task, kept.args, kept.queue, kept.priority, kept.key) == ("mail", {"to": "ann"}, "q", 3, "k")
    assert (kept.unique, kept.group, kept.max_attempts, kept.time_limit) == (True, "g", 7, 1.5)
    assert (kept.event, kept.attempt, kept.created_at, kept.available_at) == (
        "shot",
        0,
        kept.available_at,
        kept.created_at,
    )
    assert claim(store)[0].retry == '{"base":1}'


def test_a_large_batch_has_its_ids_in_order(store: Store) -> None:
    ids = put(store, *(new(f"t{number}") for number in range(2500)))
    assert ids == list(range(ids[0], ids[0] + 2500))
    assert [stored(store, ids[i]).task for i in (0, 1234, 2499)] == ["t0", "t1234", "t2499"]


def test_a_batch_of_jobs_that_differ_in_their_arguments_only(store: Store) -> None:
    texts = ["{}", '{"a":"é \\u0000 \\"quoted\\" \\\\ 😀"}', *(f'{{"n":{number}}}' for number in range(1200))]
    ids = put(store, *(new(args=text, key="k", group="g", time_limit=1.5) for text in texts))
    assert ids == list(range(ids[0], ids[0] + len(texts)))
    assert [stored(store, ids[i]).args for i in (0, 1, 2, -1)] == [
        {},
        {"a": 'é \0 "quoted" \\ 😀'},
        {"n": 0},
        {"n": 1199},
    ]
    last = stored(store, ids[-1])
    assert (last.key, last.group, last.unique, last.time_limit, last.state) == ("k", "g", False, 1.5, "ready")


def test_notes_come_with_new_jobs_and_stay(store: Store, config: Config) -> None:
    notes = '{"otel": {"traceparent": "é"}}'
    kinds: tuple[dict[str, Any], ...] = (
        {},
        {"group": "g"},
        {"key": "k", "unique": True},
        {"key": "k", "unique": True},
        {"time_limit": 1.5},
    )
    one_by_one = [put(store, new("one", notes=notes, **fields))[0] for fields in kinds]
    together = put(store, *(new(f"many{number % 2}", notes=notes) for number in range(3)))
    alike = put(store, *(new("alike", args=f'{{"n":{number}}}', notes=notes) for number in range(3)))
    twins = put(store, *(new(key="k2", unique=True, notes=notes) for _ in range(2)))
    engine = create_engine(config.database)
    with engine.begin() as connection:
        through = [one.id for one in store.enqueue_through(connection, [new(notes=notes), new("u", notes=notes)])]
    engine.dispose()
    for job_id in {*one_by_one, *together, *alike, *twins, *through}:
        assert stored(store, job_id).notes == {"otel": {"traceparent": "é"}}
    assert len({*one_by_one, *together, *alike, *twins, *through}) == 13
    first, second = claim(store)[:2]
    assert first.notes == notes
    end(store, first)
    end(store, second, "error")
    assert stored(store, first.id).notes == stored(store, second.id).notes == {"otel": {"traceparent": "é"}}


def test_no_jobs_is_no_error(store: Store) -> None:
    assert store.enqueue([]) == []


@pytest.mark.parametrize("group", [None, "g"])
def test_a_batch_is_accepted_whole_or_not_at_all(store: Store, group: str | None) -> None:
    bad = new(priority=None)  # a column that must not be empty stands for any failure in the middle
    with pytest.raises(Exception):  # noqa: B017, PT011 - the engine's own
        store.enqueue([new(group=group), bad])
    assert store.jobs.ids(EVERYTHING) == []


def test_initial_states(store: Store) -> None:
    put(store, new(group="held"))
    claim(store)
    ids = put(store, new(), new(available_at=later(store, 1)), new(available_at=later(store, -9)), new(group="held"),
              new(group="held", available_at=later(store, 1)))  # fmt: skip
    assert states(store, ids) == ["ready", "scheduled", "ready", "blocked", "scheduled"]


def test_a_unique_twin_gives_the_existing_id(store: Store) -> None:
    (first,) = store.enqueue([new(key="k", unique=True)])
    again = store.enqueue([new(key="k", unique=True), new(key="k"), new(key="other", unique=True)])
    assert [job.existing for job in again] == [True, False, False]
    assert again[0].id == first.id
    assert len({job.id for job in again}) == 3


def test_twins_in_one_batch(store: Store) -> None:
    one, two = store.enqueue([new(key="k", unique=True, group="g"), new(key="k", unique=True, group="g")])
    assert (one.id, one.existing, two.existing) == (two.id, False, True)


@pytest.mark.parametrize("how", ["finished", "failed", "cancelled"])
def test_a_twin_that_ended_does_not_count(store: Store, how: str) -> None:
    (first,) = put(store, new(key="k", unique=True))
    if how == "cancelled":
        store.admin.cancel([first])
    else:
        end(store, claim(store)[0], *(("success",) if how == "finished" else ("error", "fail")))
    assert states(store, [first]) == [how]
    (second,) = store.enqueue([new(key="k", unique=True)])
    assert second.existing is False
    assert store.jobs.unfinished(["k", "none"]) == {"k"}


@pytest.mark.parametrize("kind", ["retrying", "waiting", "running"])
def test_a_twin_that_will_go_on_counts(store: Store, kind: str) -> None:
    (first,) = put(store, new(key="k", unique=True))
    (job,) = claim(store)
    if kind != "running":
        end(store, job, *(("error",) if kind == "retrying" else ("snoozed", "snooze")), delay=5.0)
    assert states(store, [first]) == [kind]
    assert store.enqueue([new(key="k", unique=True)]) == [(first, True)]


def _enqueue_unique(config: Config, start: object, ids: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    with Store(config, Clock()) as store:
        mine = [new(f"{os.getpid()}.{n}") for n in range(3)]
        ids.put([store.enqueue([new(key="k", unique=True)])[0], *store.enqueue(mine)])  # type: ignore[attr-defined]


def test_eight_processes_agree_on_one_unique_job(config: Config, store: Store) -> None:
    context = multiprocessing.get_context("fork")
    start, ids = context.Barrier(8), context.Queue()
    processes = [context.Process(target=_enqueue_unique, args=(config, start, ids)) for _ in range(8)]
    for process in processes:
        process.start()
    answers = [ids.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert len({answer[0].id for answer in answers}) == 1
    assert sorted(answer[0].existing for answer in answers) == [False] + [True] * 7
    assert len(store.jobs.ids(Selection(keys=("k",)))) == 1
    for _, *batch in answers:
        one, two, three = (stored(store, job.id).task for job in batch)
        assert (one[-2:], two, three) == (".0", one[:-1] + "1", one[:-1] + "2")
        assert batch == sorted(batch)


# In the caller's transaction


def test_a_rollback_leaves_nothing_and_a_commit_everything(config: Config, store: Store) -> None:
    engine = create_engine(config.database)
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE orders (id INTEGER)"))
        connection.execute(text("INSERT INTO orders VALUES (1)"))
        store.enqueue_through(connection, [new()])
        connection.rollback()
        assert store.jobs.ids(EVERYTHING) == []
        one, two = store.enqueue_through(connection, [new(), new(group="g")])
        assert two.id == one.id + 1
        connection.commit()
    assert store.jobs.ids(EVERYTHING) == [one.id, two.id]
    with Session(engine) as session:
        store.enqueue_through(session, [new()])
        session.rollback()
        (three,) = store.enqueue_through(session, [new()])
        session.commit()
    assert store.jobs.ids(EVERYTHING) == [one.id, two.id, three.id]
    engine.dispose()


def test_a_twin_is_seen_within_the_transaction(config: Config, store: Store) -> None:
    engine = create_engine(config.database)
    with engine.begin() as connection:
        one, two = store.enqueue_through(connection, [new(key="k", unique=True)] * 2)
        (three,) = store.enqueue_through(connection, [new(key="k", unique=True)])
    assert (one.existing, two, three) == (False, (one.id, True), (one.id, True))
    assert store.jobs.ids(EVERYTHING) == [one.id]
    engine.dispose()


def test_a_batch_in_a_callers_transaction_is_one_statement_however_many_jobs(config: Config, store: Store) -> None:
    engine = create_engine(config.database)
    jobs = [new(task=f"t{number % 2}", group="g" if number == 3 else None) for number in range(5)]
    counts = []
    with engine.begin() as connection:
        store.enqueue_through(connection, jobs[:1])
        for batch in (jobs[:1], jobs * 100):
            said: list[str] = []

            def note(_c: object, _k: object, statement: str, *_: object, said: list[str] = said) -> None:
                said.append(statement)

            event.listen(connection, "before_cursor_execute", note)
            enqueued = store.enqueue_through(connection, batch)
            event.remove(connection, "before_cursor_execute", note)
            counts.append(len(said))
    assert counts[1] <= counts[0] + 2
    assert [stored(store, job.id).task for job in enqueued] == [f"t{number % 5 % 2}" for number in range(500)]
    assert sorted(job.id for job in enqueued) == [job.id for job in enqueued]
    engine.dispose()


def test_a_connection_to_another_database_is_refused(store: Store) -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(InvalidInput, match="but the jobs are in"):
        store.enqueue_through(connection, [new()])
    engine.dispose()


def test_ids_are_not_used_again(store: Store, clock: ManualClock) -> None:
    (first,) = put(store, new())
    end(store, claim(store)[0])
    clock.advance(1)
    assert list(store.admin.clear(["finished"])) == [1]
    assert put(store, new()) == [first + 1]
