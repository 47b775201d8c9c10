"""Mask secrets in the data of jobs before a page or a JSON document shows them."""

from __future__ import annotations

import re
import shlex
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from cronq.model.job import COMMAND_TASK
from cronq.render.text import compact

if TYPE_CHECKING:
    from cronq.model.job import Job
    from cronq.web.settings import WebSettings

MASK = "•••"
_OPTION = re.compile(r"-{0,2}([A-Za-z_][\w-]*)(=?)(.*)", re.DOTALL)
# The scheme has a bound: without it, a long text without a URL would be scanned again from each of its characters.
_USERINFO = re.compile(r"(\w[\w+.-]{0,30}://[^\s/:@]*:)[^\s/@]+(@)")
_DEEPEST = 50
"""Levels of JSON that are shown; what is deeper is left out."""

_LEFT_OUT = "…"


class Masking:
    """Replaces values whose key matches a pattern; with `show = "nothing"` all arguments, results and notes."""

    def __init__(self, settings: WebSettings) -> None:
        self._patterns = tuple(pattern.lower() for pattern in settings.hide)
        self._nothing = settings.show == "nothing"

    @property
    def hides_all(self) -> bool:
        """Whether all arguments, results and notes are hidden."""
        return self._nothing

    def hides(self, key: str) -> bool:
        """Tell whether the value of this key is a secret."""
        return any(fnmatchcase(key.lower().replace("-", "_"), pattern) for pattern in self._patterns)

    def value(self, value: Any) -> Any:
        """Return a JSON value with its secrets masked, passwords in URLs too."""
        if self._nothing and value is not None:
            return MASK
        return self._inner(value, _DEEPEST)

    def _inner(self, value: Any, levels: int) -> Any:
        if isinstance(value, str):
            return _USERINFO.sub(rf"\1{MASK}\2", _writable(value))
        if isinstance(value, dict | list | tuple) and levels == 0:
            return _LEFT_OUT
        if isinstance(value, dict):
            return {
                _writable(name): MASK if self.hides(name) and one is not None else self._inner(one, levels - 1)
                for name, one in value.items()
            }
        return [self._inner(one, levels - 1) for one in value] if isinstance(value, list | tuple) else value

    def command(self, command: Any) -> str | list[str] | None:
        """Return a command with its secret options and variables masked, such as `--password x` and `TOKEN=x`."""
        if command is None:
            return None
        if self._nothing:
            return MASK
        if isinstance(command, str):
            words = re.split(r"(\s+)", _writable(command))
            return "".join(self._words(words))
        if isinstance(command, list) and all(isinstance(word, str) for word in command):
            return self._words([_writable(word) for word in command])
        return compact(self.value(command))  # a row that was written by hand

    def _words(self, words: list[str]) -> list[str]:
        masked, hide_next = [], False
        for word in words:
            if hide_next and word.strip():
                masked.append(MASK)
                hide_next = False
                continue
            found = _OPTION.fullmatch(word)
            if found is None or not self.hides(found[1]):
                masked.append(_USERINFO.sub(rf"\1{MASK}\2", word))
            elif found[2]:
                masked.append(word[: found.start(3)] + MASK)
            else:
                masked.append(word)
                hide_next = word.startswith("-")
        return masked

    def job(self, job: Job) -> Job:
        """Return the job as a page may show it."""
        return job._replace(
            args=self.value(job.args) if job.args is None or not self._nothing else {},
            command=self.command(job.command),
            result=self.value(job.result),
            notes=self.value(job.notes) if job.notes is None or not self._nothing else {},
        )

    def args(self, task: str, args: Any) -> Any:
        """Return a job's arguments masked; in a shell command, also its secret options and variables."""
        shown = self.value(args)
        if task == COMMAND_TASK and isinstance(args, dict) and isinstance(shown, dict) and "command" in args:
            shown["command"] = self.command(args["command"])
        return shown

    def short(self, task: str, args: Any) -> str:
        """Write masked arguments on one line: a command, or `to=ann@example.org n=3`; nothing if all are hidden."""
        if self._nothing:
            return ""
        if not isinstance(args, dict):
            return ""
        if task == COMMAND_TASK:
            command = self.command(args.get("command"))
            return command if isinstance(command, str) else shlex.join(map(str, command or ()))
        return " ".join(f"{name}={_brief(value)}" for name, value in self.value(args).items())


def _writable(text: str) -> str:
    """Escape lone surrogates, which neither a page nor a JSON document can hold."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _brief(value: object) -> str:
    return value if isinstance(value, str) else compact(value)
