"""Read crontabs as cron does: the jobs with the environment set before them, and notes on the lines."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEFAULT_SHELL = "/bin/sh"
_FIELDS = 5
_ASSIGNMENT = re.compile(r"""\s*(?P<quote>["']?)(?P<name>[A-Za-z_]\w*)(?P=quote)\s*=\s*(?P<value>.*?)\s*$""")
_PIECE = re.compile(r"\\.|\\$|%|[^\\%]+")


class Note(NamedTuple):
    """A remark on one line; `lost` if the line gives no schedule because of it."""

    line: int
    text: str
    lost: bool = False


@dataclass(frozen=True, kw_only=True)
class CronJob:
    """One job of a crontab, with the settings that hold for it."""

    line: int
    expression: str
    command: str
    stdin: str | None
    """The text that cron writes to the command's stdin: all after the first `%`; None without one."""
    user: str | None
    environment: Mapping[str, str]


@dataclass
class Crontab:
    """The jobs of one file, and notes on its lines. With `system` each line of a job names its user."""

    text: str
    system: bool = False
    jobs: list[CronJob] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def __post_init__(self) -> None:
        environment: dict[str, str] = {}
        for number, line in enumerate(self.text.splitlines(), 1):
            content = line.strip()
            if not content or content.startswith("#"):
                continue
            assigned = _ASSIGNMENT.match(line)
            if assigned:
                environment[assigned["name"]] = _unquoted(assigned["value"])
                self.notes += _on_setting(number, assigned["name"], environment[assigned["name"]])
            else:
                self._add(number, content, dict(environment))

    def _add(self, line: int, content: str, environment: Mapping[str, str]) -> None:
        if content.startswith("-"):
            # In SUSE's cron, a leading - means that the start isn't logged.
            content = content[1:]
        times = 1 if content.startswith("@") else _FIELDS
        words = content.split(None, times + self.system)
        if len(words) <= times + self.system:
            self.notes.append(Note(line, f"expected {self._expected()}: got {content!r}", lost=True))
            return
        command, stdin = _parted(words[-1])
        expression, user = " ".join(words[:times]), words[times] if self.system else None
        if expression.lower() == "@reboot":
            told = "@reboot has no due time: keep this line in the crontab, or make a systemd unit of it"
            self.notes.append(Note(line, told, lost=True))
            return
        job = CronJob(
            line=line, expression=expression, command=command, stdin=stdin, user=user, environment=environment
        )
        self.jobs.append(job)

    def _expected(self) -> str:
        return f"five fields or a name like @daily, {'a user ' if self.system else ''}and a command"


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value


def _parted(command: str) -> tuple[str, str | None]:
    """Return the command and its stdin, which begins after the first `%` without a backslash; None without one."""
    parts = [""]
    for piece in _PIECE.findall(command):
        if piece == "%":
            parts.append("")
        else:
            parts[-1] += "%" if piece == "\\%" else piece
    first, *lines = parts
    return first.strip(), "\n".join(lines) or None


_MAIL = ("MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING")


def _on_setting(line: int, name: str, value: str) -> Iterator[Note]:
    if name == "MAILTO" and value:
        yield Note(
            line,
            f'MAILTO={value}: cronq mails no output; `notify = ["mailto://…"]` in cronq.toml tells of failing jobs',
        )
    elif name in _MAIL and value:
        yield Note(line, f"{name}={value}: cronq mails no output")
    elif name == "RANDOM_DELAY":
        yield Note(line, f"RANDOM_DELAY={value} became jitter: the same delay each time, another one for each schedule")
