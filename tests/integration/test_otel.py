"""OpenTelemetry: spans of enqueueing and of attempts, from real processes through the SDK's exporters."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from tests.frameworks import Programs
from tests.integration.running import Queue
from tests.project import Project
from tests.waiting import wait_until

APP = """\
import asyncio, json, os, signal, time
from cronq import Cronq, Retry, Skip, Snooze, Stop, current_job
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

def line(span):
    return span.to_json(indent=None) + "\\n"

provider = TracerProvider()
provider.add_span_processor(
    BatchSpanProcessor(
        ConsoleSpanExporter(out=open("spans", "a"), formatter=line), schedule_delay_millis=DELAY
    )
)
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("shop")
queue = Cronq.from_config()


@queue.task(name="add")
def add(a: int, b: int) -> int:
    with tracer.start_as_current_span("inside add"):
        return a + b


@queue.task(name="later")
async def later() -> str:
    with tracer.start_as_current_span("inside later"):
        await asyncio.sleep(0)
    chained = await add.aenqueue(3, 4)
    return str(chained.id)


@queue.task(name="flaky", base=0, jitter=0)
def flaky() -> None:
    current_job.note(seen=current_job.attempt)
    if current_job.attempt < 3:
        raise ConnectionError("away")


@queue.task(name="end")
def end(how: str) -> None:
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "skip":
        raise Skip("no need")
    elif how == "snooze":
        raise Snooze("1h")
    time.sleep(60)
"""

PRODUCER = """\
import asyncio
from jobs import add, end, flaky, later, provider, queue, tracer
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

async def in_transaction():
    engine = create_async_engine(queue.config.database.replace("sqlite", "sqlite+aiosqlite"))
    async with engine.begin() as connection:
        await add.using(connection=connection).aenqueue(7, 7)
    await engine.dispose()

with tracer.start_as_current_span("request"):
    BODY
