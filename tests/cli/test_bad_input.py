"""What can't be used is refused: the documented exit status, one clear line, nothing done by halves."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.project import COMMAND, Project, Ran

REFUSED = [
    # the command line
    (("lss",), 64, "did you mean 'cronq ls'?"),
    (("list",), 64, "did you mean 'cronq ls'?"),
    (("help", "rerun"), 64, "did you mean 'cronq retry'?"),
    (("nonsense",), 64, "there is no command 'nonsense' (cronq"),
    (("ls", "--stat", "x"), 64, "there is no option --stat, did you mean --state?"),
    (("ls", "--status", "x"), 64, "there is no option --status, did you mean --state?"),
    (("ls", "--wotch"), 64, "did you mean --watch?"),
    (("ls", "--nonsense"), 64, "there is no option --nonsense (cronq ls"),
    (("ls", "-q", "mail"), 64, "-q is --quiet: write --queue mail, or -q before ls"),
    (("run", "-q", "mail"), 64, "-q is --quiet: write --queue mail"),
    (("enqueue", "-q", "mail", "add", "a=1", "b=2"), 64, "-q is --quiet: write --queue mail"),
    (("run", "--quue", "x"), 64, "--quue"),
    (("run", "now"), 64, "now"),
    (("run", "--jobs"), 64, "--jobs"),
    (("--config",), 64, "--config"),
    (("enqueue",), 64, "give one of"),
    (("enqueue", "--"), 64, "CMD is missing"),
    (("enqueue", "say", "--", "true"), 64, "give one of"),
    (("enqueue", "--stdin", "--queue", "x"), 64, "--stdin"),
    (("retry",), 64, "which jobs? give IDs or a selection, like cronq retry 42 43"),
    (("cancel", "1", "--queue", "x"), 64, "not both"),
    (("show",), 64, "ID"),
    # values
    (("enqueue", "ad", "a=1"), 65, "did you mean 'add'"),
    (("enqueue", "add", "a=1"), 65, "missing argument 'b'"),
    (("enqueue", "add", "a=x", "b=1"), 65, "'a': 'x' does not fit int"),
    (("enqueue", "add", "a=1", "b=2", "c=3"), 65, "'c'"),
    (("enqueue", "add", "a:=1", "b:={"), 65, "b: not JSON"),
    (("enqueue", "add", "a:=NaN", "b=1"), 65, "a: not JSON"),
    (("enqueue", "add", "a=1", "a=2"), 65, "a is given twice"),
    (
        ("enqueue", "say", "hello"),
        65,
        "'hello' is neither k=v nor k:=JSON (a command goes after --: cronq enqueue -- say hello)",
    ),
    (("enqueue", "say", "text=x", "--at", "tomorrow"), 65, "at: 'tomorrow'"),
    (("enqueue", "say", "text=x", "--at", "+1week"), 65, "at: '1week'"),
    (("enqueue", "say", "text=x", "--priority", "1000"), 65, "priority"),
    (("enqueue", "say", "text=x", "--priority", "-1"), 65, "priority"),
    (("enqueue", "say", "text=x", "--priority", "high"), 65, "--priority: 'high'"),
    (("enqueue", "say", "text=x", "--max-attempts", "0"), 65, "max_attempts"),
    (("enqueue", "say", "text=x", "--time-limit", "long"), 65, "time_limit"),
    (("enqueue", "say", "text=x", "--unique"), 65, "unique"),
    (("enqueue", "say", "text=x", "--queue", ""), 65, "queue"),
    (("enqueue", "--", ""), 65, "command"),
    (("emit", "shot.*"), 65, "shot.*"),
    (("run", "--priority", "9-1"), 65, "'9-1'"),
    (("run", "--jobs", "0"), 65, "--jobs: '0'"),
    (("run", "--limit", "many"), 65, "--limit: 'many'"),
    (("run", "--max-time", "soon"), 65, "--max-time: 'soon'"),
    (("ls", "--state", "faild"), 65, "did you mean 'failed'"),
    (("ls", "--limit", "-3"), 65, "--limit: '-3'"),
    (("show", "abc"), 65, "'abc' is not the id of a job"),
    (("show", "٣"), 65, "is not the id of a job"),
    (("show", "99999999999999999999"), 65, "is not the id of a job"),
    (("wait", "1", "--timeout", "x"), 65, "--timeout: 'x'"),
    (("clear-finished", "many"), 65, "DAYS: 'many"),
    (("clear-finished", "--state", "ready"), 65, "ready jobs haven't ended"),
    # what isn't there
    (("show", "7"), 1, "no queue at sqlite:///"),
    (("why", "7"), 1, "no queue at sqlite:///"),
    (("wait", "7"), 1, "no queue at sqlite:///"),
    (("retry", "7"), 1, "there is no job 7"),
    (("cancel", "7"), 1, "there is no job 7"),
    # the configuration
    (("--config", "none.toml", "ls"), 78, "none.toml"),
    (("--db", "nonsense", "ls"), 78, "--db"),
]


def refused(ran: Ran, status: int, text: str) -> None:
    """The status, and one line that has the text and says where it comes from."""
    assert ran.status == status, ran
    assert ran.stdout == ""
    assert ran.stderr.startswith("cronq: ")
    assert text in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(("arguments", "status", "text"), REFUSED, ids=lambda value: str(value)[:40])
def test_refused_with_one_clear_line(project: Project, arguments: tuple[str, ...], status: int, text: str) -> None:
    refused(project.cronq(*arguments), status, text)
    if project.database.exists():
        assert project.sql("SELECT * FROM cronq_jobs") == []


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("databse = 'x'", "databse"),
        ("database = 3", "database"),
        ("database = 'sqlite:///cronq.db'\njobs = 0", "jobs"),
        ("database = ", "cronq.toml"),
        ("app = 'nothing:queue'", "nothing"),
        ("app = 'jobs:nothing'", "nothing"),
        ("app = 'jobs:add'", "not a Cronq object"),
    ],
)
def test_bad_configuration(project: Project, config: str, text: str) -> None:
    project.write("cronq.toml", config)
    refused(project.cronq("enqueue", "add", "a=1", "b=2"), 78, text)


def test_app_that_fails_to_import_touches_no_job(project: Project) -> None:
    project.enqueue("add", "a=1", "b=2")
    project.write("jobs.py", "import no_such_module")
    refused(project.cronq("run"), 78, "no_such_module")
    assert project.jobs()[0]["state"] == "ready"


def test_missing_directory(project: Project) -> None:
    missing = project.directory / "none"
    database = f"sqlite:///{missing}/cronq.db"
    for arguments in (("ls",), ("enqueue", "--", "true"), ("run",), ("update-schema",)):
        refused(project.cronq("--db", database, *arguments), 69, str(missing))
        assert not missing.exists()


@pytest.mark.parametrize(
    "content", [b"this is no database, it is a text file\n" * 100, b"SQLite format 3\0" + b"x" * 4096]
)
@pytest.mark.parametrize("arguments", [("ls",), ("enqueue", "--", "true"), ("run",)])
def test_corrupt_database_is_left_as_it_is(project: Project, arguments: tuple[str, ...], content: bytes) -> None:
    project.database.write_bytes(content)
    refused(project.cronq(*arguments), 69, str(project.database))
    assert project.database.read_bytes() == content


@pytest.mark.needs("root")
def test_read_only_database() -> None:
    with tempfile.TemporaryDirectory() as directory:  # pytest's own are closed to other users
        project = Project(Path(directory))
        project.enqueue("--", "true")
        project.directory.chmod(0o755)
        refused(project.cronq("enqueue", "--no-check", "x", user=65534), 69, str(project.database))
        assert len(project.jobs()) == 1


def test_output_that_can_not_be_written(project: Project) -> None:
    project.enqueue("--", "true")
    for arguments in ("ls", "show 1", "ls --json", "--version", "--help"):
        ran = shell(project, f"cronq {arguments} > /dev/full")
        assert (ran.returncode, ran.stderr) == (74, "cronq: No space left on device\n"), arguments


def test_closed_streams_are_no_error(project: Project) -> None:
    project.enqueue("--", "true")
    for redirection in (">&-", "2>&-", "<&-", ">&- 2>&- <&-"):
        ran = shell(project, f"cronq ls {redirection}")
        assert (ran.returncode, ran.stderr) == (0, ""), redirection


def test_a_reader_that_goes_away_ends_the_command_without_a_message(project: Project) -> None:
    project.done("enqueue", "--stdin", stdin=f'{{"command": "true {"x" * 1000}"}}\n' * 300)
    ran = shell(project, "(cronq ls --limit 0; echo $? >&2) | head -n 1 >/dev/null")
    assert ran.stderr == "141\n"


@pytest.mark.parametrize("form", ["", "--json"])
def test_due_times_are_printed_as_they_are_computed(project: Project, form: str) -> None:
    """A hundred million would take hours, and all memory."""
    ran = shell(project, f"(cronq schedules next 1m --count 100000000 {form}; echo $? >&2) | head -n 5")
    assert (len(ran.stdout.splitlines()), ran.stderr) == (5, "141\n")


def shell(project: Project, line: str) -> subprocess.CompletedProcess[str]:
    """The line run by a shell where `cronq` is the command under test."""
    wrapper = project.write("bin/cronq", f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    wrapper.chmod(0o755)
    environment = project.environment
    environment["PATH"] = f"{wrapper.parent}:{environment['PATH']}"
    return subprocess.run(
        ["sh", "-c", line], cwd=project.directory, env=environment, capture_output=True, text=True, check=False
    )


def test_a_misspelt_variable_is_told_and_the_command_goes_on(project: Project) -> None:
    project.make_database()
    ran = project.cronq("ls", env={"CRONQ_DATABSE": "sqlite:///x.db"})
    said = "cronq: CRONQ_DATABSE in the environment is ignored, did you mean CRONQ_DATABASE?\n"
    assert (ran.status, ran.stderr) == (0, said)
    assert project.cronq("-q", "ls", env={"CRONQ_DATABSE": "sqlite:///x.db"}).stderr == ""


def test_a_port_with_a_password_is_refused_without_it(project: Project) -> None:
    ran = project.cronq("ring", "1", env={"CRONQ_WAKE": "tcp://user:geheim@host:1"})
    assert ran.status == 78
    assert "tcp://user:***@host:1" in ran.stderr
    assert "geheim" not in ran.stderr


def test_secrets_are_never_shown(project: Project) -> None:
    database = "mysql+pymysql://cronq:s3cr3t@db.invalid/jobs"
    for arguments in (("ls",), ("run",), ("-v", "status"), ("update-schema",), ("--debug", "enqueue", "--", "x")):
        ran = project.cronq("--db", database, *arguments, env={"CRONQ_PATIENCE": "0.5"})
        assert ran.status != 0
        assert "s3cr3t" not in ran.stdout + ran.stderr, ran
    project.write("cronq.toml", f'database = "{database}"\nnonsense = 1\n')
    assert "s3cr3t" not in project.cronq("ls").stderr


def test_unexpected_error_is_one_line_and_debug_shows_where(project: Project) -> None:
    app = project.directory / "jobs.py"
    app.write_text(f"{app.read_text()}\nqueue.registry.resolve = None\n")
    ran = project.cronq("enqueue", "say", "text=x")
    refused(ran, 70, "internal error: TypeError")
    assert "Traceback" in project.cronq("enqueue", "say", "text=x", "--debug").stderr
    assert "Traceback" in project.cronq("enqueue", "say", "text=x", env={"CRONQ_DEBUG": "1"}).stderr
