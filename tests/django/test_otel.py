"""Spans of a Django project: a request, its enqueues in a transaction, the attempts of a run."""

from __future__ import annotations

import json
from pathlib import Path

from tests.django.sites import migrated

APPS = """\
from django.apps import AppConfig
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

class Shop(AppConfig):
    name = "shop"

    def ready(self):
        exporter = ConsoleSpanExporter(out=open("spans", "a"), formatter=lambda span: span.to_json(indent=None) + "\\n")
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=3600000))
        trace.set_tracer_provider(provider)
"""

REQUEST = """\
from asgiref.sync import async_to_sync
from django.db import transaction
from opentelemetry import trace
from cronq.django.api import task_backends
from shop.tasks import *
with trace.get_tracer("shop").start_as_current_span("request"):
    die.enqueue("kill")
    with transaction.atomic():
        add.enqueue(1)
    async_to_sync(add.aenqueue)(2)
    task_backends["default"].enqueue_many([(add, (n,), {}) for n in (3, 4)])
"""


def test_a_task_hangs_under_its_request(tmp_path: Path) -> None:
    site = migrated(tmp_path, otel=True)
    (site.directory / "shop" / "apps.py").write_text(APPS)
    site.python(REQUEST)
    site.cronq("run", "--jobs", 1)  # what a killed child had not exported is lost
    spans = [json.loads(line) for line in (site.directory / "spans").read_text().splitlines()]
    (request,) = (span for span in spans if span["name"] == "request")
    sent = {span["context"]["span_id"]: span for span in spans if span["name"] == "enqueue default"}
    done = [span for span in spans if span["name"] == "process default"]
    assert {span["context"]["trace_id"] for span in spans} == {request["context"]["trace_id"]}
    assert {span["parent_id"] for span in sent.values()} == {request["context"]["span_id"]}
    assert {span["parent_id"] for span in done} == set(sent)
    assert (len(sent), len(done)) == (4, 5)
    assert [span["attributes"]["cronq.task"] for span in done if span["status"]["status_code"] == "ERROR"] == [
        "shop.tasks.die"
    ]
