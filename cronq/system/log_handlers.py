"""Send the log to stderr, the system's log or a file, as lines of text or JSON."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from logging.handlers import WatchedFileHandler
from typing import TYPE_CHECKING

from cronq.config.environment import journal_stream
from cronq.errors import ConfigError
from cronq.model.printable import one_line, safe_json

if TYPE_CHECKING:
    from cronq.config.loader import Config

_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7))
"""syslog's priorities for the levels of logging."""

_USUAL_STEPS = frozenset({"enqueued", "due", "claimed", "finished"})


_TIMED = "%(asctime)s %(levelname)s %(message)s"
_UNTIMED = "%(message)s"
"""For a log that adds the time itself."""


class _Text(logging.Formatter):
    """Formats one line of text, in which a job's text can neither break the line nor control the terminal."""

    def __init__(self, template: str) -> None:
        super().__init__(template)
        self.default_time_format = "%Y-%m-%dT%H:%M:%S"
        self.default_msec_format = "%s.%03dZ"
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


class _Json(logging.Formatter):
    """Formats one JSON object a line: `time`, `level`, `message` and the event's facts."""

    def __init__(self) -> None:
        super().__init__()
        self.converter = time.gmtime
        self.default_time_format = "%Y-%m-%dT%H:%M:%S"
        self.default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "pid": record.process,
            **getattr(record, "facts", {}),
        }
        return safe_json(json.dumps(line, ensure_ascii=False))


class _System(logging.Handler):
    """Writes to the system's log with its priorities; without a syslog daemon nothing happens."""

    def emit(self, record: logging.LogRecord) -> None:
        import syslog

        syslog.openlog("cronq", syslog.LOG_PID, syslog.LOG_DAEMON)
        syslog.syslog(_priority(record), self.format(record))


class _Prioritised(logging.Formatter):
    """Formats a line for systemd's journal on stderr: its priority comes first."""

    def __init__(self, within: logging.Formatter) -> None:
        super().__init__()
        self._within = within

    def format(self, record: logging.LogRecord) -> str:
        return f"<{_priority(record)}>{self._within.format(record)}"


def _priority(record: logging.LogRecord) -> int:
    return next((number for level, number in _PRIORITIES if record.levelno >= level), _PRIORITIES[-1][1])


def start(config: Config, *, shown: str | None = None) -> None:
    """Send the log to the configured target; also to stderr, from the level `shown` on.

    Errors don't go to stderr: the command's report has them. Raises ConfigError if the file can't
    be written.
    """
    log = logging.getLogger("cronq")
    if config.log is not None:
        handler = _handler(config.log, as_json=config.log_format == "json")
        handler.setLevel(config.log_level.upper())
        log.addHandler(handler)
    if shown is not None and config.log != "stderr":
        log.addHandler(_to_terminal(shown))
    levels = [handler.level for handler in log.handlers if not isinstance(handler, logging.NullHandler)]
    log.setLevel(min(levels, default=logging.WARNING))
    log.propagate = False


def _handler(target: str, *, as_json: bool) -> logging.Handler:
    if target == "syslog":
        return _to_the_system(as_json=as_json)
    if target == "stderr":
        return _to_stderr(as_json=as_json)
    return _to_file(target, as_json=as_json)


def _to_stderr(*, as_json: bool) -> logging.Handler:
    handler: logging.Handler = logging.StreamHandler()
    in_journal = _is_the_journal()
    formatter = _Json() if as_json else _Text(_UNTIMED if in_journal else _TIMED)
    handler.setFormatter(_Prioritised(formatter) if in_journal else formatter)
    return handler


def _to_the_system(*, as_json: bool) -> logging.Handler:
    handler = _System()
    handler.setFormatter(_Json() if as_json else _Text(_UNTIMED))
    return handler


def _to_file(path: str, *, as_json: bool) -> logging.Handler:
    # Opens the file again when it was moved: logrotate needs to signal no process.
    try:
        handler = WatchedFileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigError(f"log {path}: {error.strerror}") from None
    handler.setFormatter(_Json() if as_json else _Text(_TIMED))
    return handler


def _to_terminal(level: str) -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setFormatter(_Text("cronq: %(message)s"))
    handler.addFilter(_is_worth_showing)
    handler.setLevel(level)
    return handler


def _is_worth_showing(record: logging.LogRecord) -> bool:
    """Tell whether the terminal shows this record: no error, which the command reports, and no usual step of a job."""
    return record.levelno < logging.ERROR and getattr(record, "facts", {}).get("event") not in _USUAL_STEPS


def _is_the_journal() -> bool:
    """Tell by JOURNAL_STREAM whether stderr is connected to systemd's journal."""
    if sys.stderr is None:
        return False
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return journal_stream() == f"{status.st_dev}:{status.st_ino}"
