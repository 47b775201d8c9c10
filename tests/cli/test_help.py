"""The help, the documents and the quick reader of `run` say the same."""

from __future__ import annotations

import re
from typing import Any

import pytest
import typer

from cronq import cli
from cronq.client.job_options import SPEC_KEYS
from cronq.commands import MODULES, PURPOSES, health, metrics, progress, run, serve_inetd, work
from cronq.commands.program import program
from cronq.config.settings import BY_DOTTED_KEY
from cronq.monitoring.health import MEASURES
from tests.cli.documents import every_command
from tests.project import ROOT, Project

DOCUMENT = (ROOT / "docs" / "cli.md").read_text()
GROUP: Any = typer.main.get_command(program())
COMMANDS: dict[str, Any] = dict(every_command(GROUP))
QUICK: dict[str, Any] = {
    "run": run.RunOptions,
    "work": work.WorkOptions,
    "health": health.HealthOptions,
    "metrics": metrics.MetricsOptions,
    "progress": progress.ProgressOptions,
    "serve-inetd": serve_inetd.ServeOptions,
}
STATUSES = {"0", "1", "64", "65", "69", "70", "74", "75", "78"}


def chapter(title: str) -> str:
    """What stands under a heading, up to the next one of its rank."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert found, f"docs/cli.md has no chapter {title!r}"
    return found[1]


def documented(title: str) -> set[str]:
    """The options in the table of a chapter."""
    cells = re.findall(r"^\| (`-.*?) \|", chapter(title), re.MULTILINE)
    return {option for cell in cells for option in re.findall(r"`(--?[\w-]+)", cell)}


def declared(command: Any) -> set[str]:
    """The options that typer knows of a command."""
    return {option for parameter in command.params for option in parameter.opts if option.startswith("-")}


def test_every_command_is_in_the_table_of_modules_and_in_the_document() -> None:
    chapters = re.findall(r"^## cronq (.+)$", DOCUMENT, re.MULTILINE)
    assert set(GROUP.commands) == set(MODULES)
    assert set(COMMANDS) == set(chapters)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented_and_every_documented_one_exists(name: str) -> None:
    assert documented(f"cronq {name}") == declared(COMMANDS[name])


def test_global_options_are_the_same_everywhere() -> None:
    assert documented("Global options") - {"-h", "--help"} == declared(GROUP) == {*cli.VALUES, *cli.FLAGS}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_summary_an_example_and_its_exit_statuses(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert f"cronq {name}" in command.epilog.partition("Example:")[2]
    told = set(re.findall(r"\b\d+\b", command.epilog.partition("Exit status:")[2]))
    assert {"0"} < told <= STATUSES | ({"2", "3"} if name == "health" else set())


def test_every_command_has_an_example_in_the_document() -> None:
    for name in COMMANDS:
        assert f"cronq {name}" in "".join(re.findall(r"```console\n(.*?)```", chapter(f"cronq {name}"), re.DOTALL))


def test_exit_statuses_of_the_help_are_those_of_the_document() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", chapter("Exit status"), re.MULTILINE)
    assert {number for number, _ in rows} == STATUSES | {str(cli.INTERRUPTED), str(cli.READER_GONE)}
    for number in STATUSES:
        assert re.search(rf"^ +{number} ", GROUP.epilog.partition("Exit status:")[2], re.MULTILINE), number


def test_quick_reader_takes_both_ways_to_write_a_value() -> None:
    options = run.parse(["--queue", "a", "--queue=!b", "--priority", "-20", "--jobs=3", "--weighted", "--fail"])
    assert options is not None
    assert (options.queue, options.priority, options.jobs) == (["a", "!b"], "-20", "3")
    assert options.weighted
    assert options.fail


@pytest.mark.parametrize("arguments", [["--help"], ["--jobs"], ["--quue", "x"], ["default"], ["--fail=yes"]])
def test_quick_reader_leaves_the_rest_to_typer(arguments: list[str]) -> None:
    assert run.parse(arguments) is None


@pytest.mark.parametrize(("verb", "quick"), QUICK.items())
def test_quick_readers_know_the_options_that_typer_knows(verb: str, quick: Any) -> None:
    parameters = [p for p in GROUP.commands[verb].params if p.param_type_name == "option"]
    assert {option: p.name for p in parameters for option in p.opts} == quick.names()
    kinds = {p.name: list if p.multiple else bool if p.is_flag else str for p in parameters}
    assert all(isinstance(getattr(quick, name), (kinds[name], type(None))) for name in kinds)
    assert not [p for p in parameters if p.secondary_opts]


def test_help_of_health_names_every_measure() -> None:
    assert [name for name in MEASURES if not re.search(rf"\b{name}\b", COMMANDS["health"].help)] == []


def test_help_and_document_of_enqueue_name_every_key_of_stdin() -> None:
    document = chapter("cronq enqueue").partition("With `--stdin`")[2].partition("\n\n")[0]
    told = COMMANDS["enqueue"].epilog.partition("With --stdin")[2]
    assert [key for key in SPEC_KEYS if f"`{key}`" not in document or not re.search(rf"\b{key}[, ]", told)] == []


def test_every_summary_fits_a_line_of_the_help() -> None:
    width = 80 - 2 - 2 - max(map(len, MODULES))
    assert [name for name in MODULES if len(GROUP.commands[name].get_short_help_str(1000)) > width] == []


def test_q_is_doubted_after_the_commands_that_have_queue() -> None:
    assert {name for name in MODULES if "--queue" in declared(GROUP.commands[name])} >= cli.WITH_QUEUE
    assert {"ls", "run", "work", "enqueue", "retry", "cancel"} <= cli.WITH_QUEUE


def test_the_help_has_each_command_under_its_purpose_and_nothing_of_typers_types(project: Project) -> None:
    shown = project.done("help")
    for purpose, verbs in PURPOSES.items():
        (section,) = re.findall(rf"^{purpose}:\n((?:  .*\n)*)", shown, re.MULTILINE)
        assert re.findall(r"^  (\S+)", section, re.MULTILINE) == list(verbs)
    assert "..." not in shown.partition("Example:")[0].partition("Enqueue:")[2]
    for words in (("help", "enqueue"), ("show", "-h"), ("batch", "open", "-h")):
        assert not re.search(r"<(list|str)", project.done(*words))


def test_cronq_alone_tells_how_the_queue_stands(project: Project) -> None:
    shown = project.done().splitlines()
    assert shown[0] == f"queue     sqlite:///{project.database}"
    assert shown[1].startswith("jobs      none")
    assert not project.database.exists()
    project.database.touch(0o600)
    assert project.done().splitlines()[1].startswith("jobs      none")
    assert project.sql("SELECT name FROM sqlite_master") == []
    project.enqueue("say", "text=x")
    shown = project.done().splitlines()
    assert shown[1] == "jobs      1 ready"
    assert [line.split()[0] for line in shown[:5]] == ["queue", "jobs", "oldest", "last", "workers"]
    assert {word for line in shown[6:-2] for word in line.split()[1:]} == set(MODULES)
    ran = project.cronq("--db", "mysql+pymysql://nobody@127.0.0.1:9/x", env={"CRONQ_PATIENCE": "0.5s"})
    assert ran.stdout.count("problem   ") == 1


def test_version_has_a_short_option(project: Project) -> None:
    assert project.done("-V") == project.done("--version")


@pytest.mark.parametrize("words", [("--help",), ("run", "--help"), ("enqueue", "-h"), ("help", "health")])
def test_help_goes_to_stdout(project: Project, words: tuple[str, ...]) -> None:
    ran = project.cronq(*words)
    assert (ran.status, ran.stderr) == (0, "")
    assert "Example:" in ran.stdout
    assert "Exit status:" in ran.stdout


def test_every_variable_of_the_environment_is_documented() -> None:
    wanted = {f"CRONQ_{key.upper().replace('.', '_')}" for key in BY_DOTTED_KEY} | {"CRONQ_CONFIG", "CRONQ_DEBUG"}
    assert set(re.findall(r"`(CRONQ_\w+)(?:=1)?`", chapter("Environment"))) == wanted
