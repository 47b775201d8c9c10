"""Define the states of jobs, and what follows from each, in one table.

The model, the SQL texts and the views take their lists of states from here. It imports nothing, because `serve-inetd`
reads it before its answer; `State` in cronq.model.claimed_job has the same states as an enum.
"""

_FUTURE, _CLAIMABLE, _PENDING, _RUNNING, _ENDED = range(5)

_TABLE = {
    "scheduled": (_FUTURE, "blue", "◷"),
    "ready": (_CLAIMABLE, "bold", "○"),
    "blocked": (_CLAIMABLE, "magenta", "▧"),
    "pending": (_PENDING, "magenta", "⋯"),
    "running": (_RUNNING, "cyan", "▶"),
    "retrying": (_FUTURE, "yellow", "↻"),
    "waiting": (_FUTURE, "blue", "…"),
    "finished": (_ENDED, "green", "✓"),
    "failed": (_ENDED, "bold red", "✕"),
    "cancelled": (_ENDED, "dim", "⊘"),
}
"""The kind of each state, its style in a terminal, and its sign in a browser."""

SHOWN = (
    "running", "ready", "retrying", "failed", "waiting", "blocked", "pending", "scheduled", "finished", "cancelled",
)  # fmt: skip
"""All states, in the order in which numbers of jobs are shown."""

STYLES = {state: style for state, (_, style, _) in _TABLE.items()}
SIGNS = {state: sign for state, (_, _, sign) in _TABLE.items()}

FUTURE = tuple(state for state, (kind, *_) in _TABLE.items() if kind == _FUTURE)
"""States of jobs that become due at `available_at`: then they are ready, blocked or pending."""

CLAIMABLE = tuple(state for state, (kind, *_) in _TABLE.items() if kind == _CLAIMABLE)
"""States of due jobs; a blocked one is claimed together with the holder of its group, or once the group is free."""

ENDED = tuple(state for state, (kind, *_) in _TABLE.items() if kind == _ENDED)
UNFINISHED = tuple(state for state in _TABLE if state not in ENDED)
