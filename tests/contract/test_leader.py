"""What one worker of all hosts does at a time."""

from __future__ import annotations

from cronq.store import Store
from cronq.testing import ManualClock


def test_one_has_it_until_its_lease_ends(store: Store, other: Store, clock: ManualClock) -> None:
    alone = not store.leader.shared
    assert store.leader.hold("one", seconds=60)
    assert other.leader.hold("two", seconds=60) is alone
    clock.advance(30)
    assert store.leader.hold("one", seconds=60)
    clock.advance(59)
    assert other.leader.hold("two", seconds=60) is alone
    clock.advance(2)
    assert other.leader.hold("two", seconds=60)
    assert store.leader.hold("one", seconds=60) is alone


def test_who_leaves_it_lets_the_next_one_have_it(store: Store, other: Store) -> None:
    assert store.leader.hold("one", seconds=60)
    other.leader.resign("two")
    assert other.leader.hold("two", seconds=60) is not other.leader.shared
    store.leader.resign("one")
    assert other.leader.hold("two", seconds=60)
