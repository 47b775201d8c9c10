"""The configuration: every key, what overrides what, and what is refused in which words."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from cronq.config import loader, settings
from cronq.config.loader import Config
from cronq.errors import ConfigError
from cronq.locks import folder
from tests.unit.conftest import Place

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
