"""Turn an attempt's outcome into the settlement that is written to its job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.model.claimed_job import ENDED
from cronq.model.outcome import FINISHED, Outcome, Settlement, next_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from cronq.model.job import Claimed
    from cronq.model.retry import Policies


def settlement(
    job: Claimed, outcome: Outcome, policies: Policies, chance: Callable[[], float], *, worker: str | None = None
) -> Settlement:
    """Make the settlement of an attempt that `worker` ran. `chance` returns the share of the jitter, in [0, 1)."""
    if outcome.kind == "success":
        return Settlement(job, outcome, FINISHED)
    policy = policies.of(job)
    following = next_state(job, outcome, policy, chance=chance())
    holds = policy.group_on_failed == "hold" and following.state == "failed"
    return Settlement(job, outcome, following, hold_group=holds, worker=worker)


def frees_group(job: Claimed, outcome: Outcome, policies: Policies) -> bool:
    """Tell whether this outcome frees the job's group for its next job; the child needs it before it is written."""
    following = settlement(job, outcome, policies, lambda: 0.0)
    return following.next.state in ENDED and not following.hold_group


def has_begun(outcome: Outcome) -> bool:
    """Tell whether the attempt began; if not, the child returned the job unstarted."""
    return bool(outcome.kind) or outcome.verdict != "release"
