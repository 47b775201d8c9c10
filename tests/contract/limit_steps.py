"""Define steps of tests on jobs under limits."""

from __future__ import annotations

from typing import Any

from cronq.model.limits import Bounds, Limit
from cronq.store import Store
from tests.contract.steps import new, put, states

SMTP = Limit("smtp", "smtp", Bounds(2))
ONE = Limit("one", "one", Bounds(1))
STRIPE = Limit("stripe", "stripe", Bounds(None, 3, 10_000_000))


def mails(store: Store, number: int, limit: Limit = SMTP, **fields: Any) -> list[int]:
    return put(store, *[new(limit=limit, **fields) for _ in range(number)])


def counts(store: Store, ids: list[int]) -> dict[str, int]:
    found = states(store, ids)
    return {state: found.count(state) for state in sorted(set(found))}


def loose_ends(store: Store) -> int:
    return int(store._tables.query(f"SELECT count(*) FROM {store._sql.names.loose_ends}")[0][0])
