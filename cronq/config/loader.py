"""Load the configuration: one checked value, read once and passed down.

Values come from the defaults (on `Config`, nowhere else), the first file found, the environment
and the command line's flags; later ones override earlier ones. No other package reads settings from `os.environ`.
It is part of each start: without a file it imports next to nothing.
"""

from __future__ import annotations

import os
import stat

from cronq.config import database_url, settings, toml
from cronq.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SYSTEM_FILE = "/etc/cronq/cronq.toml"
SCRATCH = "cronq.testing"
"""The origin of the database's URL within `cronq.testing.scratch`."""

SYSTEM_LOCK_DIR = "/run/lock/cronq"
_PYPROJECT = "pyproject.toml"
_OURS = "CRONQ_"
_VARIABLES = ("CRONQ_CONFIG", "CRONQ_DEBUG")
"""Variables of cronq beside those of the settings."""

_FOR_JOBS = ("CRONQ_JOB_", "CRONQ_NOTICE", "CRONQ_CHILD", "CRONQ_PROGRESS", "CRONQ_SCHEDULED_")
"""Prefixes of the variables that jobs and commands receive."""

_ALIKE = 0.85


class RetrySettings:
    """The delays and the number of attempts; base and cap in seconds, jitter as a share of the delay."""

    max_attempts: int = 20
    base: float = 60.0
    cap: float = 960.0
    jitter: float = 0.1


