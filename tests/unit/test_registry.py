from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Iterator
from datetime import datetime
from types import CoroutineType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronq.errors import ConfigError, InvalidInput, Skip, UnknownTask
from cronq.tasks import event_patterns
from cronq.tasks.registry import Registry, Task, TaskOptions
from cronq.tasks.serialisation import dumps, loads


def send(to: str, subject: str, when: datetime | None = None) -> tuple[object, ...]:
    return to, subject, when


def through_storage(task: Task, *args: object, **kwargs: object) -> object:
    return call(task, loads(dumps(task.bind(args, kwargs))))


def call(task: Task, arguments: dict[str, object], warnings: list[str] | None = None) -> object:
    said: list[str] = [] if warnings is None else warnings
    result = task.call(arguments, said.append)
    return asyncio.run(result) if isinstance(result, CoroutineType) else result


SEND = Task("mail.send", send)


# What a task can be


def test_async_functions_run() -> None:
    async def function(n: int) -> int:
        await asyncio.sleep(0)
        return n + 1

    assert call(Task("t", function), {"n": 1}) == 2


class Import:
    steps: list[str] = []  # noqa: RUF012 - what this test looks at
    broken = ""

    def before(self) -> None:
        self._do("before")

    def perform(self, n: int, *rest: int) -> int:
        self._do("perform")
        return n + sum(rest)

    async def after(self) -> None:
        self._do("after")

    def _do(self, step: str) -> None:
        self.steps.append(step)
        if self.broken == step:
            raise Skip(f"{step} broke")


@pytest.fixture
def import_steps() -> Iterator[list[str]]:
    Import.steps, Import.broken = [], ""
    yield Import.steps
    Import.steps, Import.broken = [], ""


def test_a_class_is_prepared_performed_and_finished(import_steps: list[str]) -> None:
    assert through_storage(Task("import", Import), 1, 2) == 3
    assert import_steps == ["before", "perform", "after"]


@pytest.mark.parametrize(("broken", "done"), [("before", ["before"]), ("perform", ["before", "perform"])])
def test_an_error_before_the_end_is_the_attempts(import_steps: list[str], broken: str, done: list[str]) -> None:
    Import.broken = broken
    with pytest.raises(Skip):
        call(Task("import", Import), {"n": 1})
    assert import_steps == done


@pytest.mark.usefixtures("import_steps")
def test_an_error_in_after_is_a_warning() -> None:
    Import.broken = "after"
    warnings: list[str] = []
    assert call(Task("import", Import), {"n": 1}, warnings) == 1
    assert warnings == ["after: Skip: after broke"]


def test_async_steps_share_one_loop() -> None:
    class Steps:
        loop: object = None

        async def before(self) -> None:
            self.loop = asyncio.get_running_loop()

        async def perform(self) -> bool:
            return self.loop is asyncio.get_running_loop()

    assert call(Task("t", Steps), {}) is True


def generator() -> Iterator[int]:
    yield 1


class Needy:
    def __init__(self, dsn: str) -> None: ...

    def perform(self) -> None: ...


@pytest.mark.parametrize("target", [generator, Needy, object, 3])
def test_what_cannot_be_a_task_is_refused(target: Any) -> None:
    with pytest.raises(ConfigError):
        Task("t", target)


@pytest.mark.parametrize("name", ["", "command", "two words", "tab\t"])
def test_names_that_would_confuse_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="task name"):
        Task(name, send)


# Registered tasks


def other(to: str) -> None: ...


def test_two_functions_under_one_name_are_refused_naming_both_places() -> None:
    registry = Registry()
    registry.add(Task("mail.send", send))
    with pytest.raises(
        ConfigError, match=r"send \(.*py:\d+\), declared at .* and .*other \(.*:\d+\), declared at .*:\d+$"
    ):
        registry.add(Task("mail.send", other))


def test_the_same_function_again_takes_the_first_ones_place() -> None:
    registry = Registry()
    registry.subscribe("shot.*", registry.add(Task("mail.send", send)))
    again = registry.add(Task("mail.send", send))
    registry.subscribe("shot.*", again)
    assert registry.subscribers("shot.start", {}) == [again]
    assert (registry.get("mail.send"), registry.names()) == (again, ["mail.send"])


def test_unknown_tasks_are_told_what_was_meant_and_where_tasks_come_from() -> None:
    registry = Registry(("shop.mailer",), source="shop.jobs:queue")
    registry.add(SEND)
    assert registry.resolve("mail.send") is SEND
    with pytest.raises(UnknownTask) as caught:
        registry.resolve("mail.sned")
    expected = "unknown task 'mail.sned', did you mean 'mail.send'? Tasks come from shop.jobs:queue and shop.mailer"
    assert str(caught.value) == expected
    with pytest.raises(UnknownTask, match='app = "module:attribute"'):
        Registry().resolve("x")


