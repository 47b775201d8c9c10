"""The configuration: where it is found, what overrides what, and what is refused in which words."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from cronq.config import loader, settings
from cronq.config.loader import Config
from cronq.errors import ConfigError
from cronq.locks import folder

EVERY_KEY = """\
database = "sqlite:///data/cronq.db"
app = "shop.jobs:queue"
commands = true
jobs = 4
time_limit = "1h"
grace = 0
notify_after = 3
crash_limit = 7
notify = ["mailto://ann:pw@mail.example.org", "slack://a/b/c"]
otel = true
sentry = "https://key@sentry.example.org/1"
ping = "https://hc-ping.com/5f6e"
notify_command = ["mail", "-s", "cronq", "ops"]
wake = "tcp://127.0.0.1:11137"
retention = "14d"
log = "logs/cronq.log"
log_level = "warning"
log_format = "json"
lock_dir = "locks"
table_prefix = "shop_"
synchronous = "normal"
lease = "30s"
patience = "20s"
wait_cap = "2d"
group_on_failed = "hold"
results = "require"
result_limit = "1M"
child_max_jobs = 1000
child_max_memory = "1G"
timezone = "Europe/Prague"
declare = "sync"
allow = ["shop.mailer", "shop.images:Scaler"]
[retry]
max_attempts = 5
base = "10s"
cap = 600
jitter = 0
[tasks."mail.send"]
queue = "mail"
priority = 10
max_attempts = 3
time_limit = "60s"
base = "1m"
cap = "5m"
jitter = 0.5
on_crash = "fail"
crash_limit = 2
group_on_failed = "release"
notify_after = 1
results = "keep"
limit = "smtp"
[events]
"shot.*" = ["generate", "log"]
"#" = "audit"
[schedules."report.daily"]
cron = "30 2 * * *"
[schedules."report.daily".args]
region = "eu"
[limits]
smtp = 10
[web]
auth = "basic"
[web.users]
ann = "scrypt:32768:8:1$salt$hash"
"""


class Place:
    """A current directory and a home, both empty, and the configuration as it is found there."""

    def __init__(self, root: Path) -> None:
        self.here = root / "here"
        self.home = root / "home"
        self.here.mkdir()
        self.home.mkdir()

    def load(self, *, file: str | None = None, database: str | None = None, **environ: str) -> Config:
        return loader.load(file=file, database=database, environ={"HOME": str(self.home), **environ})

    def write(self, text: str, name: str = "cronq.toml") -> Path:
        path = self.here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def refusal(self, text: str) -> str:
        path = self.write(text)
        with pytest.raises(ConfigError) as refused:
            self.load()
        message = str(refused.value)
        assert message.startswith(f"{path}: ")
        assert "\n" not in message
        return message.removeprefix(f"{path}: ")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    place = Place(tmp_path)
    monkeypatch.chdir(place.here)
    monkeypatch.setattr(loader, "SYSTEM_FILE", str(tmp_path / "etc.toml"))
    return place


def test_without_any_configuration_the_queue_is_in_the_state_directory(place: Place) -> None:
    found = place.load()
    assert found.file is None
    assert found.database == f"sqlite:///{place.home}/.local/state/cronq/cronq.db"
    assert found.sqlite_path() == f"{place.home}/.local/state/cronq/cronq.db"
    assert found.lock_dir == f"{place.home}/.local/state/cronq/cronq.db.locks"
    assert (found.app, found.commands, found.jobs, found.time_limit) == (None, None, 2, 3600)
    assert (found.retry.max_attempts, found.retry.base, found.retry.cap) == (20, 60, 960)
    assert (found.wait_cap, found.child_max_memory) == (7 * 86400, 512 * 1024 * 1024)
    assert set(found.origins.values()) == {"default"}


def test_every_key_is_taken_and_converted(place: Place) -> None:
    path = place.write(EVERY_KEY)
    found = place.load()
    assert found.file == str(path)
    assert found.sqlite_path() == f"{place.here}/data/cronq.db"
    assert found.lock_dir == f"{place.here}/locks"
    assert (found.log, found.log_level, found.log_format) == (f"{place.here}/logs/cronq.log", "warning", "json")
    assert (found.app, found.commands, found.jobs) == ("shop.jobs:queue", True, 4)
    assert (found.time_limit, found.grace, found.lease, found.wait_cap) == (3600, 0, 30, 2 * 86400)
    assert found.patience == 20
    assert (found.crash_limit, found.otel) == (7, True)
    assert (found.notify_after, found.notify_command) == (3, ["mail", "-s", "cronq", "ops"])
    assert found.notify == ("mailto://ann:pw@mail.example.org", "slack://a/b/c")
    assert (found.sentry, found.ping) == ("https://key@sentry.example.org/1", "https://hc-ping.com/5f6e")
    assert (found.wake, found.retention) == (("tcp://127.0.0.1:11137",), 14 * 86400)
    assert (found.table_prefix, found.synchronous, found.group_on_failed) == ("shop_", "normal", "hold")
    assert (found.child_max_jobs, found.child_max_memory) == (1000, 1 << 30)
    assert (found.results, found.result_limit) == ("require", 1 << 20)
    assert found.allow == ("shop.mailer", "shop.images:Scaler")
    assert vars(found.retry) == {"max_attempts": 5, "base": 10, "cap": 600, "jitter": 0}
    assert found.events == {"shot.*": ("generate", "log"), "#": ("audit",)}
    assert (found.timezone, found.declare) == ("Europe/Prague", "sync")
    assert found.schedules == {"report.daily": {"cron": "30 2 * * *", "args": {"region": "eu"}}}
    assert found.limits == {"smtp": 10}
    assert found.web == {"auth": "basic", "users": {"ann": "scrypt:32768:8:1$salt$hash"}}
    assert set(found.origins.values()) == {f"file {path}"}


def test_the_example_has_every_key() -> None:
    table = tomllib.loads(EVERY_KEY)
    assert set(table) == {*settings.SETTINGS, *settings.TABLES}
    assert set(table["retry"]) == set(settings.RETRY)
    assert set(table["tasks"]["mail.send"]) == set(settings.TASK)
    assert set(settings.SETTINGS) <= set(Config.__annotations__)


def test_a_task_has_its_own_settings(place: Place) -> None:
    place.write(EVERY_KEY)
    found = place.load()
    assert found.task_setting("mail.send") == {
        "queue": "mail",
        "priority": 10,
        "max_attempts": 3,
        "time_limit": 60,
        "base": 60,
        "cap": 300,
        "jitter": 0.5,
        "on_crash": "fail",
        "crash_limit": 2,
        "group_on_failed": "release",
        "notify_after": 1,
        "results": "keep",
        "limit": "smtp",
    }
    assert found.task_setting("other") == {}


def test_the_first_file_wins(place: Place) -> None:
    """Each file is removed after its turn, so that the next one is found."""
    places = [
        place.write("jobs = 3"),
        place.write("[tool.cronq]\njobs = 4", "pyproject.toml"),
        place.write("jobs = 5", "../home/.config/cronq/cronq.toml"),
        place.write("jobs = 6", "../etc.toml"),
    ]
    named, from_environment = place.write("jobs = 1", "a.toml"), place.write("jobs = 2", "b.toml")
    assert place.load(file=str(named), CRONQ_CONFIG=str(from_environment)).jobs == 1
    assert place.load(CRONQ_CONFIG=str(from_environment)).jobs == 2
    for jobs, path in enumerate(places, start=3):
        found = place.load(CRONQ_CONFIG="")
        assert (found.jobs, os.path.realpath(found.file or "")) == (jobs, os.path.realpath(path))
        path.unlink()
    assert place.load().file is None


def test_a_pyproject_without_the_table_is_passed_over(place: Place) -> None:
    for text in (
        "[project]\nname = 'x'",
        "not even TOML",
        "[tool.other]\ncronq = 1",
        "x = 'cronq'",
        "tool = 'cronq'",
    ):
        place.write(text, "pyproject.toml")
        assert place.load().file is None


@pytest.mark.parametrize("text", ["[tool.cronq]\njobs = 7", "tool.cronq.jobs = 7", "tool = {cronq = {jobs = 7}}"])
def test_a_pyproject_may_write_the_table_in_any_way(place: Place, text: str) -> None:
    place.write(text, "pyproject.toml")
    assert place.load().jobs == 7


def test_the_environment_overrides_the_file_and_flags_override_both(place: Place) -> None:
    path = place.write("database = 'sqlite:///a.db'\njobs = 3\ngrace = 1\n[retry]\nbase = 1\ncap = 2")
    environ = {"CRONQ_DATABASE": "sqlite:///b.db", "CRONQ_JOBS": "4", "CRONQ_RETRY_BASE": "5m"}
    found = place.load(**environ, database="sqlite:///c.db")
    assert (found.sqlite_path(), found.jobs, found.grace) == (f"{place.here}/c.db", 4, 1)
    assert (found.retry.base, found.retry.cap) == (300, 2)
    origins = {key: found.origins[key] for key in ("database", "jobs", "grace", "retry.base", "retry.cap", "lease")}
    assert origins == {
        "database": "--db",
        "jobs": "environment CRONQ_JOBS",
        "grace": f"file {path}",
        "retry.base": "environment CRONQ_RETRY_BASE",
        "retry.cap": f"file {path}",
        "lease": "default",
    }
    assert place.load(**environ).sqlite_path() == f"{place.here}/b.db"


def test_each_scalar_key_has_an_environment_variable(place: Place) -> None:
    found = place.load(
        CRONQ_COMMANDS="false",
        CRONQ_TIME_LIMIT="2h",
        CRONQ_RETRY_MAX_ATTEMPTS="7",
        CRONQ_RETRY_JITTER="0.5",
        CRONQ_CHILD_MAX_MEMORY="1.5G",
        CRONQ_WAKE="tcp://a:1 redis://b/0",
        CRONQ_ALLOW="shop.mailer",
        CRONQ_NOTIFY_COMMAND="logger -t cronq",
        CRONQ_SYNCHRONOUS="normal",
    )
    assert (found.commands, found.time_limit, found.synchronous) == (False, 7200, "normal")
    assert (found.retry.max_attempts, found.retry.jitter) == (7, 0.5)
    assert (found.child_max_memory, found.notify_command) == (3 << 29, "logger -t cronq")
    assert (found.wake, found.allow) == (("tcp://a:1", "redis://b/0"), ("shop.mailer",))


def test_variables_that_are_no_keys_are_none_of_its_business(place: Place) -> None:
    assert place.load(CRONQ_JOB_ID="7", CRONQ_TASKS="x", CRONQ_FILE="y", CRONQ_JOBS="").jobs == 2


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("CRONQ_JOBS", "many", "jobs: expected a whole number from 1 to 10000: got 'many'"),
        ("CRONQ_JOBS", "0", "jobs: expected a whole number from 1 to 10000: got 0"),
        ("CRONQ_JOBS", "9" * 5000, "jobs: expected a whole number from 1"),
        ("CRONQ_COMMANDS", "maybe", "commands: expected true or false: got 'maybe'"),
        ("CRONQ_RETRY_BASE", "soon", "retry.base: expected a duration such as"),
        ("CRONQ_DATABASE", "geheim", "database: expected a URL"),
    ],
)
def test_a_bad_variable_is_named(place: Place, variable: str, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as refused:
        place.load(**{variable: text})
    assert str(refused.value).startswith(f"environment {variable}: {expected}")
    assert "geheim" not in str(refused.value)
    assert refused.value.exit_status == 78


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jobs = 2\njobs = 3", "line 2"),
        ("jobs = 2\n\ndatabase = 'geheim", "line 3"),
        ("jobs = ", "line 1"),
        ("x = " + "[" * 5000, "expected TOML"),
    ],
)
def test_broken_toml_is_named_with_its_line(place: Place, text: str, message: str) -> None:
    refusal = place.refusal(text)
    assert refusal.startswith("expected TOML: ")
    assert message in refusal
    assert "geheim" not in refusal


def test_a_file_that_is_not_utf8_is_named_with_its_line(place: Place) -> None:
    (place.here / "cronq.toml").write_bytes(b"jobs = 2\napp = '\xff'")
    with pytest.raises(ConfigError, match=r"expected UTF-8, line 2 is not"):
        place.load()


def test_a_named_file_must_be_there(place: Place) -> None:
    with pytest.raises(ConfigError, match=r"--config: gone.toml: expected a readable .*: No such file"):
        place.load(file="gone.toml")
    with pytest.raises(ConfigError, match=r"CRONQ_CONFIG: gone.toml: expected a readable .*: No such file"):
        place.load(CRONQ_CONFIG="gone.toml")
    with pytest.raises(ConfigError, match="Is a directory"):
        place.load(file=str(place.here))
    with pytest.raises(ConfigError, match="null byte"):
        place.load(file="a\0b")


def test_a_named_pyproject_must_have_the_table(place: Place) -> None:
    path = place.write("[project]", "pyproject.toml")
    with pytest.raises(ConfigError, match=r"expected a table .tool.cronq., there is none"):
        place.load(file=str(path))
    place.write("[tool]\ncronq = 3", "pyproject.toml")
    with pytest.raises(ConfigError, match=r"tool\.cronq: expected a table"):
        place.load()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_found_file_that_cannot_be_read_is_not_passed_over(place: Place) -> None:
    place.write("jobs = 2").chmod(0)
    with pytest.raises(ConfigError, match=r"can't be read: Permission denied"):
        place.load()


@pytest.mark.parametrize("name", ["cronq.toml", "pyproject.toml", "../home/.config/cronq/cronq.toml"])
@pytest.mark.parametrize(
    ("of_file", "of_directory"), [(0o666, 0o755), (0o644, 0o777), (0o644, 0o1777)], ids=["file", "directory", "sticky"]
)
def test_a_found_file_that_others_could_have_written_is_refused_unless_named(
    place: Place, name: str, of_file: int, of_directory: int
) -> None:
    path = place.write("[tool.cronq]\njobs = 3" if name == "pyproject.toml" else "jobs = 3", name)
    path.chmod(of_file)
    path.parent.chmod(of_directory)
    with pytest.raises(
        ConfigError, match=r"others can write to .*; if this configuration is meant, name it: --config /"
    ):
        place.load()
    assert place.load(file=str(path)).jobs == 3
    path.chmod(0o644)
    path.parent.chmod(0o755)
    assert place.load().jobs == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", ["cronq.toml", "pyproject.toml"])
@pytest.mark.parametrize("given", ["file", "directory"])
def test_a_found_file_of_another_user_is_refused_unless_named(place: Place, name: str, given: str) -> None:
    path = place.write("[tool.cronq]\njobs = 3" if name == "pyproject.toml" else "jobs = 3", name)
    os.chown(path if given == "file" else path.parent, 4242, 4242)
    with pytest.raises(ConfigError, match=r"belongs to the user 4242; if this configuration is meant, name it"):
        place.load()
    assert place.load(file=str(path)).jobs == 3


def test_a_pyproject_without_cronq_may_belong_to_anyone(place: Place) -> None:
    place.write("[project]\nname = 'cronq-user'", "pyproject.toml").chmod(0o666)
    assert place.load().file is None


def test_the_callers_group_is_no_other(place: Place) -> None:
    path = place.write("jobs = 3")
    path.chmod(0o664)
    assert path.stat().st_gid == os.getegid()
    assert place.load().jobs == 3


def test_paths_are_relative_to_the_file_they_come_from(place: Place) -> None:
    text = "database = 'sqlite:///./cronq.db'\nlock_dir = 'locks'"
    other = place.write(text, "../etc/shop.toml")
    found = place.load(file="../etc/shop.toml")
    assert os.path.realpath(found.sqlite_path() or "") == os.path.realpath(other.parent / "cronq.db")
    assert os.path.realpath(found.lock_dir) == os.path.realpath(other.parent / "locks")
    found = place.load(file=str(other), database="sqlite:///mine.db", CRONQ_LOCK_DIR="run")
    assert (found.sqlite_path(), found.lock_dir) == (f"{place.here}/mine.db", f"{place.here}/run")


def test_a_tilde_is_the_home_directory(place: Place) -> None:
    found = place.load(database="sqlite:///~/q.db", CRONQ_LOCK_DIR="~/locks")
    assert (found.sqlite_path(), found.lock_dir) == (f"{place.home}/q.db", f"{place.home}/locks")


def test_a_current_directory_that_is_gone_needs_absolute_paths(place: Place) -> None:
    place.here.rmdir()
    assert place.load().file is None
    with pytest.raises(ConfigError, match=r"--db: database: expected an absolute path here"):
        place.load(database="sqlite:///q.db")


def test_without_home_the_password_database_knows_it() -> None:
    import pwd

    home = pwd.getpwuid(os.geteuid()).pw_dir
    assert loader.load(file="/dev/null", environ={}).sqlite_path() == f"{home}/.local/state/cronq/cronq.db"


@pytest.mark.usefixtures("place")
def test_a_user_without_home_must_name_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 987654)
    with pytest.raises(ConfigError, match=r"no home directory to keep a queue in"):
        loader.load(environ={})
    assert loader.load(environ={"CRONQ_DATABASE": "sqlite:////srv/q.db"}).sqlite_path() == "/srv/q.db"


def test_locks_of_a_file_lie_beside_it_whatever_link_leads_there(place: Place) -> None:
    (place.here / "link").symlink_to(place.home)
    direct = loader.from_database(f"sqlite:///{place.home}/q.db")
    linked = loader.from_database("sqlite:///link/q.db")
    assert direct.lock_dir == linked.lock_dir == f"{os.path.realpath(place.home)}/q.db.locks"
    assert direct.identity() == linked.identity()
    assert direct.identity() != direct.with_values(table_prefix="other_").identity()


def test_locks_of_a_server_lie_where_only_this_user_writes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    shared, state = place.home / "shared", place.home / ".local/state/cronq"
    monkeypatch.setattr(loader, "SYSTEM_LOCK_DIR", str(shared))
    given = place.load(database="mysql://db/shop")
    assert (given.lock_dir, given.sqlite_path()) == (f"{state}/locks", None)
    assert folder(given) == f"{state}/locks"
    assert (state / "locks").stat().st_mode & 0o777 == 0o700
    assert given.with_values().lock_dir == f"{state}/locks"
    state.chmod(0o777)
    assert given.with_values().lock_dir == str(shared)
    shared.mkdir(mode=0o777)
    shared.chmod(0o777)
    assert given.with_values().lock_dir == f"{state}/locks"


def test_locks_of_a_server_need_no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(loader, "SYSTEM_LOCK_DIR", str(tmp_path / "locks"))
    monkeypatch.setattr(os, "geteuid", lambda: 987654)
    assert loader.load(environ={"CRONQ_DATABASE": "mysql://db/shop"}).lock_dir == str(tmp_path / "locks")


def test_a_database_alone_takes_no_file_and_no_environment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write("jobs = 9")
    monkeypatch.setenv("CRONQ_JOBS", "8")
    found = loader.from_database("sqlite:///jobs.db")
    assert (found.jobs, found.file, found.sqlite_path()) == (2, None, f"{place.here}/jobs.db")
    with pytest.raises(ConfigError, match=r"^given: database: expected a URL"):
        loader.from_database("jobs.db")


def test_a_copy_has_other_values_and_is_checked_the_same_way(place: Place) -> None:
    place.write("jobs = 3\n[retry]\nbase = 1")
    found = place.load()
    changed = found.with_values("--jobs", jobs=5, lease="90s", retry={"cap": 2}, wake=("tcp://a:1",))
    assert (changed.jobs, changed.lease, changed.retry.base, changed.retry.cap) == (5, 90, 1, 2)
    assert (changed.wake, changed.origins["jobs"], changed.file) == (("tcp://a:1",), "--jobs", found.file)
    assert (found.jobs, found.lease, found.retry.cap, found.wake) == (3, 60, 960, ())
    moved = found.with_values(database="sqlite:////srv/other.db")
    assert moved.lock_dir == "/srv/other.db.locks"
    with pytest.raises(ConfigError, match=r"^--jobs: jobs: expected a whole number"):
        found.with_values("--jobs", jobs=0)
    with pytest.raises(ConfigError, match=r"did you mean 'lease'"):
        found.with_values(leese=0)


@pytest.mark.parametrize(
    "password",
    ["geheim", "ge%40heim%2F", "geheim:geheim", "geheim/geheim?", "ge heim#", "%67eheim", "geheim[]"],
)
def test_a_password_is_not_shown(place: Place, password: str) -> None:
    found = place.load(database=f"mysql+pymysql://shop:{password}@db/shop?ssl_key_password=geheim")
    assert found.safe_database() == "mysql+pymysql://shop:***@db/shop?ssl_key_password=***"
    for text in (
        repr(found),
        found.safe_database(),
        found.identity(),
        repr(found.database_url()),
        str(found.origins),
    ):
        assert "heim" not in text


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CRONQ_DATABSE", "CRONQ_DATABASE"),
        ("CRONQ_TIMELIMIT", "CRONQ_TIME_LIMIT"),
        ("CRONQ_RETRY_BAES", "CRONQ_RETRY_BASE"),
        ("CRONQ_CONFG", "CRONQ_CONFIG"),
    ],
)
def test_a_misspelt_variable_is_named_with_the_one_it_resembles(name: str, meant: str) -> None:
    assert loader.misspelt({name: "x"}) == [f"{name} in the environment is ignored, did you mean {meant}?"]


@pytest.mark.parametrize("name", ["CRONQ_JOB_ID", "CRONQ_NOTICE_TASK", "CRONQ_CHILD", "CRONQ_JOBS", "CRONQ_SHOP_NAME"])
def test_other_variables_are_left_alone(name: str) -> None:
    assert loader.misspelt({name: "x", "PATH": "/bin"}) == []
