"""Define the statements that insert jobs."""

from __future__ import annotations

from binascii import crc32

from cronq.storage.sql.columns import ENQUEUE_COLUMNS, USUAL_COLUMNS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cronq.storage.sql.dialect import Names

_LOCKS = 0x63726E71
"""The first number of cronq's advisory locks, to distinguish them from those of other programs; ASCII for crnq."""


class EnqueueStatements:
    """The statements that insert jobs; the indexes `unique` and `arrived` serve those that read existing ones."""

    def __init__(self, names: Names) -> None:
        dialect = names.dialect
        columns = (*ENQUEUE_COLUMNS, "enqueue_token") if dialect.has_tokens else ENQUEUE_COLUMNS
        noted = (*columns, "notes")
        self.enqueue, self.enqueue_noted = (_insert(names, listed) for listed in (columns, noted))
        self.enqueue_grouped, self.enqueue_grouped_noted = (_grouped(names, listed) for listed in (columns, noted))
        if dialect.inserts_lists:
            self.enqueue_alike, self.enqueue_alike_noted = (_alike(names, listed) for listed in (columns, noted))
        if not dialect.has_tokens:
            self.enqueue_usual = _insert(names, USUAL_COLUMNS)
        # Served by the index `unique`. On MySQL, the lock finds the twin even if the caller's snapshot is older.
        self.twin = f"SELECT id FROM {names.jobs} WHERE unique_key = ?{dialect.reads_latest}"
        self.twins = f"SELECT unique_key, id FROM {names.jobs} WHERE unique_key {dialect.in_list}"
        # Two calls with the same keys in another order would deadlock, which PostgreSQL detects after a second.
        number = crc32(names.jobs.encode()) - (1 << 31)
        self.lock_keys = dialect.turn(_LOCKS, number)
        if dialect.has_tokens:
            # Served by the index `arrived`.
            self.arrived = (
                f"SELECT id, enqueue_token FROM {names.jobs} WHERE created_at = ? AND enqueue_token BETWEEN ? AND ?"
            )


def _insert(names: Names, columns: Sequence[str], **other: str) -> str:
    return f"INSERT INTO {names.jobs} ({', '.join(columns)}) VALUES ({_values(columns, other)})"


def _grouped(names: Names, columns: Sequence[str]) -> str:
    """Return the INSERT of a job in a group: a ready job becomes blocked if the group is held."""
    held = f"EXISTS (SELECT 1 FROM {names.groups} WHERE name = ?{names.dialect.for_share})"
    state = f"(SELECT CASE WHEN due = 'ready' AND {held} THEN 'blocked' ELSE due END FROM (SELECT ? AS due) d)"
    return _insert(names, columns, state=state)


def _alike(names: Names, columns: Sequence[str]) -> str:
    """Return the INSERT of jobs that differ only in their arguments, in the order of a list of these."""
    alike = _values(columns, {"args": "value"})
    return f"INSERT INTO {names.jobs} ({', '.join(columns)}) SELECT {alike} FROM {names.dialect.list_as_table}"


def _values(columns: Sequence[str], other: Mapping[str, str]) -> str:
    """Return a parameter for each column, or the expression that `other` has for it."""
    return ", ".join(other.get(column, "?") for column in columns)
