"""What doctor finds in crontabs and cron files, and in how cron calls."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

import pytest

from cronq import __version__
from cronq.config.loader import Config
from cronq.locks import RunLock
from cronq.model.job import NewJob
from cronq.model.selection import Selection
from cronq.monitoring.doctor import (
    cron,
    owners,
)
from cronq.storage.workers import Registration
from cronq.store import Store
from cronq.times import SECOND, Clock
from tests.integration.doctoring import bad


def last_run_began(config: Config, seconds: float) -> None:
    """As if the last run had taken its lock then."""
    with RunLock(config) as lock:
        Path(lock.path).write_text(f"1 {Clock().now() - round(seconds * SECOND)}\n")


def test_workers_count_only_for_the_queues_that_they_take(config: Config, store: Store) -> None:
    store.workers.register(Registration("w1", "work", "h", 1, "mail", __version__))
    store.enqueue([NewJob("t", queue="mail")])
    assert bad(cron.last_call, config) == []
    store.enqueue([NewJob("t", queue="reports")])
    assert bad(cron.last_call, config) == [
        "problem: no run has begun on this host yet, and jobs are due in queues, which no worker takes: reports"
    ]
    store.admin.pause("reports")
    assert bad(cron.last_call, config) == []


def test_the_users_of_crontabs_and_units_own_the_database(
    config: Config, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.prepare()
    monkeypatch.setattr(config, "file", "/srv/shop/cronq.toml")
    places = {name: tmp_path / name for name in ("cron_files", "crontabs", "units")}
    for place in places.values():
        place.mkdir()
    me, path = pwd.getpwuid(os.geteuid()).pw_name, config.sqlite_path()
    (places["cron_files"] / "cronq").write_text(f"CRONQ_CONFIG=/srv/shop/cronq.toml\n* * * * * {me} cronq run\n")
    (places["units"] / "cronq-run.service").write_text(f"Environment=CRONQ_CONFIG=/srv/shop/cronq.toml\nUser={me}\n")
    assert bad(owners.callers, config, **places) == []
    (places["units"] / "cronq-run.service").write_text("Environment=CRONQ_CONFIG=/srv/shop/cronq.toml\nUser=ann\n")
    (places["crontabs"] / "bob").write_text("*/5 * * * * cronq --config /srv/shop/cronq.toml run\n")
    (places["crontabs"] / "eve").write_text("* * * * * cronq --config /home/eve/cronq.toml run\n")
    assert bad(owners.callers, config, **places) == [
        f"problem: the crontab of bob calls cronq as bob, but {path} belongs to {me}: its runs end with 78",
        f"problem: {places['units']}/cronq-run.service calls cronq as ann, but {path} belongs to {me}:"
        " its runs end with 78",
    ]


def test_cron_that_runs_another_users_queue_is_told(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a configuration, each user has a queue of their own."""
    monkeypatch.setitem(config.origins, "database", "default")
    (tmp_path / "cronq").write_text("* * * * * cronq : cronq run; /usr/bin/cronq run\n")
    none = tmp_path / "none"
    [found] = bad(owners.callers, config, cron_files=tmp_path, crontabs=none, units=none)
    assert found.startswith(f"problem: {tmp_path}/cronq calls cronq as cronq, who has another queue")


def test_cron_that_does_not_call(config: Config, store: Store, tmp_path: Path) -> None:
    assert bad(cron.last_call, config)[0].startswith("warning: no run has begun on this host yet")
    store.enqueue([NewJob("t")])
    assert bad(cron.last_call, config) == ["problem: no run has begun on this host yet, and jobs are due"]
    last_run_began(config, 100)
    assert bad(cron.last_call, config) == []
    last_run_began(config, 400)
    [text] = bad(cron.last_call, config, processes=tmp_path)
    assert text.startswith("problem: the last run began 6m ago: cron doesn't call any more (no cron daemon")
    store.admin.cancel(store.jobs.ids(Selection()))
    assert bad(cron.last_call, config)[0].startswith("warning: ")
    with RunLock(config):
        assert bad(cron.last_call, config) == []
    store.workers.register(Registration("w1", "work", "h", 1, "", __version__))
    assert bad(cron.last_call, config) == []


GOOD = "PATH=/usr/bin:/bin\n* * * * * root /usr/bin/cronq run\n"


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("name", "text", "mode", "found"),
    [
        ("cronq", GOOD, 0o644, None),
        ("cronq", "0 0 * * * root something-else\n", 0o666, None),
        ("cronq.bak", GOOD, 0o644, "Debian's cron ignores a file with such a name"),
        ("cronq", GOOD, 0o664, "can be written by others"),
        ("cronq", GOOD, 0o755, "is executable"),
        ("cronq", GOOD[:-1], 0o644, "doesn't end with a newline"),
        ("cronq", GOOD.replace("\n", "\r\n"), 0o644, "has Windows line ends"),
        ("cronq", GOOD.replace("root", "nobody-here"), 0o644, "there is no user nobody-here"),
        ("cronq", GOOD.replace("run", "run # 100%"), 0o644, "a % ends the command"),
    ],
)
def test_the_silent_rules_of_cron_files(
    config: Config, tmp_path: Path, name: str, text: str, mode: int, found: str | None
) -> None:
    folder = tmp_path / "cron.d"
    folder.mkdir()
    (folder / name).write_bytes(text.encode())
    (folder / name).chmod(mode)
    told = bad(cron.cron_files, config, cron_files=folder)
    assert told == [] if found is None else found in told[0]


@pytest.mark.needs("root")
def test_cron_files_of_others_and_linked_ones(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "cron.d" / "cronq"
    path.parent.mkdir()
    path.write_text(GOOD)
    path.chmod(0o644)
    os.chown(path, 65534, 65534)
    os.link(path, tmp_path / "twin")
    told = bad(cron.cron_files, config, cron_files=path.parent)
    assert len(told) == 2
    assert "does not belong to root" in told[0]
    assert "2 hard links" in told[1]


def test_the_packaged_cron_file_is_fine(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "cronq"
    shutil.copy("packaging/cron.d/cronq", path)
    told = bad(cron.cron_files, config, cron_files=tmp_path)
    assert [text for text in told if "no user cronq" not in text and "belong to root" not in text] == []


def test_output_that_nobody_gets(config: Config, tmp_path: Path) -> None:
    mailers = (tmp_path / "sendmail",)
    assert bad(cron.mailer, config, mailers=mailers) == []
    last_run_began(config, 1)
    assert "no sendmail" in bad(cron.mailer, config, mailers=mailers)[0]
    mailers[0].touch()
    assert bad(cron.mailer, config, mailers=mailers) == []