class Config:
    """All settings with their values, made by `load` or `from_database`; treat it as immutable.

    Durations are seconds, sizes are bytes, paths are absolute.
    """

    file: str | None = None
    """The configuration file in use, absolute."""
    database: str
    app: str | None = None
    commands: bool | None = None
    """None: decided by the owner and mode of the database's file."""
    jobs: int = 2
    time_limit: float = 3600.0
    grace: float = 10.0
    notify_after: int = 5
    crash_limit: int = 3
    """The number of deaths of its process after which a job is given up."""
    notify_command: str | list[str] | None = None
    notify: tuple[str, ...] = ()
    otel: bool = False
    """Whether enqueueing and attempts are traced with OpenTelemetry."""
    sentry: str | None = None
    ping: str | None = None
    wake: tuple[str, ...] = ()
    retention: float | None = None
    log: str | None = None
    """`stderr`, `syslog`, or the absolute path of a file; None: only `-v` shows it."""
    log_level: str = "info"
    log_format: str = "text"
    lock_dir: str
    table_prefix: str = "cronq_"
    synchronous: str = "full"
    lease: float = 60.0
    patience: float = 30.0
    """Seconds for which a statement is retried while the database is unreachable or locked."""
    wait_cap: float = 7 * 86400.0
    """The seconds for which a job may be `waiting` at most, all its snoozes together."""
    group_on_failed: str = "release"
    results: str = "keep"
    """`require`: a job whose result can't be stored fails; `keep`: that is a warning."""
    result_limit: int = 64 << 10
    child_max_jobs: int = 100_000
    child_max_memory: int = 512 << 20
    allow: tuple[str, ...] = ()
    """Modules and classes whose callables may run without being registered."""
    timezone: str = "UTC"
    """The time zone of schedules without their own."""
    declare: str = "auto"
    """`auto`: each run declares schedules that have changed; `sync`: only `cronq schedules sync` does."""
    retry: RetrySettings
    tasks: Mapping[str, dict[str, object]]
    events: Mapping[str, tuple[str, ...]]
    web: Mapping[str, object]
    """The table [web] as it was read; cronq/web/settings.py checks it."""
    limits: Mapping[str, object]
    """The table [limits] as it was read; cronq/flow/configured.py checks it."""
    origins: dict[str, str]
    """The origin of each value: "default", "file PATH", "environment CRONQ_X", "--db"."""

    def __init__(self, layers: _Layers, *, file: str | None = None) -> None:
        self._layers, self.file = layers, file
        self._schedules: Mapping[str, dict[str, object]] | toml.Unread = {}
        self.tasks, self.events, self.web, self.limits = {}, {}, {}, {}
        self.retry = RetrySettings()
        self.origins = dict.fromkeys(settings.KEYS, "default") | layers.origins
        for key, value in layers.values.items():
            section, _, name = key.rpartition(".")
            setattr(self.retry if section else self, "_schedules" if name == "schedules" else name, value)
        if "database" not in layers.values:
            self.database = f"sqlite:///{_state_directory(layers.home)}/cronq.db"
        if "lock_dir" not in layers.values:
            self.lock_dir = self._usual_lock_dir()

    @property
    def schedules(self) -> Mapping[str, dict[str, object]]:
        """The tables [schedules."name"]; cronq/schedules/definition.py checks them. Raises ConfigError for bad TOML."""
        if isinstance(self._schedules, toml.Unread):
            return self._schedules.tables()
        return self._schedules

    def read_schedules(self) -> None:
        """Read the schedules unless they have been read, so that ConfigError is raised now."""
        _ = self.schedules

    def written_schedules(self) -> str:
        """Return a text that changes when the schedules do, empty if there are none."""
        if isinstance(self._schedules, toml.Unread):
            return self._schedules.text
        return repr(self._schedules) if self._schedules else ""

    def __repr__(self) -> str:
        """Show the database without its password, and the file."""
        return f"Config(database={self.safe_database()!r}, file={self.file!r})"

    def with_values(self, origin: str = "given", /, **values: object) -> Config:
        """Return a copy with these values, checked as in a file: `with_values(jobs=4, lease="90s")`.

        `retry` is merged key by key, the other tables are replaced; paths are relative to
        the current directory. `origin` is what errors and `origins` name. Raises ConfigError.
        """
        layers = self._layers.copy()
        layers.add(settings.read(values, where=origin), origin=origin, directory="")
        return Config(layers, file=self.file)

    def task_setting(self, name: str) -> dict[str, object]:
        """Return the table [tasks."name"], empty if there is none."""
        return self.tasks.get(name, {})

    def database_url(self) -> database_url.DatabaseURL:
        """Return the parts of the database's URL."""
        return database_url.parse(self.database)

    def database_file(self) -> str | None:
        """Return the absolute path of the database's file; None if the database is a server."""
        url = self.database_url()
        return url.name if url.is_file else None

    def sqlite_path(self) -> str | None:
        """Return the absolute path of the SQLite file, for programs that open it too; None for another database."""
        return self.database_file() if self.database_url().family == "sqlite" else None

    def safe_database(self) -> str:
        """Return the database's URL with *** for the password."""
        return database_url.without_password(self.database)

    def identity(self) -> str:
        """Return the same text for all URLs of this queue; for names of locks."""
        url, path = self.database_url(), self.database_file()
        where = url.identity() if path is None else f"{url.family}://{os.path.realpath(path)}"
        return f"{where}#{self.table_prefix}"

    def _usual_lock_dir(self) -> str:
        path = self.database_file()
        if path is not None:
            return f"{os.path.realpath(path)}.locks"
        home = self._layers.home
        if (home is None or not _could_own(_state_directory(home))) and _could_own(SYSTEM_LOCK_DIR):
            return SYSTEM_LOCK_DIR
        return f"{_state_directory(home)}/locks"


class _Layers:
    """Collects values by dotted key from all sources, with the origin of each."""

    __slots__ = ("home", "origins", "values")

    def __init__(self, home: str | None) -> None:
        self.home = home
        self.values: dict[str, object] = {}
        self.origins: dict[str, str] = {}

    def copy(self) -> _Layers:
        twin = _Layers(self.home)
        twin.values.update(self.values)
        twin.origins.update(self.origins)
        return twin

    def add(self, values: dict[str, object], *, origin: str, directory: str) -> None:
        """Override earlier values; relative paths start at the directory."""
        for key in ("database", "lock_dir", "log"):
            if key in values and values[key] not in settings.LOGS:
                values[key] = self._placed(str(values[key]), key, origin=origin, directory=directory)
        self.values.update(values)
        self.origins.update(dict.fromkeys(values, origin))

    def _placed(self, value: str, key: str, *, origin: str, directory: str) -> str:
        start = database_url.file_scheme(value) if key == "database" else ""
        if start is None:
            return value
        try:
            return start + _absolute(value[len(start) :], directory=directory, home=self.home)
        except OSError as error:
            raise ConfigError(f"{origin}: {key}: expected an absolute path here: {error.strerror}") from None


