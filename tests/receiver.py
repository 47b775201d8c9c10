"""Run a web server that records the requests, and one that never answers."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple

from daemons.databases import free_port


class Heard(NamedTuple):
    """One request."""

    path: str
    body: str


class Receiver(ThreadingHTTPServer):
    """Answers every request with one status, and records it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.heard: list[Heard] = []
        self.status = 200

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def told(self, path: str) -> list[str]:
        """Return the bodies of the requests to this path."""
        return [heard.body for heard in self.heard if heard.path == path]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.heard.append(Heard(self.path, body.decode()))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_GET  # noqa: N815 - the server's name for it

    def log_message(self, *_: Any) -> None:
        """Do nothing: the test reads the recorded requests."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Yield a running receiver."""
    with Receiver() as receiver:
        thread = Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
            thread.join()


@contextmanager
def silent() -> Iterator[str]:
    """Yield the address of a server that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def refusing() -> str:
    """Return an address at which no program listens."""
    return f"127.0.0.1:{free_port()}"