provider.shutdown()
"""


@pytest.fixture
def project(queue: Queue) -> Project:
    """A project with all tables."""
    queue.app.store.prepare()
    return queue.project


@pytest.fixture
def traced(project: Project) -> Project:
    """A project with an SDK whose exporter writes a line for each span, at the end of a process only."""
    project.write("cronq.toml", 'database = "sqlite:///cronq.db"\napp = "jobs:queue"\notel = true\n')
    project.write("jobs.py", APP.replace("DELAY", "3600000"))
    return project


def request(project: Project, *statements: str) -> None:
    """Run statements inside the span of a request."""
    python(project).done("-c", PRODUCER.replace("BODY", "\n    ".join(statements)))


def run(project: Project) -> None:
    """Run `cronq run`, which prints nothing but what needs a person."""
    assert python(project).run("-m", "cronq", "run")[:2] == (0, "")


def python(project: Project) -> Programs:
    """Python in the project."""
    return Programs(project.directory, HOME=str(project.home))


class Span:
    def __init__(self, told: dict[str, Any]) -> None:
        self.name: str = told["name"]
        self.kind: str = told["kind"].partition(".")[2]
        self.trace: str = told["context"]["trace_id"]
        self.id: str = told["context"]["span_id"]
        self.parent: str | None = told["parent_id"]
        self.status: str = told["status"]["status_code"]
        self.description: str | None = told["status"].get("description")
        self.attributes: dict[str, Any] = told["attributes"]
        self.events: list[dict[str, Any]] = told["events"]
        self.took = told["start_time"] <= told["end_time"]


def spans(project: Project, task: str | None = None) -> list[Span]:
    """The spans that were exported, those of attempts of a task or all, in the order in which they ended."""
    whole, _, _ = (project.directory / "spans").read_text().rpartition("\n")  # the last line may be half written
    found = [Span(json.loads(line)) for line in whole.splitlines()]
    if task is None:
        return found
    return [span for span in found if span.kind == "CONSUMER" and span.attributes["cronq.task"] == task]


def named(project: Project, name: str) -> Span:
    """The only span with this name."""
    (span,) = (span for span in spans(project) if span.name == name)
    return span


def test_a_job_hangs_under_the_request_that_enqueued_it(traced: Project) -> None:
    request(traced, "add.using(queue='mail', key='k').enqueue(1, 2)")
    run(traced)
    asked, sent, done = named(traced, "request"), named(traced, "enqueue mail"), named(traced, "process mail")
    assert (sent.kind, sent.parent, done.kind, done.parent) == ("PRODUCER", asked.id, "CONSUMER", sent.id)
    assert named(traced, "inside add").parent == done.id
    assert {span.trace for span in spans(traced)} == {asked.trace}
    assert (sent.status, done.status, done.took) == ("UNSET", "UNSET", True)
    assert sent.attributes == {
        "messaging.system": "cronq",
        "messaging.operation.name": "enqueue",
        "messaging.operation.type": "send",
        "messaging.destination.name": "mail",
        "messaging.message.id": "1",
        "cronq.task": "add",
        "cronq.existing": False,
    }
    assert done.attributes == {
        "messaging.system": "cronq",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "mail",
        "messaging.message.id": "1",
        "cronq.task": "add",
        "cronq.attempt": 1,
        "cronq.outcome": "success",
    }
    assert traced.show(1)["notes"]["otel"]["traceparent"].split("-")[1:3] == [asked.trace[2:], sent.id[2:]]


def test_each_attempt_is_a_span_with_its_error(traced: Project) -> None:
    request(traced, "flaky.enqueue()")
    for _ in range(3):
        run(traced)
    first, second, third = spans(traced, "flaky")
    sent = named(traced, "enqueue default")
    assert [span.attributes["cronq.attempt"] for span in (first, second, third)] == [1, 2, 3]
    assert {span.parent for span in (first, second, third)} == {sent.id}
    assert [span.status for span in (first, second, third)] == ["ERROR", "ERROR", "UNSET"]
    assert (first.description, first.attributes["error.type"]) == ("away", "builtins.ConnectionError")
    (event,) = first.events
    assert event["name"] == "exception"
    assert event["attributes"]["exception.type"] == "builtins.ConnectionError"
    assert 'raise ConnectionError("away")' in event["attributes"]["exception.stacktrace"]
    assert traced.show(1)["notes"].keys() == {"otel", "seen"}


def test_coroutines_and_many_at_once_hang_together(traced: Project) -> None:
    request(
        traced,
        "asyncio.run(later.aenqueue())",
        "queue.enqueue_many([add.job(n, n) for n in range(3)])",
        "with queue.batch('b') as batch: batch.add(add.job(5, 5))",
        "with create_engine(queue.config.database).begin() as c: add.using(connection=c).enqueue(6, 6)",
        "asyncio.run(in_transaction())",
    )
    run(traced)
    assert {span.trace for span in spans(traced)} == {named(traced, "request").trace}
    (coroutine,) = spans(traced, "later")
    assert named(traced, "inside later").parent == coroutine.id
    many = next(span for span in spans(traced) if span.attributes.get("messaging.batch.message_count") == 3)
    done = spans(traced, "add")
    assert sum(span.parent == many.id for span in done) == 3
    chained = next(span for span in spans(traced) if span.kind == "PRODUCER" and span.parent == coroutine.id)
    assert sum(span.parent == chained.id for span in done) == 1
    assert len(done) == 7


def test_a_commands_environment_leads_on_to_what_it_enqueues(traced: Project) -> None:
    request(traced, "queue.command('echo $TRACEPARENT; cronq enqueue add a=1 b=2')")
    run(traced)
    (command,), (added,) = spans(traced, "command"), spans(traced, "add")
    printed = json.loads(traced.done("show", 1, "--json"))["output"]["stdout"].splitlines()[0]
    assert printed.split("-")[1:3] == [command.trace[2:], command.id[2:]]
    assert added.trace == command.trace == named(traced, "request").trace
    assert added.parent in {span.id for span in spans(traced) if span.parent == command.id}


def test_a_job_that_was_killed_has_a_span_too(traced: Project) -> None:
    request(traced, *(f"end.using(max_attempts=1, time_limit=1).enqueue({how!r})" for how in ("kill", "limit")))
    request(traced, *(f"end.enqueue({how!r})" for how in ("skip", "snooze")))
    run(traced)
    told = {span.attributes["messaging.message.id"]: span for span in spans(traced, "end")}
    assert {job: (span.status, span.attributes["cronq.outcome"]) for job, span in told.items()} == {
        "1": ("ERROR", "crashed"),
        "2": ("ERROR", "timeout"),
        "3": ("UNSET", "skip"),
        "4": ("UNSET", "snoozed"),
    }
    assert told["1"].description == "job process killed: SIGKILL"
    assert told["2"].attributes["error.type"] == "cronq.errors.TimeLimitExceeded"
    assert len(spans(traced, "end")) == 4
    parents = {span.id for span in spans(traced) if span.kind == "PRODUCER"}
    assert {span.parent for span in told.values()} <= parents
    assert all(span.took for span in told.values())


def test_a_worker_exports_while_it_goes_on(traced: Project) -> None:
    traced.write("jobs.py", APP.replace("DELAY", "50"))
    with python(traced).begin("-m", "cronq", "work") as worker:
        try:
            request(traced, "add.enqueue(1, 2)")
            wait_until(lambda: bool(exported(traced)) and bool(spans(traced, "add")), seconds=60)
            traced.enqueue("--", "true")
            wait_until(lambda: bool(spans(traced, "command")), seconds=60)
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.communicate(timeout=60)
    assert worker.returncode == 0


def exported(project: Project) -> bool:
    return (project.directory / "spans").exists()


def test_without_a_tracer_jobs_run_as_ever(traced: Project) -> None:
    traced.write(
        "jobs.py", "from cronq import Cronq\nqueue = Cronq.from_config()\n@queue.task(name='t')\ndef t(): pass\n"
    )
    traced.enqueue("t")
    traced.enqueue("--", "true")
    traced.done("run")
    assert [(job["state"], job["notes"]) for job in traced.jobs()] == [("finished", None)] * 2


IMPORTS = """\
import os, sys
from pathlib import Path
from cronq.cli import main

def configure(otel):
    Path("cronq.toml").write_text(f'database = "sqlite:///cronq.db"\\napp = "jobs:queue"\\notel = {otel}\\n')

def imported(*commands):
    for command in commands:
        assert main(command.split()) == 0
    return [name for name in sys.modules if name.startswith(("opentelemetry", "cronq.otel"))] != []

def apart(what):
    if os.fork() == 0:
        sys.exit(what())
    return os.waitstatus_to_exitcode(os.wait()[1])

def without_the_package():
    sys.modules["opentelemetry"] = None
    return main(["enqueue", "--", "true"])

RUNS = ("run", "run", "ls --json")
configure("false")
assert not imported("enqueue jobs.nothing", *RUNS)
configure("true")
assert apart(lambda: imported("enqueue jobs.nothing")) == 1
assert apart(lambda: imported(*RUNS)) == 0, "the attempt's process imports it"
assert apart(without_the_package) == 78
"""


def test_nothing_is_imported_without_it_and_a_missing_package_is_named(project: Project) -> None:
    ran = project.python("-c", IMPORTS)
    assert ran.status == 0, ran
    assert "pip install 'cronq-jobs[otel]'" in ran.stderr
    assert [job["state"] for job in project.jobs()] == ["finished"] * 2
