"""Claim a batch of jobs: those that may run, and those that follow one of them in its group."""

from __future__ import annotations

from functools import partial
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from cronq.model.claimed_job import Claimed
from cronq.storage.drivers.database import Conflict
from cronq.storage.sql.columns import claim_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from random import Random
    from typing import Any

    from cronq.model.selection import Filter
    from cronq.storage.claim_one import Lease
    from cronq.storage.drivers.database import Transaction
    from cronq.storage.sql.statements import Statements
    from cronq.storage.tables import Tables

T = TypeVar("T")
_Key = tuple[int, int, int, "str | None"]
"""A candidate: priority, available_at and id, which determine the claim order, and the group."""


class Wanted(NamedTuple):
    """The jobs that a claim is to take: those of these queues that the filter admits, up to `limit`."""

    queues: Sequence[str]
    filter: Filter
    limit: int


class Chosen(NamedTuple):
    """The chosen jobs: ids that may run, and ids that follow one of them in its group."""

    running: list[int]
    following: list[int]
    grouped: frozenset[int] = frozenset()
    """The ids that have a group: they are claimed together or not at all."""
    again: bool = False
    """Whether no job was chosen, but some were blocked: the transaction must be committed, and the choice repeated."""


class BatchClaim:
    """Chooses jobs in the transaction of one claim.

    `share` selects the part of the candidates for this claim while several runners claim at once.
    """

    def __init__(
        self, tx: Transaction, sql: Statements, wanted: Wanted, *, many: Callable[[Iterable[Any]], Any], share: Slices
    ) -> None:
        self._tx = tx
        self._sql = sql
        self._wanted = wanted
        self._many = many
        self._share = share
        self._locked: set[str] = set()

    def choose(self) -> Chosen:
        """Choose the jobs to claim; stores the holders of their groups, and blocks the other jobs in these groups."""
        chosen = self._select()
        if self._locked:
            self._tx.execute(self._sql.groups.unlock_groups, (self._many(sorted(self._locked)),))
        return chosen

    def _select(self) -> Chosen:
        while True:
            candidates = self._candidates()
            found = {key[3] for key in candidates if key[3] is not None}
            groups = sorted(group for group in found if type(group) is str)
            if len(groups) < len(found):  # rows written by hand in a SQLite file: these can't be claimed
                candidates = [key for key in candidates if key[3] is None or key[3] in groups]
            if not groups:
                return Chosen([key[2] for key in candidates], [])
            holders = self._holders(groups)
            candidate_ids = {key[2] for key in candidates}
            held = [group for group, holder in holders.items() if holder not in candidate_ids]
            if not held:
                return self._hold_groups(candidates, holders)
            for group in held:
                self._tx.execute(self._sql.groups.block, (group, self._many([holders[group]])))
            if self._sql.dialect.locks_groups:
                # Groups may not be locked after jobs, or two claims could deadlock.
                return Chosen([], [], again=True)

    def _holders(self, groups: list[str]) -> dict[str, int]:
        # On a server, groups are locked before jobs, held or not, in the order of names, so that claims don't deadlock.
        if self._sql.dialect.locks_groups:
            self._tx.execute(self._sql.groups.lock_groups(len(groups)), groups)
            self._locked.update(groups)
        found = self._tx.query(self._sql.groups.holders, (self._many(groups),))
        return {name: holder for name, holder in found if holder}

    def _candidates(self) -> list[_Key]:
        queues, wanted, limit = self._wanted
        candidates: list[_Key] = []
        for queue in queues:
            candidates += self._tx.query(
                self._sql.claim.candidates, (queue, wanted.lowest, wanted.highest, limit * self._share.slices)
            )
        return self._share.of(_in_order(candidates, _of_key) if len(queues) > 1 else candidates, limit)

    def _hold_groups(self, candidates: list[_Key], holders: dict[str, int]) -> Chosen:
        keys = [key for key in candidates if key[3] is None]
        heads: dict[str, _Key] = {}
        for group, members in _by_group(candidates).items():
            members = _in_order({*members, *self._members(group)}, _of_key)
            holder = holders.get(group, members[0][2])
            heads[group] = next(key for key in members if key[2] == holder)
            # A holder that was retried may be behind other members: it is claimed alone, and these later.
            keys += members if members[0] == heads[group] else [heads[group]]
        chosen = _in_order(keys, _of_key)[: self._wanted.limit]
        picked = {key[2] for key in chosen}
        held = {group: head for group, head in heads.items() if head[2] in picked}
        chosen = [key for key in chosen if key[3] is None or key[3] in held]
        everyone = self._many([key[2] for key in chosen])
        for group, head in sorted(held.items()):
            if group not in holders:
                self._tx.execute(self._sql.groups.hold, (group, head[2]))
            self._tx.execute(self._sql.groups.block, (group, everyone))
        leading = {head[2] for head in held.values()}
        grouped = frozenset(key[2] for key in chosen if key[3] is not None)
        following = [key[2] for key in chosen if key[2] in grouped - leading]
        return Chosen([key[2] for key in chosen if key[2] not in grouped - leading], following, grouped)

    def _members(self, group: str) -> list[_Key]:
        """Read the first jobs of the group in claim order, also those beyond the candidates."""
        queues, wanted, limit = self._wanted
        bounds = (group, wanted.lowest, wanted.highest, self._many(queues), limit)
        return self._tx.query(self._sql.claim.members, (*bounds, *bounds))


