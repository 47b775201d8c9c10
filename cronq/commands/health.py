"""`cronq health`: a plugin for Nagios and Icinga.

A monitor starts it each minute, so like `run` it reads its options without typer. The answer is
always one line on stdout and a status from 0 to 3.
"""

from __future__ import annotations

import sys

from cronq.commands.fast_options import UNSET, Options
from cronq.errors import CronqError, InvalidInput, Unavailable
from cronq.times import parse_duration, span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    import typer

    from cronq.commands import Invocation
    from cronq.monitoring.health import Answer

NO_ANSWER = 3
"""The exit status UNKNOWN, for an answer that could not be written."""


class HealthOptions(Options):
    """The options of `health` as they were typed."""

    SHORT = "wct"

    warning: Annotated[list[str], typer.Option(metavar="MEASURE=RANGE", help="Warn outside of it; repeatable.")] = UNSET
    critical: Annotated[list[str], typer.Option(metavar="MEASURE=RANGE", help="Critical outside; repeatable.")] = UNSET
    queue: Annotated[list[str], typer.Option(metavar="QUEUE", help="Only jobs of this queue; repeatable.")] = UNSET
    timeout: Annotated[str, typer.Option(metavar="D", help="Time limit of the check.")] = "10s"


parse = HealthOptions.read


def execute(invocation: Invocation, options: HealthOptions) -> int:
    """Read the statistics within the time limit, compare them with the ranges, print the answer."""
    from cronq.monitoring.health import MEASURES, UNKNOWN, Answer, judge
    from cronq.monitoring.thresholds import parse_thresholds
    from cronq.storage.stats import take
    from cronq.system.deadline import DeadlineExceeded, deadline

    warning = parse_thresholds(options.warning, what="--warning", known=MEASURES)
    critical = parse_thresholds(options.critical, what="--critical", known=MEASURES)
    seconds = parse_duration(options.timeout, what="--timeout")
    if not seconds:
        raise InvalidInput("--timeout: expected more than 0 s")
    try:
        with deadline(seconds):
            stats = take(invocation.config)
    except DeadlineExceeded:
        raise Unavailable(f"no answer from the database within {span(seconds)}") from None
    if stats is None:
        return _tell(Answer(UNKNOWN, f"{invocation.config.safe_database()} has no tables of this cronq yet"))
    if stats.limits:
        from cronq.flow.configured import differing  # here, not above: most queues have no limits

        stats.differing_limits = differing(stats.limits, invocation.config)
    return _tell(judge(stats, warning, critical, queues=options.queue or None))


def explain(error: Exception) -> int:
    """Write the answer for an error: CRITICAL if the database can't be reached, else UNKNOWN."""
    from cronq.monitoring.health import CRITICAL, UNKNOWN, Answer

    text = str(error) if isinstance(error, CronqError) else f"internal error: {type(error).__name__}: {error}"
    return _tell(Answer(CRITICAL if isinstance(error, Unavailable) else UNKNOWN, " ".join(text.split())))


def _tell(answer: Answer) -> int:
    if sys.stdout is not None:
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()
    return answer.status
