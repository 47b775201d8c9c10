"""The app that celery's worker loads."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery

from benchmarks.servers import url
from benchmarks.work import no_op

place = Path(os.environ["BENCH_PLACE"])
broker = url(place) if (place / "server").exists() else f"redis+socket://{place / 'redis.sock'}"
app = Celery(broker=broker)
app.conf.update(
    task_default_queue=place.name,
    task_ignore_result=True,
    # Otherwise the call returns before RabbitMQ has confirmed the message.
    broker_transport_options={"confirm_publish": True} if broker.startswith("amqp") else {},
    broker_connection_retry_on_startup=True,
)
no_op_task = app.task(name="no-op")(no_op)
