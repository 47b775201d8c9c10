"""Define the keys of the configuration: the check of each value, and the words for errors.

A check receives the value from TOML and returns it converted (durations in seconds, memory in
bytes), or raises ValueError, with a reason if the expectation isn't enough. A value that may
hold a password is never quoted in an error.
"""

from __future__ import annotations

from cronq.config import database_url
from cronq.config.toml import Unread
from cronq.errors import ConfigError, InvalidInput
from cronq.times import parse_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

TRANSPORTS = {
    "tcp": "inetd",
    "unix": "inetd",
    "amqp": "rabbitmq",
    "amqps": "rabbitmq",
    "redis": "redis",
    "rediss": "redis",
    "beanstalk": "beanstalk",
    "sqs": "sqs",
}
"""The schemes of `wake`, each with the module of cronq/transports that serves it."""

TABLES = ("retry", "tasks", "events", "schedules", "web", "limits")
"""The tables of cronq.toml."""

LOGS = ("stderr", "syslog")
"""The destinations of the log other than a file."""

LONGEST_PREFIX = 32
LONGEST_NAME = 100
_MEMORY_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_MOST_MEMORY = 1 << 60
_LARGEST_RESULT = 8 << 20
_BOOLS = {"true": True, "1": True, "false": False, "0": False}
_QUOTE_AT_MOST = 80


class Setting:
    """One key: `check` converts its value, `expected` completes the error "expected …".

    `from_text` converts an environment variable to the value that TOML would have.
    """

    __slots__ = ("check", "expected", "from_text", "secret")

    def __init__(
        self,
        expected: str,
        check: Callable[[object], object],
        *,
        from_text: Callable[[str], object] = str,
        secret: bool = False,
    ) -> None:
        self.expected = expected
        self.check = check
        self.from_text = from_text
        self.secret = secret

    def convert(self, value: object, *, key: str, where: str) -> object:
        """Check and convert a value. Raises ConfigError with source, key and expectation."""
        try:
            return self.check(value)
        except ValueError as error:
            problem = str(error) or f"got {_shown(value, secret=self.secret)}"
            raise ConfigError(f"{where}: {key}: expected {self.expected}: {problem}") from None


def read(table: Mapping[str, object], *, where: str) -> dict[str, object]:
    """Check a table of settings; the keys of [retry] are returned as `retry.base` and so on.

    Raises ConfigError for an unknown key, a wrong type or a bad value.
    """
    values: dict[str, object] = {}
    for key, value in table.items():
        if key == "retry":
            retry = section(value, RETRY, within="retry", where=where)
            values.update({f"retry.{name}": setting for name, setting in retry.items()})
        elif key in _READERS:
            values[key] = _READERS[key](value, where)
        else:
            _refuse_unknown(key, (*SETTINGS, *TABLES), key=key, where=where)
            values[key] = SETTINGS[key].convert(value, key=key, where=where)
    return values


def read_text(key: str, text: str, *, where: str) -> object:
    """Check and convert one setting from an environment variable; `key` is dotted for [retry]. Raises ConfigError."""
    setting = BY_DOTTED_KEY[key]
    return setting.convert(setting.from_text(text), key=key, where=where)


def section(table: object, settings: Mapping[str, Setting], *, within: str, where: str) -> dict[str, object]:
    """Check the table at a dotted key against these settings. Raises ConfigError."""
    values: dict[str, object] = {}
    for name, value in _table(table, key=within, where=where).items():
        key = f"{within}.{quoted(name)}"
        _refuse_unknown(name, settings, key=key, where=where)
        values[name] = settings[name].convert(value, key=key, where=where)
    return values


def _tasks(table: object, where: str) -> dict[str, dict[str, object]]:
    return {
        task: section(overrides, TASK, within=f"tasks.{quoted(task)}", where=where)
        for task, overrides in _table(table, key="tasks", where=where).items()
    }


def _events(table: object, where: str) -> dict[str, object]:
    subscribed: dict[str, object] = {}
    for pattern, tasks in _table(table, key="events", where=where).items():
        key = f"events.{quoted(pattern)}"
        _EVENT_PATTERN.convert(pattern, key=key, where=where)
        subscribed[pattern] = _SUBSCRIBERS.convert(tasks, key=key, where=where)
    return subscribed


def _schedules(table: object, where: str) -> object:
    if isinstance(table, Unread):
        return table
    return {
        name: _table(keys, key=f"schedules.{quoted(name)}", where=where)
        for name, keys in _table(table, key="schedules", where=where).items()
    }


_READERS: dict[str, Callable[[object, str], object]] = {
    "tasks": _tasks,
    "events": _events,
    "schedules": _schedules,
    # Checked where they are needed, in cronq/{schedules/definition,web/settings,flow/configured}.py.
    "web": lambda table, where: _table(table, key="web", where=where),
    "limits": lambda table, where: _table(table, key="limits", where=where),
}