class Slices:
    """Spreads claims over the candidates, so that runners don't wait for each other's rows.

    Alone, a runner takes the first rows. When another one had claimed rows that it chose, it divides
    the candidates into more slices and takes one at random; without conflicts it divides into fewer again.
    """

    def __init__(self, chance: Callable[[int], int]) -> None:
        self.slices = 1
        self._chance = chance
        self._quiet = 0

    def of(self, candidates: list[_Key], limit: int) -> list[_Key]:
        """Return this claim's slice of the candidates: up to `limit` of them."""
        if self.slices == 1:
            return candidates[:limit]
        start = limit * self._chance(max(1, -(-len(candidates) // limit)))
        return candidates[start : start + limit]

    def adjust(self, *, wanted: int, taken: int) -> None:
        """Double the number of slices if fewer rows were taken than wanted; halve it after _QUIET other claims."""
        self._quiet = 0 if taken < wanted else self._quiet + 1
        if taken < wanted:
            self.slices = min(_MOST_SLICES, self.slices * 2)
        elif self._quiet >= _QUIET:
            self._quiet = 0
            self.slices = max(1, self.slices // 2)


_MOST_SLICES = 16
_QUIET = 16
"""The number of claims without a conflict after which the number of slices is halved."""


_of_key = itemgetter(0, 1, 2)
_of_job = attrgetter("priority", "available_at", "id")


def _in_order(found: Iterable[T], place: Callable[[T], tuple[Any, ...]]) -> list[T]:
    """Sort by priority, time and id."""
    found = list(found)
    try:
        return sorted(found, key=place)
    except TypeError:  # a row written by hand has a time that is no number
        return sorted(found, key=lambda one: claim_place(*place(one)))


def _by_group(candidates: Iterable[_Key]) -> dict[str, list[_Key]]:
    groups: dict[str, list[_Key]] = {}
    for key in candidates:
        if key[3] is not None:
            groups.setdefault(key[3], []).append(key)
    return groups


class BatchClaimer:
    """Claims due jobs, in slices that depend on earlier conflicts with other runners."""

    def __init__(self, tables: Tables, chance: Random) -> None:
        self._tables = tables
        self._sql = tables.sql
        self._random = chance
        self.slices = Slices(chance.randrange)

    def claim(self, wanted: Filter, lease: Lease, *, limit: int) -> list[Claimed]:
        """Lease up to `limit` due jobs of the queues in `wanted`; returns them in claim order."""
        self._tables.open()
        queues = self._claimable(wanted) if limit > 0 else []
        while queues:
            chosen = [self._draw(queues)] if wanted.weighted else queues
            taken = self._claim_from(Wanted(chosen, wanted, limit), lease)
            if taken or not wanted.weighted:
                return taken
            queues.remove(chosen[0])
        return []

    def _claim_from(self, wanted: Wanted, lease: Lease) -> list[Claimed]:
        database, chosen = self._tables.open(), list[int]()
        work = partial(self._take_from, wanted=wanted, lease=lease, chosen=chosen)
        read_back = partial(self._read_back, lease, chosen)
        taken = database.transact(work, read_back)
        while taken is None:
            taken = database.transact(work, read_back)
        return _in_order(taken, _of_job)

    def _take_from(self, tx: Transaction, *, wanted: Wanted, lease: Lease, chosen: list[int]) -> list[Claimed] | None:
        """Claim in one transaction; returns None if the choice must be repeated.

        `chosen` receives the ids of the chosen jobs, for `_read_back` in case the COMMIT's answer gets lost.
        """
        many = self._tables.database.many
        picked = BatchClaim(tx, self._sql, wanted, many=many, share=self.slices).choose()
        chosen[:] = [*picked.running, *picked.following]
        if picked.again:
            return None
        taken = self._take(tx, self._sql.claim.claim, picked.running, lease)
        if picked.following:
            taken += self._take(tx, self._sql.claim.claim_behind, picked.following, lease)
        if len(taken) < len(chosen):
            self._check(taken, picked.grouped)
        self.slices.adjust(wanted=len(chosen), taken=len(taken))
        return taken

    def _check(self, taken: list[Claimed], grouped: frozenset[int]) -> None:
        """Raise Conflict, so that the claim is repeated, if another runner has claimed all rows or some in groups."""
        if not taken or not grouped <= {job.id for job in taken}:
            self.slices.adjust(wanted=1, taken=0)
            raise Conflict("claim")

    def _read_back(self, lease: Lease, chosen: list[int]) -> list[Claimed] | None:
        """Read the jobs of a claim whose COMMIT got no answer, after the server has carried it out or rolled back."""
        if not chosen:
            return None
        parameters = (self._tables.database.many(sorted(chosen)), lease.token)
        return [Claimed._make(row) for row in self._tables.query(self._sql.claim.read_back, parameters)] or None

    def _claimable(self, wanted: Filter) -> list[str]:
        # A queue that is no text (of a row written by hand in a SQLite file) can't be claimed from.
        found = self._tables.query(self._sql.claim.claimable_queues)
        return wanted.admitted({row[0] for row in found if type(row[0]) is str})

    def _draw(self, queues: Sequence[str]) -> str:
        weights = [1 / rank for rank in range(1, len(queues) + 1)]
        return self._random.choices(queues, weights)[0]

    def _take(self, tx: Transaction, sql: str, ids: list[int], lease: Lease) -> list[Claimed]:
        if not ids:
            return []
        chosen = self._tables.database.many(sorted(ids))
        # The clock is read here, after any wait for a lock: the rate of a limit counts these starts from this instant.
        given = (*lease.parameters(self._tables.clock.now()), chosen)
        if self._sql.dialect.returning:
            return [Claimed._make(row) for row in tx.query(sql, given)]
        if not tx.execute(sql, given).rowcount:
            return []
        return [Claimed._make(row) for row in tx.query(self._sql.claim.taken, (chosen, lease.token))]
