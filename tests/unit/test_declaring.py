"""One name is one callable: others under it are refused, and a module that is loaded again is no other."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from cronq import Cronq
from cronq.errors import ConfigError

APP = """\
from cronq import Cronq
queue = Cronq("sqlite:///jobs.db")
"""

DECORATOR = """\
def logged(function):
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper

class Holder:
    def run(self, n: int): ...

def factory(n):
    def job(): return n
    return job

def made(n):
    class Job:
        def perform(self): return n
    return Job
"""

TWICE = {
    "a decorator without functools.wraps": """
@queue.task
@logged
def pay(order): ...

@queue.task
@logged
def refund(order): ...
""",
    "closures of a factory": "queue.task(factory(1))\nqueue.task(factory(2))",
    "lambdas": "queue.task(lambda: 1)\nqueue.task(lambda: 2)",
    "lambdas on one line": "queue.task(lambda: 1); queue.task(lambda: 2)",
    "classes made in a function": "queue.task(made(1))\nqueue.task(made(2))",
    "one name": "@queue.task(name='x')\ndef one(): ...\n\n@queue.task(name='x')\ndef other(): ...",
    "one name in a loop": "for n in (1, 2):\n    queue.task(name='x')(factory(n))",
    "a function twice": "@queue.task\ndef one(): ...\n\n@queue.task\ndef one(): ...",
    "methods of two objects": "for _ in (1, 2):\n    queue.task(name='x')(Holder().run)",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of modules: app has the queue, lib what decorates and makes functions."""
    for name in ("app", "jobs", "lib"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "lib.py").write_text(DECORATOR)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def load(place: Path, text: str, name: str = "jobs") -> ModuleType:
    (place / f"{name}.py").write_text(f"from app import queue\nfrom lib import factory, logged, made, Holder\n{text}")
    importlib.invalidate_caches()
    return importlib.import_module(name)


@pytest.mark.parametrize("text", TWICE.values(), ids=TWICE)
def test_two_callables_under_one_name_are_refused_with_both_places(place: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="two tasks are named '") as refused:
        load(place, text)
    assert str(refused.value).count(f"declared at {place}/jobs.py:") == 2


@pytest.mark.parametrize(
    "text",
    [
        "@queue.task\ndef send(): return {n}",
        "@queue.task\n@logged\ndef send(): return {n}",
        "queue.task(name='x')(factory({n}))",
        "queue.task(name='x')(made({n}))",
        "queue.task(name='x')(lambda: {n})",
        "@queue.task\nclass Send:\n    def perform(self): return {n}",
    ],
)
@pytest.mark.parametrize("moved", ["", "# lines\n# that\n# move\n"])
def test_a_module_that_is_loaded_again_declares_the_same_tasks(place: Path, text: str, moved: str) -> None:
    module = load(place, text.format(n=1))
    queue: Cronq = module.queue
    [name] = queue.registry.names()
    (place / "jobs.py").write_text(
        f"{moved}from app import queue\nfrom lib import factory, logged, made\n{text.format(n=2)}"
    )
    importlib.reload(module)
    assert queue.registry.names() == [name]
    assert queue.registry.resolve(name).call({}) == 2
    del sys.modules["jobs"]
    importlib.import_module("jobs")
    assert queue.registry.names() == [name]


def test_a_function_may_be_declared_twice(place: Path) -> None:
    module = load(place, "def send(): ...\nqueue.task(send)\nqueue.task(priority=3)(send)")
    assert module.queue.registry.resolve("jobs.send").options.priority == 3


def test_modules_don_t_share_a_name(place: Path) -> None:
    load(place, "queue.task(name='x')(factory(1))")
    with pytest.raises(ConfigError, match=f"declared at {place}/jobs.py:3 and .* declared at {place}/other.py:3"):
        load(place, "queue.task(name='x')(factory(2))", "other")


class Callable:
    def __call__(self) -> None: ...


@pytest.mark.parametrize("target", [functools.partial(len, ()), Callable(), 7], ids=["partial", "object", "number"])
@pytest.mark.parametrize("name", [None, "x"])
def test_what_is_no_function_is_refused_in_one_sentence(target: object, name: str | None) -> None:
    with pytest.raises(ConfigError, match="is not a function or a class with a method perform; what is called"):
        Cronq("sqlite:///jobs.db").task(name=name)(target)  # type: ignore[call-overload]


def test_a_partial_that_says_what_it_wraps_is_a_task() -> None:
    partial = functools.update_wrapper(functools.partial(max, 1), max)
    assert Cronq("sqlite:///jobs.db").task(name="x")(partial)(2) == 2
