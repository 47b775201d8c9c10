"""The rule that turns an attempt's outcome into what is written to its job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.model.outcome import FINISHED, Outcome, Settlement, next_state

if TYPE_CHECKING:
    from random import Random

    from cronq.model.job import Claimed
    from cronq.model.retry import Policies


def settlement(job: Claimed, outcome: Outcome, policies: Policies, chance: Random) -> Settlement:
    """What an outcome means for its job, ready to be written."""
    if outcome.kind == "success":
        return Settlement(job, outcome, FINISHED)
    policy = policies.of(job)
    following = next_state(job, outcome, policy, chance=chance.random())
    return Settlement(
        job, outcome, following, hold_group=policy.group_on_failed == "hold" and following.state == "failed"
    )


def not_started(outcome: Outcome) -> bool:
    """Whether the child gave the job back without having begun it."""
    return outcome.verdict == "release" and not outcome.kind
