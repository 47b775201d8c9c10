"""Send notices through channels: the command, the app's hooks, apprise, Sentry.

Each channel has its own process, so that an error in one doesn't keep others from sending; the log
has the error.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from functools import partial
from importlib.util import find_spec
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.errors import ConfigError
from cronq.model.printable import safe
from cronq.notifications.notice import GOOD_NEWS, Notice
from cronq.system import background
from cronq.system.deadline import DeadlineExceeded
from cronq.system.deadline import deadline as within
from cronq.system.log import log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from apprise import Apprise

    from cronq.config.loader import Config

LIMIT = 60.0
"""Seconds that one channel has for the notices of one call."""

_LINES = 50
_LATE = 5.0
"""Seconds after the limit at which a process is killed that the alarm didn't end."""

_LOOK_AGAIN = 0.02
_FLUSH = 10.0
_DIGITS = 10
"""The most digits of a line's number in a traceback."""

_SAID = 1
"""Exit status of a process that has logged what went wrong."""


class Undelivered(Exception):
    """A notice was not sent; the text is the reason."""


class Channel(NamedTuple):
    """One way to send notices; `tell` raises an error if it fails."""

    name: str
    tell: Callable[[Sequence[Notice]], None]
    whole: bool = False
    """Whether it takes many notices in one call."""


def channels(config: Config, hooks: Sequence[Callable[[Notice], object]]) -> list[Channel]:
    """Make the channels that the configuration and the app name."""
    found = []
    if config.notify_command:
        found.append(Channel("notify_command", partial(_run, config.notify_command)))
    found += [Channel(f"on_notify {_name(hook)}", partial(_call, hook)) for hook in hooks]
    found += [Channel(f"notify {url.partition(':')[0]}", partial(_apprise, url), whole=True) for url in config.notify]
    if config.sentry:
        found.append(Channel("sentry", partial(_sentry, config.sentry), whole=True))
    return found


def check(config: Config) -> None:
    """Raise ConfigError if the configuration needs a library that isn't installed."""
    for key, module in (("notify", "apprise"), ("sentry", "sentry_sdk")):
        if getattr(config, key) and find_spec(module) is None:
            message = f"{key}: {module} is not installed: pip install 'cronq-jobs[{key}]'"
            raise ConfigError(f"{config.file}: {message}" if config.file else message)


def deliver(notices: Sequence[Notice], chosen: Sequence[Channel]) -> None:
    """Send through all channels at the same time, and wait until they have finished; kill those that take too long."""
    under_way = {background.start(partial(_tell, way, notices)): way for way in chosen}
    deadline = time.monotonic() + LIMIT * len(notices) + _LATE
    while under_way and time.monotonic() < deadline:
        for pid in [pid for pid in under_way if _is_over(pid)]:
            _bury(pid, under_way.pop(pid))
        time.sleep(_LOOK_AGAIN)
    for pid, way in under_way.items():
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        log.warning("%s did not come to an end and was killed", way.name)


