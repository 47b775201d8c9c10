"""Make the web application on a queue in a SQLite file, called without a network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket

from cronq.config.loader import Config, from_database
from cronq.model.job import NewJob
from cronq.store import Store
from cronq.times import Clock
from cronq.web.access import Access, HostAccess
from cronq.web.application import application
from cronq.web.backend import Backend
from cronq.web.settings import WebSettings
from tests import ready_database

Site = Callable[..., FlaskClient]


class Compiled(BytecodeCache):
    """Keeps compiled templates for all applications: compiling them takes most of a quick test."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


COMPILED = Compiled()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Config]:
    """Yield the config of an empty queue; the stores that pages open are closed after the test."""
    opened: list[Store] = []

    def opening(*given: Any, **options: Any) -> Store:
        opened.append(Store(*given, **options))
        return opened[-1]

    monkeypatch.setattr("cronq.web.backend.Store", opening)
    ready_database.make(tmp_path / "queue.db")
    yield from_database(f"sqlite:///{tmp_path}/queue.db").with_values("the test", synchronous="normal")
    for store in opened:
        store.close()


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    """Yield a store on the queue."""
    with Store(config, Clock()) as opened:
        yield opened


def make(config: Config, access: Access | None = None, **settings: object) -> Flask:
    """Make the application; by default every request is by ann, who may act."""
    chosen = WebSettings(**settings)  # type: ignore[arg-type]
    access = access or HostAccess(lambda _environ: ("ann", "act"))
    app = application(Backend(config, chosen), access, hosts=chosen.hosts)
    app.testing = True
    app.jinja_env.bytecode_cache = COMPILED
    return app


@pytest.fixture
def site(config: Config) -> Site:
    """Return a function that makes a test client, a browser without JavaScript, for the queue's pages."""

    def client(access: Access | None = None, **settings: object) -> FlaskClient:
        return make(config, access, **settings).test_client()

    return client


def plain(page: str) -> str:
    """Return a page without the marks that keep words of commands on one line."""
    return re.sub(r'<span class="word">([^<]*)</span>', r"\1", page)


def enqueued(store: Store, *jobs: NewJob) -> list[int]:
    """Enqueue jobs; return their ids."""
    return [one.id for one in store.enqueue(jobs)]