def _table(value: object, *, key: str, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: {key}: expected a table, got {_shown(value, secret=True)}")
    return value


def _refuse_unknown(name: str, known: Iterable[str], *, key: str, where: str) -> None:
    if name in known:
        return
    import difflib  # here, not above: only needed for errors

    known = sorted(known)
    near = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1)
    meant = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"
    raise ConfigError(f"{where}: {key}: unknown key, {meant}")


def quoted(name: str) -> str:
    """Quote a name as a TOML key if necessary."""
    bare = name.replace("_", "").replace("-", "")
    return name if bare.isalnum() and bare.isascii() else '"' + repr(name)[1:-1] + '"'


def _shown(value: object, *, secret: bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and not secret:
        return repr(value if len(value) <= _QUOTE_AT_MOST else value[:_QUOTE_AT_MOST] + "…")
    if isinstance(value, int | float):
        return "a huge number" if abs(value) > 10**_QUOTE_AT_MOST and isinstance(value, int) else repr(value)
    kinds = {str: "another text", dict: "a table", list: "an array", tuple: "an array", type(None): "nothing"}
    return kinds.get(type(value), "a date or time")


def _whole(low: int, high: int, *, what: str = "a whole number") -> Setting:
    def check(value: object) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError
        return value

    return Setting(f"{what} from {low} to {high}", check, from_text=_number)


def _number(text: str) -> object:
    plain = text.replace(".", "", 1)
    if not (plain.isdecimal() and plain.isascii() and len(plain) < LONGEST_NAME):
        return text
    return float(text) if "." in text else int(text)


def _share() -> Setting:
    def check(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ValueError
        return float(value)

    return Setting("a share from 0 to 1 such as 0.1", check, from_text=_number)


def _duration(*, positive: bool = False) -> Setting:
    def check(value: object) -> float:
        try:
            seconds = parse_duration(value)  # type: ignore[arg-type]  # it refuses all other types itself
        except InvalidInput:
            raise ValueError from None
        if positive and not seconds:
            raise ValueError
        return seconds

    more = " of more than 0 s" if positive else ""
    return Setting(f"a duration{more} such as 90, 90s, 15m, 1h30m or 14d", check)


def parse_memory(value: object) -> int:
    """Return the bytes in `512M`, `1G` or a number. Raises ValueError."""
    unit = 1
    if isinstance(value, str):
        unit = _MEMORY_UNITS.get(value[-1:].upper(), 1)
        value = _number(value[:-1].rstrip() if unit > 1 else value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value * unit < _MOST_MEMORY:
        raise ValueError
    return int(value * unit)


def _result_limit(value: object) -> int:
    size = parse_memory(value)
    if size > _LARGEST_RESULT:
        raise ValueError
    return size


def _bool(value: object) -> object:
    if value is not True and value is not False:
        raise ValueError
    return value


def choice(*allowed: str) -> Setting:
    """Make a setting that is one of these words."""

    def check(value: object) -> str:
        if value not in allowed or not isinstance(value, str):
            raise ValueError
        return value

    return Setting(" or ".join(repr(word) for word in allowed), check)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError
    return value


def _dotted(text: str) -> bool:
    return all(word.isidentifier() for word in text.split("."))


def _app(value: object) -> str:
    module, colon, attribute = _text(value).partition(":")
    if not (colon and _dotted(module) and _dotted(attribute.removesuffix("()"))):
        raise ValueError
    return f"{module}:{attribute}"


def _queue(value: object) -> str:
    name = _text(value)
    if len(name) > LONGEST_NAME or not name.isprintable() or name.startswith("!") or set(name) & set("*?[] "):
        raise ValueError
    return name


def _table_prefix(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_PREFIX:
        raise ValueError
    lower = value.replace("_", "a")
    if value and not (lower.isalnum() and lower.isascii() and lower.islower() and not value[0].isdigit()):
        raise ValueError
    return value


def _database(value: object) -> str:
    url = _text(value)
    database_url.parse(url)
    return url


def _list(check: Callable[[object], str]) -> Callable[[object], tuple[str, ...]]:
    def check_all(value: object) -> tuple[str, ...]:
        return tuple(check(item) for item in (value if isinstance(value, list | tuple) else [value]))

    return check_all


def _wake(value: object) -> str:
    url = _text(value)
    scheme, separator, place = url.partition("://")
    if not separator or scheme not in TRANSPORTS or not place or not url.isprintable():
        raise ValueError
    return url


def _notify(value: object) -> str:
    url = _text(value)
    scheme, separator, _ = url.partition("://")
    if not separator or not scheme.isalnum() or not url.isprintable():
        raise ValueError
    return url


def _ping(value: object) -> str:
    url = _text(value)
    scheme, separator, place = url.partition("://")
    if not separator or scheme not in ("http", "https") or not place.strip("/") or not _is_plain(url):
        raise ValueError
    return url.rstrip("/")


def _sentry(value: object) -> str:
    url = _text(value)
    scheme, separator, place = url.partition("://")
    key, at, path = place.partition("@")
    host, _, project = path.rpartition("/")
    if not separator or scheme not in ("http", "https") or not (key and at and host) or not project.isdecimal():
        raise ValueError
    return url


def _is_plain(url: str) -> bool:
    return url.isascii() and url.isprintable() and " " not in url


def _prefix(value: object) -> str:
    prefix = _text(value)
    module, colon, name = prefix.partition(":")
    if not _dotted(module) or (colon and not _dotted(name)):
        raise ValueError
    return prefix


def _command(value: object) -> str | list[str]:
    if isinstance(value, list | tuple) and value and isinstance(value[0], str) and value[0]:
        return [_argument(item) for item in value]
    return _text(value)


def _argument(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    return value


def _pattern(value: object) -> str:
    pattern = _text(value)
    words = pattern.split(".")
    if not pattern.isprintable() or " " in pattern or not all(_is_word(word) for word in words):
        raise ValueError
    return pattern


def _is_word(word: str) -> bool:
    return word in ("*", "#") or bool(word and not set(word) & set("*#"))


_PRIORITY = _whole(0, 999)
_ATTEMPTS = _whole(1, 1_000_000)
_ON_FAILED = choice("release", "hold")
_RESULTS = choice("keep", "require")
_EVENT_PATTERN = Setting("words joined by dots, where * stands for one word and # for any number", _pattern)
_SUBSCRIBERS = Setting("the name of a task or an array of them", _list(_text))

SETTINGS: dict[str, Setting] = {
    "database": Setting(
        "a URL such as sqlite:///cronq.db or mysql+pymysql://user:password@host/name", _database, secret=True
    ),
    "app": Setting("module:attribute such as shop.jobs:queue, or shop:create_app()", _app),
    "commands": Setting("true or false", _bool, from_text=lambda text: _BOOLS.get(text.lower(), text)),
    "jobs": _whole(1, 10_000),
    "time_limit": _duration(positive=True),
    "grace": _duration(),
    "notify_after": _ATTEMPTS,
    "crash_limit": _ATTEMPTS,
    "notify_command": Setting("a shell command, or a program and its arguments as an array", _command, secret=True),
    "notify": Setting(
        "a URL or an array of URLs such as mailto://user:password@host",
        _list(_notify),
        from_text=str.split,
        secret=True,
    ),
    "otel": Setting("true or false", _bool, from_text=lambda text: _BOOLS.get(text.lower(), text)),
    "sentry": Setting("a Sentry DSN such as https://key@host/1", _sentry, secret=True),
    "ping": Setting("a URL such as https://hc-ping.com/UUID", _ping, secret=True),
    "wake": Setting(
        f"a URL or an array of URLs with one of the schemes {', '.join(TRANSPORTS)}",
        _list(_wake),
        from_text=str.split,
        secret=True,
    ),
    "retention": _duration(),
    "lock_dir": Setting("a directory", _text),
    "log": Setting(f"{', '.join(map(repr, LOGS))} or the path of a file", _text),
    "log_level": choice("debug", "info", "warning", "error"),
    "log_format": choice("text", "json"),
    "table_prefix": Setting(f"at most {LONGEST_PREFIX} lower-case letters, digits and _", _table_prefix),
    "synchronous": choice("full", "normal"),
    "lease": _duration(positive=True),
    "patience": _duration(),
    "wait_cap": _duration(positive=True),
    "group_on_failed": _ON_FAILED,
    "results": _RESULTS,
    "result_limit": Setting("an amount of memory up to 8M such as 64K or 1M", _result_limit),
    "child_max_jobs": _whole(1, 1_000_000_000),
    "child_max_memory": Setting("an amount of memory such as 512M, 1G, or a number of bytes", parse_memory),
    "timezone": Setting("the name of a time zone such as Europe/Prague", _text),
    "declare": choice("auto", "sync"),
    "allow": Setting("the name of a module, or module:Class, or an array of them", _list(_prefix), from_text=str.split),
}
"""The top-level keys of cronq.toml, its tables aside."""

RETRY: dict[str, Setting] = {
    "max_attempts": _ATTEMPTS,
    "base": _duration(),
    "cap": _duration(),
    "jitter": _share(),
}
"""The keys of [retry]."""

TASK: dict[str, Setting] = {
    **RETRY,
    "queue": Setting("the name of a queue, without spaces, * ? [ ] or a leading !", _queue),
    "priority": _PRIORITY,
    "time_limit": SETTINGS["time_limit"],
    "notify_after": SETTINGS["notify_after"],
    "on_crash": choice("retry", "fail"),
    "crash_limit": SETTINGS["crash_limit"],
    "group_on_failed": _ON_FAILED,
    "results": _RESULTS,
    "limit": Setting("the name of a limit, such as smtp or customer:{customer_id}", _text),
}
"""The keys of [tasks."name"]."""

BY_DOTTED_KEY: dict[str, Setting] = SETTINGS | {f"retry.{name}": setting for name, setting in RETRY.items()}
"""The keys that an environment variable can set: CRONQ_JOBS for jobs, CRONQ_RETRY_BASE for retry.base."""

KEYS = (*BY_DOTTED_KEY, *TABLES[1:])
"""All keys that have a value and an origin."""
