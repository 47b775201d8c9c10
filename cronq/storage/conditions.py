"""Write the SQL condition and order of a selection of jobs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cronq.model.job import State
from cronq.storage import failure_groups
from cronq.storage.sql.reads import recent_ids
from cronq.times import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cronq.model.selection import Selection
    from cronq.storage.tables import Tables

_LAST_EVENT = "coalesce(finished_at, started_at, created_at)"
_SEARCHED = ("task", "queue", "job_key", "job_group", "error_class", "error_message")
_SORTED = {
    "id": "id",
    "state": "state",
    "queue": "queue",
    "task": "task",
    "priority": "priority",
    "attempts": "attempt",
    "created": "created_at",
    "due": "available_at",
    "started": "started_at",
    "ended": "finished_at",
    "when": _LAST_EVENT,
    "duration": "finished_at - started_at",
    "memory": "peak_memory",
}


def fingerprints(selection: Selection) -> frozenset[str]:
    """Return the fingerprints among the errors of a selection."""
    return frozenset(filter(failure_groups.is_fingerprint, selection.errors))


def where(selection: Selection, tables: Tables) -> tuple[str, list[Any]]:
    """Return the condition of a selection and its parameters; fingerprints must be compared by the caller."""
    terms, parameters = ["1 = 1"], list[Any]()
    for add in (_add_lists, _add_batches, _add_times, _add_text):
        add(selection, tables, terms, parameters)
    if fingerprints(selection):
        terms.append("error_class IS NOT NULL")
    return " AND ".join(terms), parameters


def _add_lists(selection: Selection, tables: Tables, terms: list[str], parameters: list[Any]) -> None:
    fields: dict[str, Iterable[Any]] = {
        "state": sorted(selection.states),
        "queue": selection.queues,
        "task": selection.tasks,
        "job_group": selection.groups,
        "job_key": selection.keys,
        "error_class": () if fingerprints(selection) else selection.errors,
        "id": selection.ids,
    }
    for column, values in fields.items():
        wanted = list(values)
        if column == "state" and len(wanted) == 1:  # a constant, so that the partial index of that state serves it
            terms.append(f"state = '{State(wanted[0]).value}'")
            if wanted == [State.RUNNING]:
                terms.append("lease_until IS NOT NULL")  # true of all running jobs: the index `held` serves it
        elif wanted:
            terms.append(f"{column} {tables.sql.dialect.in_list}")
            parameters.append(tables.database.many(wanted))


def _add_batches(selection: Selection, tables: Tables, terms: list[str], parameters: list[Any]) -> None:
    if selection.batches:
        names, in_list = tables.sql.names, tables.sql.dialect.in_list
        terms.append(f"id IN (SELECT m.job FROM {names.members} m WHERE m.batch {in_list})")
        parameters.append(tables.database.many(selection.batches))


def _add_times(selection: Selection, tables: Tables, terms: list[str], parameters: list[Any]) -> None:
    if selection.older_than is not None:
        terms.append("coalesce(finished_at, created_at) < ?")
        parameters.append(tables.clock.now() - round(selection.older_than * SECOND))
    if selection.since is not None:
        recent = recent_ids(tables.sql.names)
        terms.append(f"id IN ({recent})")
        parameters += [selection.since] * recent.count("?")
    if selection.until is not None:
        terms.append(f"{_LAST_EVENT} <= ?")
        parameters.append(selection.until)


def _add_text(selection: Selection, tables: Tables, terms: list[str], parameters: list[Any]) -> None:
    if selection.search is None:
        return
    del tables
    plain, quoted = selection.search.lower(), json.dumps(selection.search)[1:-1].lower()
    columns = [*((column, plain) for column in _SEARCHED), ("args", plain), ("args", quoted)]
    either = " OR ".join(f"lower({column}) LIKE ? ESCAPE '!'" for column, _ in columns)
    terms.append(f"({either})")
    parameters += [_anywhere(text) for _, text in columns]


def _anywhere(text: str) -> str:
    escaped = text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"%{escaped}%"


def order(sort: str) -> str:
    """Write the ORDER BY of a sort key, reversed by a `-` before it; NULL comes last."""
    column, way = _SORTED[sort.removeprefix("-")], "DESC" if sort.startswith("-") else "ASC"
    if column == "id":
        return f"id {way}"
    return f"CASE WHEN {column} IS NULL THEN 1 ELSE 0 END, {column} {way}, id DESC"
