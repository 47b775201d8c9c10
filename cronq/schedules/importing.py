"""Convert the jobs of a crontab to schedules, as TOML for cronq.toml."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cronq.config.settings import quoted
from cronq.errors import ConfigError
from cronq.schedules.crontab import DEFAULT_SHELL, CronJob, Crontab, Note
from cronq.schedules.definition import Definition, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

AS_IN_CRON = {"catch_up": "none", "overlap": "allow", "max_attempts": 1, "time_limit": "1d"}
"""Keys by which a schedule works as in cron, which catches up on nothing, lets runs overlap and retries nothing.

cron has no time limit at all.
"""

_HEADER = """\
# As in cron: what is missed stays missed, runs may overlap, a failed one isn't tried again. Without the lines catch_up,
# overlap and max_attempts: the latest missed run is made up for, one runs at a time, a failed one is tried again.
# cron has no time limit; without the line time_limit it is that of the configuration (1h).
"""
_OURS = ("CRON_TZ", "RANDOM_DELAY", "MAILTO", "MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING", "SHELL")
"""Variables of a crontab that aren't passed on to commands: the settings of cron, and the shell."""

_WRAPPERS = frozenset(
    (
        *("test", "[", "[[", "]", "]]", "!", "if", "then", "cd", "command", "exec", "env", "nice", "ionice", "flock"),
        *("timeout", "chronic", "sudo", "sh", "bash", "run-parts", "php", "python", "python3", "perl", "ruby"),
        *("true", "false", "sleep"),
    )
)
"""Words of a command that give a schedule no name: programs that start others, conditions, and words of the shell."""

_SHELL_SIGNS = re.compile(r"[;&|(){}]+|\b(?:test|\[) +!? *-[defrsz] +\S+")
_NUMBER = re.compile(r"[\d.]+[smhd]?|\d[<>].*")
_ENDINGS = (".sh", ".py", ".pl", ".php", ".rb")


class Imported(NamedTuple):
    """A job of a crontab, and the schedule made of it: the keys of its table and its definition."""

    job: CronJob
    keys: Mapping[str, object]
    definition: Definition


class Import:
    """The schedules made of one crontab, and notes by line on what can't be carried over."""

    def __init__(self, crontab: Crontab, *, source: str, timezone: str) -> None:
        self.notes = list(crontab.notes)
        self.schedules: list[Imported] = []
        self._source = source
        self._timezone = timezone
        self._names: set[str] = set()
        for job in crontab.jobs:
            self._add(job)
        self.notes.sort()

    def toml(self) -> str:
        """Return the schedules as tables for cronq.toml."""
        return "\n".join([_HEADER, *(self._table(one) for one in self.schedules)])

    def _add(self, job: CronJob) -> None:
        name = self._name(job)
        keys = self._keys(job)
        try:
            definition = read(name, keys, where=self._source)
        except ConfigError as error:
            problem = str(error).removeprefix(f"{self._source}: schedules.{quoted(name)}: ")
            self.notes.append(Note(job.line, problem, lost=True))
            return
        if job.user is not None:
            told = f"{name} ran as {job.user}; cronq runs it as the user of `cronq run`"
            self.notes.append(Note(job.line, told))
        self._names.add(name)
        self.schedules.append(Imported(job, keys, definition))

    def _keys(self, job: CronJob) -> dict[str, object]:
        keys: dict[str, object] = {
            "cron": job.expression,
            "command": _command(job),
            "timezone": job.environment.get("CRON_TZ") or self._timezone,
        }
        if job.environment.get("HOME", "").startswith("/"):
            keys["cwd"] = job.environment["HOME"]
        delay = job.environment.get("RANDOM_DELAY", "0")
        if delay.isdecimal() and int(delay):
            keys["jitter"] = f"{int(delay)}m"
        return keys | AS_IN_CRON

    def _name(self, job: CronJob) -> str:
        name = wanted = _program(job.command)
        number = 1
        while name in self._names:
            number += 1
            name = f"{wanted}-{number}"
        return name

    def _table(self, one: Imported) -> str:
        user = f", as {one.job.user}" if one.job.user else ""
        lines = [f"# {self._source}:{one.job.line}{user}", f"[schedules.{quoted(one.definition.name)}]"]
        lines += [f"{key} = {_toml(value)}" for key, value in one.keys.items()]
        return "\n".join(lines) + "\n"


def _command(job: CronJob) -> str | list[str]:
    """Return a command that does the same as cron's.

    It is a line for /bin/sh if the job has no other shell and no variables, else a program with its arguments.
    """
    shell = job.environment.get("SHELL") or DEFAULT_SHELL
    command = job.command
    if job.stdin is not None:
        lines = " ".join(shlex.quote(line) for line in job.stdin.split("\n"))
        command = f"printf '%s\\n' {lines} | {shell} -c {shlex.quote(command)}"
    variables = [f"{name}={value}" for name, value in job.environment.items() if name not in _OURS]
    if not variables and shell == DEFAULT_SHELL:
        return command
    return [*(["/usr/bin/env", *variables] if variables else []), shell, "-c", command]


def _program(command: str) -> str:
    """Return a name for the command: that of the first program that doesn't only start another one, else `job`."""
    words = iter(_SHELL_SIGNS.sub(" ", command.rpartition("run-parts ")[2]).split())
    for word in words:
        bare = word.strip("\"'`$")
        if word == "flock":
            next((file for file in words if not _is_option(file)), None)
        elif word == "-u":
            next(words, None)  # the user of sudo
        if word in _WRAPPERS or _is_option(word) or word.startswith(("<", ">")) or "=" in word:
            continue
        path = Path(bare)
        name = path.stem if path.suffix in _ENDINGS else path.name
        if name and name.isprintable() and name not in _WRAPPERS:
            return name[:100]
    return "job"


def _is_option(word: str) -> bool:
    """Tell whether it is an option of a program, or the value of one: a number, a duration, a descriptor."""
    return word.startswith("-") or _NUMBER.fullmatch(word) is not None


def _toml(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if not isinstance(value, str):
        return str(value)
    if value.isprintable() and '"' not in value and "\\" not in value:
        return f'"{value}"'
    if value.isprintable() and "'" not in value:
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def host_timezone() -> str | None:
    """Return the name of this host's time zone, which its cron uses; None if the host doesn't name it."""
    target = Path("/etc/localtime")
    try:
        place = str(target.resolve(strict=True)) if target.is_symlink() else ""
        named = place.partition("/zoneinfo/")[2] or Path("/etc/timezone").read_text().strip()
    except OSError:
        return None
    return named or None


def lines_of(notes: list[Note], source: str) -> Iterator[str]:
    """Yield each note as a line with its place in the crontab."""
    for note in notes:
        yield f"{source}:{note.line}: {'not carried over: ' if note.lost else ''}{note.text}"
