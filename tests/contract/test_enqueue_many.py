"""Many jobs in one call, with all kinds of texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cronq.store import Store
from cronq.times import Clock
from tests.contract.conftest import engine_queue
from tests.contract.steps import new, put, stored

HOSTILE = ("%", "%%", "%s", "%(x)s", "$1", "?", "'", '"', "\\", ":x", "{}", "\ufffd")
COUNT = 300


@pytest.mark.parametrize("unique", [False, True])
def test_texts_with_the_drivers_signs_are_kept(store: Store, unique: bool) -> None:
    jobs = [
        new(f"{HOSTILE[n % len(HOSTILE)]}{n}", key=f"{n}{HOSTILE[n % len(HOSTILE)]}", unique=unique, priority=n)
        for n in range(COUNT)
    ]
    ids = put(store, *jobs)
    assert ids == sorted(set(ids))
    for n in (*range(len(HOSTILE)), COUNT - 1):
        kept = stored(store, ids[n])
        assert (kept.task, kept.key, kept.priority) == (jobs[n].task, jobs[n].key, n)


def test_postgresql_gets_the_placeholders_of_a_long_insert_numbered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = engine_queue("postgresql", tmp_path)
    import psycopg

    long: list[str] = []

    class Noted(psycopg.RawCursor[Any]):
        """Notes what it executes."""

        def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
            long.append(query)
            return super().execute(query, *args, **kwargs)

    with Store(config, Clock()) as store:
        put(store, new())
        monkeypatch.setattr(psycopg, "RawCursor", Noted)
        put(store, new())
        assert long == []
        put(store, *[new(args=f'{{"n":{n}}}') for n in range(COUNT)])
    [insert] = long
    assert "$1," in insert
    assert "%s" not in insert