def test_options_set_here_win() -> None:
    options = TaskOptions(queue="mail", jitter=0.0).over(TaskOptions(queue="x", priority=3))
    assert options == TaskOptions(queue="mail", priority=3, jitter=0.0)


# Importable tasks


MAILER = """
import os
import subprocess
from functools import cache
from os import system
from pathlib import Path
from subprocess import Popen, run
from threading import Thread

class Mailer(Thread):
    limit = 3
    chosen = system
    def send(self, to: str) -> str:
        return f"{type(self).__name__} {to}"
    @staticmethod
    def static(n: int) -> int:
        return n
    @classmethod
    def made(cls, n: int) -> str:
        return f"{cls.__name__} {n}"
    def _hidden(self): ...
    class Inner:
        def perform(self, n: int) -> int:
            return n
    helper = subprocess
    path_class = Path
    pool = PATH = Path()
    imported = run
    program = staticmethod(run)
    made_by = Popen
    def sent_by(self, to: str) -> str:
        return to

class Base:
    def shared(self) -> str:
        return "shared"

class Report(Base):
    def perform(self, n: int) -> int:
        return n

class Foreign(Base):
    perform = run

PATH, helper, instance = Path(), subprocess, Mailer()

def deliver(to: str) -> str:
    return to

@cache
def cached(n: int) -> int:
    return n

wrapped_run = cache(run)
value = 3
"""


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules shop, shop.mailer, shop.mailer2 and shop.front, which re-exports from shop.mailer."""
    for name, source in {
        "shop": "",
        "shop.mailer": MAILER,
        "shop.mailer2": "def deliver(): ...",
        "shop.front": "from shop.mailer import Mailer, deliver",
    }.items():
        module = types.ModuleType(name)
        module.__path__ = []
        monkeypatch.setitem(sys.modules, name, module)
        exec(source, vars(module))


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("allow", "name", "arguments", "result"),
    [
        ("shop.mailer", "shop.mailer:deliver", {"to": "ann"}, "ann"),
        ("shop", "shop.mailer:deliver", {"to": "ann"}, "ann"),
        ("shop", "shop.front:deliver", {"to": "ann"}, "ann"),
        ("shop.mailer", "shop.mailer:cached", {"n": "3"}, 3),
        ("shop.mailer:Mailer", "shop.mailer:Mailer.send", {"to": "ann"}, "Mailer ann"),
        ("shop.mailer:Mailer.send", "shop.mailer:Mailer.send", {"to": "ann"}, "Mailer ann"),
        ("shop.front:Mailer", "shop.front:Mailer.send", {"to": "ann"}, "Mailer ann"),
        ("shop.mailer", "shop.mailer:Mailer.static", {"n": 3}, 3),
        ("shop.mailer", "shop.mailer:Mailer.made", {"n": 3}, "Mailer 3"),
        ("shop.mailer", "shop.mailer:Report", {"n": 3}, 3),
        ("shop.mailer", "shop.mailer:Report.perform", {"n": 3}, 3),
        ("shop.mailer", "shop.mailer:Report.shared", {}, "shared"),
        ("shop.mailer:Mailer", "shop.mailer:Mailer.sent_by", {"to": "ann"}, "ann"),
        ("shop.mailer:Report.shared", "shop.mailer:Report.shared", {}, "shared"),
    ],
)
def test_names_under_an_allowed_prefix_are_tasks(
    allow: str, name: str, arguments: dict[str, object], result: object
) -> None:
    registry = Registry((allow,))
    task = registry.resolve(name)
    assert task.call(arguments) == result
    assert registry.resolve(name) is task
    assert registry.get(name) is None


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("allow", "name"),
    [
        ("shop.mailer", "shop.mailer2:deliver"),
        ("shop.mailer", "shop.front:deliver"),
        ("shop.front", "shop.front:deliver"),  # only imported there
        ("shop.mailer:Mailer", "shop.mailer:deliver"),
        ("shop.mailer:Mailer", "shop.mailer:Mailer2"),
        ("shop.mailer:Mailer", "shop.mailer:Mailer"),  # no perform
        ("shop.mailer", "shop.mailer:Mailer._hidden"),
        ("shop.mailer", "shop.mailer:Mailer.__init__"),
        ("shop.mailer", "shop.mailer:Mailer.missing"),
        ("shop.mailer", "shop.mailer:Mailer.limit"),
        ("shop.mailer", "shop.mailer:Mailer.chosen"),
        ("shop.mailer", "shop.mailer:system"),
        ("shop.mailer", "shop.mailer:run"),
        ("shop.mailer", "shop.mailer:wrapped_run"),
        ("shop.mailer", "shop.mailer:os.system"),
        ("shop.mailer", "shop.mailer:Popen.communicate"),
        ("shop.mailer", "shop.mailer:value"),
        ("shop.mailer:Mailer", "shop.mailer:Mailer.helper.run"),
        ("shop.mailer:Mailer", "shop.mailer:Mailer.helper"),
        ("shop.mailer:Mailer", "shop.mailer:Mailer.path_class.write_text"),
        ("shop.mailer:Mailer", "shop.mailer:Mailer.path_class"),
        ("shop.mailer:Mailer", "shop.mailer:Mailer.pool.submit"),
        ("shop.mailer:Mailer", "shop.mailer:Mailer.made_by.run"),
        ("shop.mailer:Mailer", "shop.mailer:Mailer.run"),  # Thread's
        ("shop.mailer:Mailer", "shop.mailer:Mailer.start"),
        ("shop.mailer:Mailer", "shop.mailer:Mailer.imported"),
        ("shop.mailer:Mailer", "shop.mailer:Mailer.program"),
        ("shop.mailer:Mailer", "shop.mailer:Mailer.Inner"),
        ("shop.mailer:Mailer", "shop.mailer:Mailer.Inner.perform"),
        ("shop.mailer:Report", "shop.mailer:Report.shared"),  # its base isn't allowed
        ("shop.mailer:Foreign", "shop.mailer:Foreign"),  # its perform comes from elsewhere
        ("shop.mailer", "shop.mailer:helper.run"),
        ("shop.mailer", "shop.mailer:PATH.write_text"),
        ("shop.mailer:helper", "shop.mailer:helper.run"),
        ("shop.mailer:instance", "shop.mailer:instance.send"),
        ("shop.mailer", "shop.mailer:missing"),
        ("shop.mailer", "shop.mailer.missing:x"),
        ("shop.mailer", "shop.mailer"),
        ("shop.mailer", "shop.mailer:"),
        ("shop.mailer", "shop.mailer:Mailer:send"),
        ("shop.mailer", "shop.mailer:a-b"),
        ("", "shop.mailer:deliver"),
    ],
)
def test_other_names_are_unknown(allow: str, name: str) -> None:
    with pytest.raises(UnknownTask):
        Registry((allow,)).resolve(name)


@pytest.mark.parametrize("missing", ["shop.mailer", "shop"])
def test_a_missing_module_is_an_unknown_task(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.import_module", lambda _: _raise(ModuleNotFoundError(name=missing)))
    with pytest.raises(UnknownTask, match=f"there is no module {missing}"):
        Registry(("shop",)).resolve("shop.mailer:x")


def test_an_import_error_inside_the_module_passes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.import_module", lambda _: _raise(ModuleNotFoundError(name="numpy")))
    with pytest.raises(ModuleNotFoundError):
        Registry(("shop",)).resolve("shop.mailer:x")


def _raise(error: Exception) -> None:
    raise error


# Events


def fits_slowly(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    head, *rest = pattern
    if head == "#":
        return any(fits_slowly(rest, words[at:]) for at in range(len(words) + 1))
    return bool(words) and head in ("*", words[0]) and fits_slowly(rest, words[1:])


words = st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=5)
patterns = st.lists(st.sampled_from(["a", "b", "*", "#"]), min_size=1, max_size=5)


@settings(max_examples=200, deadline=None)
@given(patterns, words)
def test_patterns_match_as_the_definition_says(pattern: list[str], event: list[str]) -> None:
    assert event_patterns.matches(".".join(pattern), ".".join(event)) == fits_slowly(pattern, event)


def test_each_subscriber_once_in_order_of_registration() -> None:
    registry = Registry()
    for name in ("log", "mail", "film", "rest"):
        registry.add(Task(name, lambda **fields: fields))
    tasks = {name: registry.resolve(name) for name in registry.names()}
    registry.subscribe("shot.#", tasks["mail"])
    registry.subscribe("shot.*", tasks["log"])
    registry.subscribe("shot.start", tasks["mail"])
    found = registry.subscribers("shot.start", {"#": ("rest", "log"), "film.#": ("film",)})
    assert [task.name for task in found] == ["mail", "log", "rest"]
    assert registry.subscribers("other", {}) == []
    with pytest.raises(UnknownTask):
        registry.subscribers("x", {"x": ("nobody",)})


@pytest.mark.parametrize("event", ["", "shot.*", "shot..start", "#"])
def test_an_event_is_words(event: str) -> None:
    with pytest.raises(InvalidInput, match="words split by dots"):
        Registry().subscribers(event, {})


@pytest.mark.parametrize("pattern", ["", "shot.", "sho*", "##"])
def test_a_pattern_is_words_and_wildcards(pattern: str) -> None:
    with pytest.raises(ConfigError, match="words split by dots"):
        Registry().subscribe(pattern, SEND)


def test_a_task_takes_the_fields_it_has_parameters_for() -> None:
    assert SEND.accepts({"to": "a", "subject": "b", "url": "c"}) == {"to": "a", "subject": "b"}
    assert Task("t", lambda **fields: fields).accepts({"x": 1}) == {"x": 1}
    with pytest.raises(InvalidInput, match="missing argument 'subject'"):
        SEND.accepts({"to": "a"})
