from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cronq.model.retry import Policy, delay, due_again


def test_doubling_up_to_the_cap() -> None:
    assert [delay(n, Policy(), chance=0.0) for n in range(1, 8)] == [60, 120, 240, 480, 960, 960, 960]


def test_jitter_adds_up_to_its_share() -> None:
    assert delay(1, Policy(jitter=0.1), chance=0.5) == 63.0


def test_due_again_counts_from_the_end() -> None:
    assert due_again(5, 1.5) == 1_500_005


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True), st.floats(0, 1), st.floats(0, 1e9))
def test_never_earlier_and_never_beyond_cap_and_jitter(n: int, chance: float, jitter: float, base: float) -> None:
    policy = Policy(base=base, jitter=jitter)
    plain = min(base * 2.0 ** min(n - 1, 62), policy.cap)
    assert plain <= delay(n, policy, chance=chance) <= policy.cap * (1 + jitter)