def _is_over(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _bury(pid: int, way: Channel) -> None:
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    if ended and ended.si_status:
        os.killpg(pid, signal.SIGKILL)  # with its children; not reaped yet, so no other process has the pid
    os.waitpid(pid, 0)
    if ended and ended.si_status not in (0, _SAID):
        log.warning("%s died while it told a person", way.name)


def _tell(way: Channel, notices: Sequence[Notice]) -> None:
    failed = False
    for part in [notices] if way.whole else [[notice] for notice in notices]:
        try:
            with within(LIMIT):
                way.tell(part)
        except DeadlineExceeded:
            log.warning("%s took longer than %g s to tell: %s", way.name, LIMIT, part[0])
            os._exit(_SAID)
        except Undelivered as problem:
            log.warning("%s did not get through: %s", way.name, problem)
            failed = True
        except Exception as error:
            log.warning("%s did not get through: %s: %s", way.name, type(error).__name__, error)
            failed = True
    os._exit(_SAID if failed else 0)


# The channels


def _call(hook: Callable[[Notice], object], notices: Sequence[Notice]) -> None:
    for notice in notices:
        hook(notice)


def _run(command: str | list[str], notices: Sequence[Notice]) -> None:
    import subprocess
    import tempfile

    [notice] = notices
    facts = {f"CRONQ_NOTICE_{name.upper()}": safe(str(value)) for name, value in notice._asdict().items()}
    environment = {**os.environ, **facts, "CRONQ_NOTICE": str(notice)}
    with tempfile.TemporaryFile() as said:
        ran = subprocess.run(command, shell=isinstance(command, str), env=environment, check=False, stderr=said)
        if ran.returncode:
            said.seek(0)
            last = said.read().decode(errors="replace").strip().splitlines()[-1:]
            raise Undelivered(": ".join([f"exit status {ran.returncode}", *last]))


def _apprise(url: str, notices: Sequence[Notice]) -> None:
    import apprise

    kinds = {notice.reason for notice in notices}
    kind = apprise.NotifyType.FAILURE if "failed" in kinds else apprise.NotifyType.WARNING
    if kinds <= GOOD_NEWS:
        kind = apprise.NotifyType.SUCCESS
    lines = [str(notice) for notice in notices[:_LINES]]
    if len(notices) > _LINES:
        lines.append(f"and {len(notices) - _LINES} more")
    title = f"cronq on {socket.gethostname()}"
    if not service_at(url).notify("\n".join(lines), title, kind, body_format=apprise.NotifyFormat.TEXT):
        raise Undelivered("apprise could not deliver it")


def service_at(url: str) -> Apprise:
    """Return apprise's service for a URL. Raises Undelivered if there is none."""
    import apprise

    apprise.logger.setLevel(logging.CRITICAL)  # apprise logs wrong URLs with their passwords
    service = apprise.Apprise(asset=apprise.AppriseAsset(app_id="cronq", app_desc="cronq"))
    if not service.add(url):
        raise Undelivered("apprise does not understand the URL")
    return service


def _sentry(dsn: str, notices: Sequence[Notice]) -> None:
    import sentry_sdk
    from sentry_sdk.transport import HttpTransport

    lost: list[str] = []

    class Telling(HttpTransport):
        """Records why events were not sent, which the SDK doesn't report."""

        def on_dropped_event(self, reason: str) -> None:
            lost.append(reason)

    client = sentry_sdk.Client(dsn=dsn, transport=Telling, default_integrations=False, auto_enabling_integrations=False)
    for notice in notices:
        if notice.reason not in GOOD_NEWS:
            client.capture_event(_event(notice))
    client.close(timeout=_FLUSH, callback=lambda pending, _: lost.extend(["no answer"] * pending))
    if lost:
        raise Undelivered(f"events were lost: {lost[0]}")


def _event(notice: Notice) -> Any:
    error: dict[str, Any] = {"type": notice.error_class, "value": notice.error_message}
    frames = list(_frames(notice.traceback))
    if frames:
        error["stacktrace"] = {"frames": frames}
    return {
        "level": "error" if notice.reason == "failed" else "warning",
        "logger": "cronq",
        "transaction": notice.task,
        "exception": {"values": [error]},
        "tags": {"task": notice.task, "queue": notice.queue, "job": str(notice.job_id), "reason": notice.reason},
        "extra": {"notice": str(notice), "attempt": notice.attempt, "max_attempts": notice.max_attempts,
                  "traceback": notice.traceback},
    }  # fmt: skip


def _frames(traceback: str) -> Iterator[dict[str, Any]]:
    """Parse the frames of a traceback in one pass over its lines: a job may have made it arbitrarily long."""
    lines = traceback.splitlines()
    for line, following in zip_longest(lines, lines[1:], fillvalue=""):
        begun, opening, rest = line.partition('  File "')
        file, _, place = rest.rpartition('", line ')
        number, _, name = place.partition(", in ")
        if opening and not begun and name and number.isascii() and number.isdecimal() and len(number) < _DIGITS:
            text = following[4:] if following.startswith("    ") else None
            yield {"filename": file, "lineno": int(number), "function": name, "context_line": text}


def _name(hook: Callable[..., object]) -> str:
    return getattr(hook, "__qualname__", repr(hook))
