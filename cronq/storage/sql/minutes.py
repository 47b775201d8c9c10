"""Define the statements on the number of attempts that ended in each minute."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.sql.dialect import Names

RAW, BY_MINUTE, BY_HOUR, ALL = range(4)
"""The kinds of rows: of one runner, or of all runners for a minute, for an hour, and for all older time."""

COUNTED = ("finished", "failed", "retrying", "cancelled")
"""The states of a job at the end of an attempt that are counted, each in a column of its name."""


class MinuteStatements:
    """The statements on the counts of ended attempts, served by the primary key."""

    def __init__(self, names: Names) -> None:
        minutes, figures = names.minutes, ", ".join(COUNTED)
        place = "kind = ? AND minute = ? AND queue = ? AND source = ?"
        self.add = f"INSERT INTO {minutes} (kind, minute, queue, source, {figures}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        self.oldest = f"SELECT min(minute) FROM {minutes} WHERE kind = ?"
        self.to_fold = (
            f"SELECT minute, queue, source, {figures} FROM {minutes} WHERE kind = ? AND minute < ?"
            " ORDER BY minute, queue, source LIMIT ?"
        )
        self.remove = f"DELETE FROM {minutes} WHERE {place}"
        added = ", ".join(f"{one} = {one} + ?" for one in COUNTED)
        self.raise_by = f"UPDATE {minutes} SET {added} WHERE {place}"
        sums = ", ".join(f"sum({one})" for one in COUNTED)
        self.since = (
            f"SELECT queue, minute, {sums} FROM {minutes} WHERE kind IN ({RAW}, {BY_MINUTE}) AND minute >= ?"
            " GROUP BY queue, minute"
        )
        self.totals = f"SELECT queue, {sums} FROM {minutes} GROUP BY queue ORDER BY queue"
