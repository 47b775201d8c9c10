"""`cronq serve-inetd`: read a job's id from a connection, and start that job at once.

xinetd and systemd start it for one connection, or once for a listening socket; by hand it reads a pipe
or the terminal.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal itself makes enums, which take half as long as Python's start
import syslog

from cronq.commands.fast_options import Options
from cronq.errors import CronqError
from cronq.inetd import connection, request, sockets
from cronq.times import parse_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Annotated

    import typer

    from cronq.commands import Invocation
    from cronq.inetd.connections import Connections
    from cronq.inetd.sockets import Inherited


class ServeOptions(Options):
    """The options of `serve-inetd` as they were typed."""

    jobs: Annotated[
        str | None, typer.Option(metavar="N", help="On a listening socket: number of parallel jobs (16).")
    ] = None
    idle_exit: Annotated[
        str | None, typer.Option(metavar="D", help="On a listening socket: exit after this time idle (60s).")
    ] = None


def serve(invocation: Invocation, arguments: Sequence[str], *, misread: Callable[[], int]) -> int:
    """Serve one client or many; `misread` handles help and mistakes.

    First the inherited sockets are moved away from the descriptors 0, 1 and 2. Errors go to the
    system's log if stderr was a client's.
    """
    came_in = enter()
    for number in (_signal.SIGHUP, _signal.SIGPIPE):  # a client or a terminal may disconnect at any time
        _signal.signal(number, _signal.SIG_IGN)
    try:
        options = ServeOptions.read(arguments)
        return misread() if options is None else execute(invocation, options, came_in)
    except Exception as error:
        if not came_in.stderr:
            _report(error)
        raise


def enter() -> Inherited:
    """Find the inherited sockets, and move them away from the descriptors 0, 1 and 2."""
    return sockets.enter(_handed_over)


def _handed_over() -> int:
    from cronq.config import environment

    return environment.handed_over()


def execute(invocation: Invocation, options: ServeOptions, came_in: Inherited) -> int:
    """Serve one connection, or the clients of listening sockets."""
    if came_in.kind == sockets.LISTENING:
        return _receive(invocation, options, came_in)
    return connection.serve_one(invocation, came_in)


def _report(error: Exception) -> None:
    from cronq.model.printable import one_line

    connection.open_log()
    said = str(error) if isinstance(error, CronqError) else f"internal error: {type(error).__name__}: {error}"
    syslog.syslog(syslog.LOG_ERR, one_line(said))


# Many clients


def _receive(invocation: Invocation, options: ServeOptions, came_in: Inherited) -> int:
    from cronq.inetd.connections import Connections

    connection.open_log()
    connections = Connections(came_in.sockets)
    try:
        _serve_all(invocation, options, connections)
    except Exception:
        # Else inetd would start the next process for the same clients at once, and so on.
        connections.turn_away(request.UNAVAILABLE)
        raise
    return connection.OK


def _serve_all(invocation: Invocation, options: ServeOptions, connections: Connections) -> None:
    from cronq.commands.fast_options import positive
    from cronq.config.loader import require_owner
    from cronq.inetd.server import IDLE_EXIT, MOST_AT_ONCE, Server

    idle = IDLE_EXIT if options.idle_exit is None else parse_duration(options.idle_exit, what="--idle-exit")
    at_once = positive(options.jobs, what="--jobs") or MOST_AT_ONCE
    require_owner(invocation.config, "serve-inetd")
    with invocation.cronq(with_tasks=True) as queue:
        Server(queue, invocation.config, connections, at_once=at_once, idle_exit=idle, log=connection.log).serve()
