"""What is refused in the configuration, in which words, and what those words never contain."""

from __future__ import annotations

import tomllib
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cronq.config import loader, settings
from cronq.errors import ConfigError


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        settings.read(tomllib.loads(text), where="cronq.toml")
    message = str(refused.value)
    assert message.startswith("cronq.toml: ")
    assert "\n" not in message
    return message.removeprefix("cronq.toml: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("job = 2", "job: unknown key, did you mean 'jobs'?"),
        ("time-limit = 2", "time-limit: unknown key, did you mean 'time_limit'?"),
        ("xyzzy = 2", "xyzzy: unknown key, expected one of allow, app, child_max_jobs,"),
        ("[retry]\nbas = 1", "retry.bas: unknown key, did you mean 'base'?"),
        ("[tasks.'mail.send']\nprio = 1", "tasks.\"mail.send\".prio: unknown key, did you mean 'priority'?"),
        ("[tasks.mail]\nxyzzy = 1", "tasks.mail.xyzzy: unknown key, expected one of base, cap,"),
        ("retry = 3", "retry: expected a table, got 3"),
        ("tasks = 'x'", "tasks: expected a table, got another text"),
        ("[tasks]\nmail = 3", "tasks.mail: expected a table, got 3"),
        ("events = []", "events: expected a table, got an array"),
        ("jobs = 0", "jobs: expected a whole number from 1 to 10000: got 0"),
        ("jobs = true", "jobs: expected a whole number from 1 to 10000: got true"),
        ("jobs = 2.0", "jobs: expected a whole number from 1 to 10000: got 2.0"),
        ("jobs = '2'", "jobs: expected a whole number from 1 to 10000: got '2'"),
        ("jobs = [2]", "jobs: expected a whole number from 1 to 10000: got an array"),
        ("commands = 1", "commands: expected true or false: got 1"),
        ("commands = 'true'", "commands: expected true or false: got 'true'"),
        (
            "app = 'shop.jobs'",
            "app: expected module:attribute such as shop.jobs:queue, or shop:create_app(): got 'shop.jobs'",
        ),
        (
            "app = 3",
            "app: expected module:attribute such as shop.jobs:queue, or shop:create_app(): got 3",
        ),
        ("time_limit = 0", "time_limit: expected a duration of more than 0 s such as 90, 90s, 15m"),
        ("time_limit = 'an hour'", "time_limit: expected a duration of more than 0 s such as 90, 90s, 15m"),
        ("grace = -1", "grace: expected a duration such as 90, 90s, 15m, 1h30m or 14d: got -1"),
        ("grace = true", "grace: expected a duration such as 90, 90s, 15m, 1h30m or 14d: got true"),
        ("grace = inf", "grace: expected a duration such as 90, 90s, 15m, 1h30m or 14d: got inf"),
        (
            "retention = 2026-11-21",
            "retention: expected a duration such as 90, 90s, 15m, 1h30m or 14d: got a date",
        ),
        (
            "lease = 00:01:00",
            "lease: expected a duration of more than 0 s such as 90, 90s, 15m, 1h30m or 14d: got a da",
        ),
        ("notify_after = 0", "notify_after: expected a whole number from 1 to"),
        ("notify = ['ann@example.org']", "notify: expected a URL or an array of URLs such as mailto://"),
        ("sentry = 'https://sentry.example.org/1'", "sentry: expected a Sentry DSN such as https://key@host/1"),
        ("ping = 'ftp://a/b'", "ping: expected a URL such as https://hc-ping.com/UUID"),
        ("notify_command = []", "notify_command: expected a shell command, or a program and its arguments"),
        (
            "notify_command = ['x', 3]",
            "notify_command: expected a shell command, or a program and its arguments",
        ),
        ("wake = 'http://x'", "wake: expected a URL or an array of URLs with one of the schemes tcp, unix, amqp"),
        ("wake = [3]", "wake: expected a URL or an array of URLs with one of the schemes tcp, unix, amqp"),
        ("lock_dir = ''", "lock_dir: expected a directory: got ''"),
        (
            "table_prefix = 'x; drop'",
            "table_prefix: expected at most 32 lower-case letters, digits and _: got",
        ),
        ("table_prefix = 'Shop_'", "table_prefix: expected at most 32 lower-case letters, digits and _: got"),
        ("table_prefix = '1_'", "table_prefix: expected at most 32 lower-case letters, digits and _: got"),
        ("synchronous = 'off'", "synchronous: expected 'full' or 'normal': got 'off'"),
        ("synchronous = ['full']", "synchronous: expected 'full' or 'normal': got an array"),
        (
            "child_max_memory = '1X'",
            "child_max_memory: expected an amount of memory such as 512M, 1G, or a number",
        ),
        (
            "child_max_memory = 0",
            "child_max_memory: expected an amount of memory such as 512M, 1G, or a number",
        ),
        (
            "child_max_memory = true",
            "child_max_memory: expected an amount of memory such as 512M, 1G, or a number",
        ),
        ("allow = ''", "allow: expected the name of a module, or module:Class, or an array of them: got ''"),
        (
            "allow = ['*']",
            "allow: expected the name of a module, or module:Class, or an array of them: got an",
        ),
        ("retry.jitter = 2", "retry.jitter: expected a share from 0 to 1 such as 0.1: got 2"),
        ("retry.jitter = nan", "retry.jitter: expected a share from 0 to 1 such as 0.1: got nan"),
        ("retry.max_attempts = 0", "retry.max_attempts: expected a whole number from 1 to"),
        ("[tasks.a]\npriority = 1000", "tasks.a.priority: expected a whole number from 0 to 999: got 1000"),
        ("[tasks.a]\npriority = -1", "tasks.a.priority: expected a whole number from 0 to 999: got -1"),
        (
            "[tasks.a]\nqueue = '!mail'",
            "tasks.a.queue: expected the name of a queue, without spaces, * ? [ ] or",
        ),
        ("[tasks.a]\non_crash = 'again'", "tasks.a.on_crash: expected 'retry' or 'fail': got 'again'"),
        (
            "[events]\n'a..b' = 'x'",
            'events."a..b": expected words joined by dots, where * stands for one word',
        ),
        ("[events]\n'a*' = 'x'", 'events."a*": expected words joined by dots, where * stands for one word'),
        ("[events]\na = 3", "events.a: expected the name of a task or an array of them: got 3"),
        ("database = 3", "database: expected a URL such as sqlite:///cronq.db"),
        ("database = 'sqlite:///:memory:'", "database: expected a URL such as sqlite:///cronq.db"),
    ],
)
def test_a_bad_value_is_named_with_what_was_expected(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


_TRICKY = st.text(st.sampled_from("@:/?#%[]&= '\"\\+é4\n"), max_size=6)


@given(
    before=_TRICKY,
    after=_TRICKY,
    encode=st.booleans(),
    shape=st.sampled_from(
        [
            "mysql://shop:{}@db/shop",
            "mysql://shop:{}",
            "mysql//shop:{}@db/shop",
            "shop:{}@db",
            "oracle://shop:{}@db/x",
            "mysql://shop:x@db:{}/shop",
            "postgresql://db/shop?password={}",
            "postgresql://db/shop?sslmode=off&sslpassword={}&x=y",
            "host=db password={}",
            "sqlite://shop:{}@db",
        ]
    ),
)
def test_no_form_of_a_password_gets_into_an_error(before: str, after: str, encode: bool, shape: str) -> None:
    password = f"{before}geheim{after}"
    assume(encode or "@" in shape.partition("{}")[2] or "/" not in before)  # behind a slash it is a database's name
    url = shape.format(quote(password, safe="") if encode else password)
    try:
        shown = repr(loader.from_database(url))
    except ConfigError as error:
        shown = f"{error} {error.__cause__}"
    if "&" not in password or encode:
        assert "geheim" not in shown


@pytest.mark.parametrize("key", ["wake", "notify", "sentry", "ping", "notify_command", "database"])
@pytest.mark.parametrize("value", ["['ftp://a:geheim@b', 3]", "{ geheim = 1 }", '"\\u0000geheim"', "''"])
def test_values_that_may_hold_a_secret_are_not_quoted(key: str, value: str) -> None:
    assert "geheim" not in refusal(f"{key} = {value}")