def load(
    *,
    file: str | None = None,
    database: str | None = None,
    environ: Mapping[str, str] | None = None,
    project: bool = False,
    schedules: bool = True,
) -> Config:
    """Find the configuration and check it; `file` and `database` are the flags --config and --db.

    Without `file`, the first of $CRONQ_CONFIG, ./cronq.toml, [tool.cronq] in ./pyproject.toml,
    ~/.config/cronq/cronq.toml, /etc/cronq/cronq.toml and the Django project of $DJANGO_SETTINGS_MODULE
    is used; for a `project`, the Django project that runs in this process. Without `schedules` their tables
    may be read later, when `Config.schedules` is. Raises ConfigError naming the file (or variable, or flag),
    the key and what was expected.
    """
    environ = os.environ if environ is None else environ
    layers = _Layers(_home(environ))
    found = None if project else _find(file, environ, layers.home)
    if found:
        path, table = found
        values = settings.read(table, where=path)
        layers.add(values, origin=f"file {path}", directory=os.path.dirname(path))
    elif project or environ.get("DJANGO_SETTINGS_MODULE"):
        _add_django_project(layers, environ, running=project)
    _add_environment(layers, environ)
    if database is not None:
        values = settings.read({"database": database}, where="--db")
        layers.add(values, origin="--db", directory="")
    config = Config(layers, file=found[0] if found else None)
    if schedules:
        config.read_schedules()
    return config


def from_database(url: str) -> Config:
    """Make a config of the defaults and this database, without file and environment. Raises ConfigError."""
    layers = _Layers(_home(os.environ))
    values = settings.read({"database": url}, where="given")
    layers.add(values, origin="given", directory="")
    return Config(layers)


def from_django(values: dict[str, object], *, origin: str) -> Config:
    """Make a config of checked values that come from Django's settings; the environment overrides all but the database.

    Raises ConfigError for a wrong variable.
    """
    layers = _Layers(_home(os.environ))
    layers.add(values, origin=origin, directory="")
    _add_environment(layers, os.environ, but=("database", "app"))
    return Config(layers)


def _add_django_project(layers: _Layers, environ: Mapping[str, str], *, running: bool) -> None:
    from cronq.config import django_project  # here, not above: most projects are none

    module = environ.get(django_project.VARIABLE)
    found = django_project.find(module, running=running)
    if found:
        layers.add(found[1], origin=found[0], directory="")
    elif running:
        raise ConfigError(f"{module or 'settings'}: {django_project.NO_BACKEND}")


def _add_environment(layers: _Layers, environ: Mapping[str, str], *, but: tuple[str, ...] = ()) -> None:
    for key in settings.BY_DOTTED_KEY:
        variable = _variable(key)
        text = environ.get(variable)
        if text and key not in but:
            origin = f"environment {variable}"
            layers.add({key: settings.read_text(key, text, where=origin)}, origin=origin, directory="")


def misspelt(environ: Mapping[str, str] | None = None) -> list[str]:
    """Return a warning for each ignored variable whose name resembles a setting's."""
    environ = os.environ if environ is None else environ
    known = {*_VARIABLES, *map(_variable, settings.BY_DOTTED_KEY)}
    others = [name for name in environ if name.startswith(_OURS) and name not in known]
    others = [name for name in others if not name.startswith(_FOR_JOBS)]
    if not others:
        return []
    from difflib import get_close_matches

    likely = ((name, get_close_matches(name, known, n=1, cutoff=_ALIKE)) for name in sorted(others))
    return [f"{name} in the environment is ignored, did you mean {meant[0]}?" for name, meant in likely if meant]


def _variable(key: str) -> str:
    return _OURS + key.upper().replace(".", "_")


def _find(file: str | None, environ: Mapping[str, str], home: str | None) -> tuple[str, dict[str, object]] | None:
    if file is not None:
        return _named(file, flag="--config", home=home)
    if environ.get("CRONQ_CONFIG"):
        return _named(environ["CRONQ_CONFIG"], flag="CRONQ_CONFIG", home=home)
    for path in _usual_files(home):
        table = _found(path) if os.path.exists(path) else None
        if table is not None:
            return os.path.abspath(path), table
    return None


def _usual_files(home: str | None) -> Iterator[str]:
    yield "cronq.toml"
    yield _PYPROJECT
    if home is not None:
        yield f"{home}/.config/cronq/cronq.toml"
    yield SYSTEM_FILE


