"""One address sends requests without end: those of another one are answered in between."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from waitress.server import create_server

from cronq.web import connections
from tests.waiting import wait_until

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
THREADS = 2
CONNECTIONS = 20
EACH = 5


class Gate:
    """An application whose answers wait for a permit; it notes the addresses in the order of their answers."""

    def __init__(self) -> None:
        self.answered: list[str] = []
        self.permits = threading.Semaphore(0)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        self.answered.append(environ["REMOTE_ADDR"])
        self.permits.acquire(timeout=60)
        start_response("200 OK", [("Content-Length", "3")])
        return [b"ok\n"]


@pytest.fixture
def gate() -> Gate:
    """The application."""
    return Gate()


@pytest.fixture
def server(gate: Gate) -> Iterator[Any]:
    """A server of the application in a thread, bound as that of `cronq web` is."""
    made = create_server(gate, host="127.0.0.1", port=0, threads=THREADS, asyncore_use_poll=True)
    connections.bound(made)
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    yield made
    gate.permits.release(1000)
    made.close()
    made.task_dispatcher.shutdown()
    made.trigger.close()
    thread.join(60)


def client(server: Any, address: str, requests: int) -> socket.socket:
    """A connection from this address that has sent so many requests at once."""
    one = socket.create_connection(("127.0.0.1", server.effective_port), source_address=(address, 0), timeout=60)
    one.sendall(REQUEST * requests)
    return one


@pytest.mark.parametrize("flood", [[EACH] * CONNECTIONS, [CONNECTIONS * EACH]], ids=["connections", "pipelined"])
def test_a_flood_of_one_address_keeps_another_from_no_answer(gate: Gate, server: Any, flood: list[int]) -> None:
    held = [client(server, "127.0.0.2", requests) for requests in flood]
    waiting = server.task_dispatcher.queue
    wait_until(lambda: len(waiting) + len(gate.answered) == len(flood), what="the flood")
    visitor = client(server, "127.0.0.3", 1)
    wait_until(lambda: len(waiting) + len(gate.answered) == len(flood) + 1, what="the visitor's request")
    gate.permits.release(CONNECTIONS * EACH + 1)
    assert visitor.recv(1000).startswith(b"HTTP/1.1 200 OK")
    wait_until(lambda: len(gate.answered) == CONNECTIONS * EACH + 1, seconds=60, what="all answers")
    place = gate.answered.index("127.0.0.3")
    assert place <= THREADS + 1, gate.answered
    for one in (*held, visitor):
        one.close()
