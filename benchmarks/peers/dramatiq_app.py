"""The app that dramatiq's workers load."""

from __future__ import annotations

import os
from pathlib import Path

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from benchmarks.servers import url
from benchmarks.work import no_op

place = Path(os.environ["BENCH_PLACE"])
broker = RabbitmqBroker(url=url(place).removesuffix("/") + "%2F", confirm_delivery=True)
dramatiq.set_broker(broker)
no_op_task = dramatiq.actor(actor_name="no-op", queue_name=place.name)(no_op)