def _named(file: str, *, flag: str, home: str | None) -> tuple[str, dict[str, object]]:
    try:
        path = _absolute(file, directory="", home=home)
        with open(path, "rb") as stream:
            data = stream.read()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{flag}: {file}: expected a readable configuration file: {reason}") from None
    table = _table(path, data)
    if table is None:
        raise ConfigError(f"{path}: expected a table [tool.cronq], there is none")
    return path, table


def _found(path: str) -> dict[str, object] | None:
    try:
        with open(path, "rb") as stream:
            status = os.fstat(stream.fileno())
            data = stream.read()
    except OSError as error:
        raise ConfigError(f"{os.path.abspath(path)}: can't be read: {error.strerror}") from None
    table = _table(path, data)
    if table is not None:
        _require_own(os.path.abspath(path), status)
    return table


def _require_own(path: str, status: os.stat_result) -> None:
    # The file's `app` is code that runs as the caller: a `cd` must not be enough to run another user's.
    directory = os.path.dirname(path)
    for place, found in ((path, status), (directory, os.stat(directory))):
        reason = why_untrusted(place, found)
        if reason:
            raise ConfigError(f"{path}: {reason}; if this configuration is meant, name it: --config {path}")


def why_untrusted(path: str, status: os.stat_result) -> str | None:
    """Return why a file or directory isn't under the control of the caller or root alone; None if it is."""
    if status.st_uid not in (0, os.geteuid()):
        from cronq.config.owners import user_of  # here, not above: only needed for errors

        return f"{path} belongs to {user_of(status.st_uid)}"
    return f"others can write to {path}" if others_write(status) else None


def others_write(status: os.stat_result) -> bool:
    """Tell whether the mode of a file lets others write to it; the caller's own group and root's don't count."""
    others = stat.S_IWOTH if status.st_gid in (0, os.getegid()) else stat.S_IWGRP | stat.S_IWOTH
    return bool(status.st_mode & others)


def require_owner(config: Config, command: str) -> None:
    """Raise ConfigError if the database's file belongs to another user than this one.

    Jobs would run with the wrong user's rights, and leave lock files that the owner can't open.
    """
    path = config.database_file()
    try:
        owner = os.geteuid() if path is None else os.stat(path).st_uid
    except OSError:
        return  # a new queue, or opening it raises the error
    if owner != os.geteuid():
        from cronq.config.owners import whose  # here, not above: only needed for errors

        raise ConfigError(f"{path}: this queue belongs to {whose(owner, command)}")


def _table(path: str, data: bytes) -> dict[str, object] | None:
    """Read the settings of a file; None for a pyproject.toml without [tool.cronq]."""
    if os.path.basename(path) != _PYPROJECT:
        return toml.read(path, data)
    if b"cronq" not in data:
        return None
    tool = toml.read(path, data).get("tool")
    table = tool.get("cronq") if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigError(f"{os.path.abspath(path)}: tool.cronq: expected a table")
    return table


def _home(environ: Mapping[str, str]) -> str | None:
    """Return the home directory; from the password database if HOME is not set."""
    if environ.get("HOME", "").startswith("/"):
        return environ["HOME"].rstrip("/")
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_dir.rstrip("/")
    except KeyError:
        return None


def _state_directory(home: str | None) -> str:
    if home is None:
        message = "this user has no home directory to keep a queue in, expected a URL in the configuration"
        raise ConfigError(f"database: {message} or in CRONQ_DATABASE")
    return f"{home}/.local/state/cronq"


def _absolute(path: str, *, directory: str, home: str | None) -> str:
    if path.startswith("~/") and home is not None:
        return home + path[1:]
    if path.startswith("/"):
        return path
    return os.path.join(directory or os.getcwd(), path.removeprefix("./"))


def _could_own(directory: str) -> bool:
    """Tell whether a directory belongs to this user only, or can be made by them, its parents included."""
    try:
        status = os.lstat(directory)
    except FileNotFoundError:
        parent = os.path.dirname(directory)
        return _could_own(parent) if not os.path.exists(parent) else os.access(parent, os.W_OK | os.X_OK)
    except OSError:
        return False
    mine = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    return mine and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
