"""Write the errors of a wrong command line, with what was probably meant."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from cronq.commands import MODULES

if TYPE_CHECKING:
    from collections.abc import Iterable

_COMMANDS = {
    "enqueue": ("add", "create", "put", "push", "queue", "send", "submit", "schedule", "at"),
    "run": ("start", "process", "once"),
    "exec": ("debug", "foreground", "run-one", "perform"),
    "work": ("worker", "daemon", "consume", "listen"),
    "ls": ("list", "jobs", "ps", "search", "find", "queue-list", "history"),
    "status": ("stat", "stats", "queues", "count", "counts", "state", "summary"),
    "show": ("info", "inspect", "get", "view", "describe", "job", "cat", "result"),
    "tail": ("log", "logs", "output", "follow"),
    "top": ("watch", "monitor", "dashboard", "live"),
    "errors": ("failed", "failures", "error", "dead"),
    "doctor": ("check", "diagnose", "test", "verify"),
    "retry": ("rerun", "requeue", "redo", "restart", "run-now", "kick"),
    "cancel": ("rm", "delete", "remove", "del", "kill", "abort", "drop"),
    "edit": ("change", "set", "modify", "update", "reschedule", "move", "priority"),
    "pause": ("stop", "hold", "suspend", "disable", "freeze"),
    "resume": ("unpause", "continue", "cont", "enable", "thaw"),
    "clear-finished": ("clear", "clean", "cleanup", "prune", "purge", "flush", "vacuum"),
    "update-schema": ("migrate", "upgrade", "migrations", "schema", "create-tables"),
    "copy": ("export", "import", "transfer", "dump", "backup"),
    "print-config": ("install", "setup", "crontab", "systemd", "generate"),
    "--version": ("version",),
}
_COMMAND_MEANT = {name: meant for meant, names in _COMMANDS.items() for name in names}

_OPTION_MEANT = {
    "--status": ("--state",),
    "--name": ("--task", "--key"),
    "--id": ("--key",),
    "--tag": ("--group", "--key"),
    "--lane": ("--queue",),
    "--delay": ("--at",),
    "--in": ("--at",),
    "--when": ("--at",),
    "--eta": ("--at",),
    "--after": ("--since", "--at"),
    "--before": ("--until", "--older-than"),
    "--days": ("--older-than",),
    "--grep": ("--search",),
    "--find": ("--search",),
    "--filter": ("--search", "--state"),
    "--order": ("--sort",),
    "--order-by": ("--sort",),
    "--retries": ("--max-attempts",),
    "--tries": ("--max-attempts",),
    "--attempts": ("--max-attempts",),
    "--timeout": ("--time-limit", "--max-time"),
    "--workers": ("--jobs",),
    "--concurrency": ("--jobs",),
    "--threads": ("--jobs",),
    "--processes": ("--jobs",),
    "--max": ("--limit",),
    "--all": ("--limit",),
    "--follow": ("--watch",),
    "--force": ("--kill", "--yes"),
    "--no-confirm": ("--yes",),
    "--dryrun": ("--dry-run",),
    "--simulate": ("--dry-run",),
    "--log": ("--output",),
    "--once": ("--unique",),
}
"""By option of other programs, cronq's options for it; the first one that the command has is suggested."""

_ALIKE = 0.75
"""The least similarity, from 0 to 1, of a suggested option to the typed one."""


def no_command(name: str) -> str:
    """Write the message about an unknown command, with a suggestion."""
    meant = _COMMAND_MEANT.get(name.lower()) or _first(get_close_matches(name.lower(), [*MODULES, "help"], n=1))
    hint = f", did you mean {f'cronq {meant}'!r}?" if meant else ""
    return f"there is no command {name!r}{hint} (cronq --help lists them)"


def in_one_line(error: Any) -> str:
    """Write typer's usage error on one line, with a suggestion for an unknown option."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "cronq"
    if hasattr(error, "possibilities") and context is not None:
        known = [name for one in context.command.params for name in one.opts if name.startswith("-")]
        text = _no_option(error.option_name, known)
    else:
        text = error.format_message().rstrip(".")
    return f"{text} ({path} --help says more)"


def _no_option(name: str, known: Iterable[str]) -> str:
    names = list(known)
    meant = _first(each for each in _OPTION_MEANT.get(name, ()) if each in names)
    meant = meant or _first(get_close_matches(name, names, n=1, cutoff=_ALIKE))
    return f"there is no option {name}" + (f", did you mean {meant}?" if meant else "")


def _first(names: Iterable[str]) -> str | None:
    return next(iter(names), None)
