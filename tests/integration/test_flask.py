"""The Flask example as a real project, and what FlaskCronq promises."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from flask import Flask, current_app, g, has_app_context

import cronq
from cronq.errors import ConfigError
from cronq.flask import FlaskCronq
from cronq.testing import drain, scratch
from tests.frameworks import Programs

EXAMPLE = Path(cronq.__path__[0]).parent / "examples" / "flask"

ORDERS = """
from shop import create_app
client = create_app().test_client()
for number in range(20):
    assert client.post("/orders", json={"customer": f"c{number}" if number % 5 else ""}).status_code in (202, 422)
"""


@pytest.fixture
def site(tmp_path: Path) -> Programs:
    shutil.copytree(EXAMPLE, tmp_path / "site", ignore=shutil.ignore_patterns("*.db*", "__pycache__"))
    return Programs(tmp_path / "site", FLASK_APP="shop:create_app")


def test_the_example_confirms_its_orders_and_enqueues_nothing_that_was_rolled_back(site: Programs) -> None:
    assert site.run("-m", "flask", "cronq", "update-schema").status == 0
    made = site.run("-c", ORDERS)
    assert made.status == 0, made.stderr
    for words in (("-m", "cronq", "run"), ("-m", "flask", "cronq", "run")):
        ran = site.run(*words)
        assert (ran.status, ran.stdout, ran.stderr) == (0, "", "")
    listed = site.run("-m", "flask", "cronq", "ls", "--json")
    jobs = json.loads(listed.stdout)
    assert [job["state"] for job in jobs] == ["finished"] * 16
    assert {job["result"].partition(" of ")[2] for job in jobs} == {f"c{n}" for n in range(20) if n % 5}
    helped = site.run("-m", "flask", "cronq", "run", "--help")
    assert helped.stdout.startswith("Usage: cronq run")
    refused = site.run("-m", "flask", "cronq", "--db", "sqlite:///other.db", "status")
    assert (refused.status, "configuration of the application" in refused.stderr) == (64, True)


def test_another_database_than_the_commands_is_refused_with_the_way_out(site: Programs) -> None:
    assert site.run("-m", "flask", "cronq", "update-schema").status == 0
    assert site.run("-c", ORDERS).status == 0
    file = site.directory / "shop" / "__init__.py"
    file.write_text(file.read_text().replace("shop.db'", "other.db'"))
    ran = site.run("-m", "cronq", "run")
    assert (ran.status, "use `flask cronq`" in ran.stderr) == (78, True)


def app_with(**config: object) -> Flask:
    app = Flask("shop")
    app.config.update(config)
    return app


def test_the_applications_settings_go_over_the_file_and_under_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cronq.toml").write_text("jobs = 3\nnotify_after = 7\n[retry]\nbase = 5\n")
    monkeypatch.setenv("CRONQ_CONFIG", str(tmp_path / "cronq.toml"))
    monkeypatch.setenv("CRONQ_GRACE", "3s")
    monkeypatch.setenv("CRONQ_RETRY_MAX_ATTEMPTS", "4")
    queue = FlaskCronq()
    retry = {"cap": 9, "max_attempts": 6}
    queue.init_app(app_with(CRONQ_JOBS=5, CRONQ_GRACE="8s", CRONQ_RETRY=retry, CRONQ_TIME_LIMIT="2m"))
    found = queue.config
    assert (found.jobs, found.notify_after, found.grace, found.time_limit) == (5, 7, 3, 120)
    assert (found.retry.base, found.retry.cap, found.retry.max_attempts) == (5, 9, 4)
    queue.configure(found.with_values("--jobs", jobs=8))
    assert queue.config.jobs == 8
    with pytest.raises(ConfigError, match="CRONQ_JOB: unknown key"):
        FlaskCronq(app_with(CRONQ_JOB=1))
    with pytest.raises(ConfigError, match=r"Flask's app.config: jobs: expected"):
        FlaskCronq(app_with(CRONQ_JOBS="many"))
    with pytest.raises(ConfigError, match=r"Flask's app.config: retry: expected a table"):
        FlaskCronq(app_with(CRONQ_RETRY=5))


def test_each_attempt_has_a_context_of_its_own(tmp_path: Path) -> None:
    app = app_with(CRONQ_DATABASE=f"sqlite:///{tmp_path}/cronq.db")
    queue = FlaskCronq(app)
    assert app.extensions["cronq"] is queue
    seen: list[object] = []
    app.teardown_appcontext(lambda error: seen.append(type(error).__name__))

    @queue.task(name="t")  # type: ignore[untyped-decorator]  # of a class that is imported lazily
    def task(error: bool) -> str:
        assert not hasattr(g, "seen")
        g.seen = True
        if error:
            raise cronq.Skip("no")
        return current_app.name

    with scratch(queue):
        jobs = [task.enqueue(error=False), task.enqueue(error=True)]
        drain(queue)
        assert queue.wait(jobs[0].id) == "shop"
    assert seen == ["NoneType", "Skip"]
    assert not has_app_context()
