"""Import cronq once, and fork for each request: the fork becomes that `cronq` command.

tests/warm.py starts it with the number of a listening socket and the `cronq` script; or with names of modules: then
its forks are Python programs that have these imported. A request is a marshalled dictionary with the three
standard streams of the command; the answers are its process id, and its wait status when it has ended. It ends with
its own standard input.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import marshal
import os
import pkgutil
import runpy
import select
import socket
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

_STREAMS = 3
_LONGEST = 1 << 20
_PR_SET_DUMPABLE = 4
_MADV_COLLAPSE = 25
_LARGE = 2 << 20
_LEFT_OUT = (
    *("cronq.transports.", "cronq.testing", "cronq.__main__"),
    *("cronq.django", "cronq.web", "cronq.flask", "cronq.asgi", "cronq.otel"),
)
"""Modules that need a library that may be missing, or a framework that is set up."""


def _import_all() -> None:
    """Import the modules that commands may need, but not the transports, whose client libraries few commands use."""
    for name in ("cronq", "typer", "typer._adapters", "typer._click.decorators", "filelock", "pymysql", "psycopg"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for module in pkgutil.walk_packages(sys.modules["cronq"].__path__, "cronq.", onerror=lambda _: None):
        with contextlib.suppress(ImportError):
            if not module.name.startswith(_LEFT_OUT):
                importlib.import_module(module.name)


def declare_all() -> None:
    """Make typer's declaration of each command here once, not in each fork: it takes half of a short command."""
    typer: Any = importlib.import_module("typer.main")
    program: Any = importlib.import_module("cronq.commands.program")
    typer.get_command = functools.cache(typer.get_command)
    program.program = functools.cache(program.program)
    for word in (None, *sys.modules["cronq.commands"].MODULES):
        group = typer.get_command(program.program(word))
        for parameter in (one for command in (group, *group.commands.values()) for one in command.params):
            if hasattr(parameter, "get_runtime_param"):  # older versions of typer have nothing to make later
                parameter.get_runtime_param()


def _have_large_pages() -> None:
    """Put the imported modules into pages of 2 MB if Linux can: a fork copies the table of pages.

    For tens of thousands of small pages that takes longer than a short command itself.
    """
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, access, _, _, _, *name = line.split()
        first, end = (int(number, 16) for number in place.split("-"))
        if access == "rw-p" and end - first >= _LARGE and name in ([], ["[heap]"]):
            madvise(first, end - first, _MADV_COLLAPSE)  # an older Linux refuses and changes nothing


class _Forks:
    """The running commands, and the sockets that wait for their ends."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._running: dict[int, tuple[int, socket.socket]] = {}
        self._poll = select.poll()
        for descriptor in (sys.stdin.fileno(), listener.fileno()):
            self._poll.register(descriptor, select.POLLIN)

    def next_command(self) -> dict[str, Any]:
        """Fork for each request; return the request, but only in the fork."""
        while True:
            for ready, _ in self._poll.poll():
                if ready == sys.stdin.fileno():
                    os._exit(0)
                if ready in self._running:
                    self._report(ready)
                elif (request := self._fork()) is not None:
                    return request

    def _fork(self) -> dict[str, Any] | None:
        asked, _ = self._listener.accept()
        message, streams, *_ = socket.recv_fds(asked, _LONGEST, _STREAMS)
        pid = os.fork()
        if pid == 0:
            self._take_over(streams, asked)
            request: dict[str, Any] = marshal.loads(message)
            return request
        for stream in streams:
            os.close(stream)
        _tell(asked, pid)
        end = os.pidfd_open(pid)
        self._running[end] = (pid, asked)
        self._poll.register(end, select.POLLIN)
        return None

    def _take_over(self, streams: list[int], asked: socket.socket) -> None:
        """Use the streams of the request, and close all other descriptors of this process."""
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        for one in (self._listener, asked, *(other for _, other in self._running.values())):
            one.detach()
        os.closerange(_STREAMS, max(map(int, os.listdir("/proc/self/fd"))) + 1)  # noqa: PTH208

    def _report(self, end: int) -> None:
        pid, asked = self._running.pop(end)
        self._poll.unregister(end)
        os.close(end)
        _tell(asked, os.waitpid(pid, 0)[1])
        asked.close()


def _tell(asked: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):
        asked.send(str(number).encode())


def _enter(pid: int) -> None:
    """Enter the network and the host name of that process; os.setns is new in Python 3.12."""
    for namespace in ("net", "uts"):
        with Path(f"/proc/{pid}/ns/{namespace}").open() as file:
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0):
                raise OSError(ctypes.get_errno(), f"setns: {namespace} of {pid}")


def _be_user(user: int) -> None:
    """Become this user and group alone, with a /proc that is readable for them, as after a start."""
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1)


def _become(started_as: list[str], request: dict[str, Any]) -> None:
    if request["host"] is not None:
        _enter(request["host"])
    os.chdir(request["directory"])
    coerced = {name: value for name, value in os.environ.items() if name == "LC_CTYPE"}
    os.environ.clear()
    os.environ.update(request["environment"] | coerced)
    time.tzset()
    Path("/proc/self/comm").write_text(request["name"])
    if request["user"] is not None:
        _be_user(request["user"])
    sys.argv[:] = [*started_as, *request["arguments"]]
    sys.orig_argv[:] = [sys.executable, *sys.argv]


def _run_python() -> None:
    """Run as Python itself does with these arguments: -c CODE, -m MODULE, or a file."""
    sys.modules["__main__"] = program = types.ModuleType("__main__")
    sys.path[:1] = ["", *filter(None, os.environ.get("PYTHONPATH", "").split(":"))]
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in os.environ
    kind, *others = sys.argv
    if kind == "-m":
        sys.path[0] = os.getcwd()  # noqa: PTH109 - as Python has it
        sys.argv[:] = others
        runpy._run_module_as_main(others[0])  # type: ignore[attr-defined]  # what Python itself calls for it
    elif kind == "-c":
        sys.argv[:] = [kind, *others[1:]]
        exec(compile(others[0], "<string>", "exec"), program.__dict__)
    else:
        sys.path[0] = os.path.dirname(os.path.realpath(kind))  # noqa: PTH120
        program.__file__ = kind
        exec(compile(Path(kind).read_bytes(), kind, "exec"), program.__dict__)


def _end(status: int) -> None:
    """End as Python does, but without freeing all objects: each page of them would be copied for that."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except OSError:
        status = 120
    os._exit(status)


def _run(script: list[str]) -> int:
    if script:
        ended: int = sys.modules["cronq.cli"].main()
        return ended
    _run_python()
    return 0


def main() -> None:
    """Wait for requests; in the fork for one, run its command."""
    listener, given = socket.socket(fileno=int(sys.argv[1])), sys.argv[2:]
    script = given[:1] if given[0].startswith("/") else []
    sys.path[0] = os.path.dirname(given[0])  # noqa: PTH120 - as Python sets it for the script
    _import_all()
    for name in given[len(script) :]:
        importlib.import_module(name)
    if script:
        declare_all()
    gc.freeze()
    _have_large_pages()
    _become(script, _Forks(listener).next_command())
    try:
        status = _run(script)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    _end(status)


if __name__ == "__main__":
    main()
