"""`cronq serve-inetd`: a job's id comes in over a connection, and exactly that job is started at once.

xinetd and systemd start it for one connection, or once for a listening socket; by hand it reads a pipe
or the terminal. The way to the answer takes nothing but the driver: what runs the job is imported
while the caller reads.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal itself makes enums, which take half as long as Python's start
import os
import syslog
import time

from cronq.commands.fast_options import read
from cronq.errors import CronqError
from cronq.inetd import request, sockets
from cronq.inetd.request import Client
from cronq.times import Clock, parse_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronq.commands import Invocation
    from cronq.execution.pool import Pool
    from cronq.inetd.connections import Connections
    from cronq.inetd.sockets import Inherited
    from cronq.model.claimed_job import Claimed
    from cronq.tasks.registry import Registry

VALUES = {"--jobs": "jobs", "--idle-exit": "idle_exit"}

OK, REFUSED, MALFORMED = 0, 1, 65


class Options:
    """The options of `serve-inetd` as they were typed."""

    def __init__(self) -> None:
        self.jobs: str | None = None
        self.idle_exit: str | None = None


def parse(arguments: Sequence[str]) -> Options | None:
    """The options, or None for whatever typer has to look at: `--help`, and every mistake."""
    options = Options()
    return options if read(arguments, options, values=VALUES, flags={}) else None


def serve(invocation: Invocation, arguments: Sequence[str], *, misread: Callable[[], int]) -> int:
    """Serve one caller or many; `misread` has the help, and the errors of what `parse` doesn't understand.

    Before anything else the descriptors 0, 1 and 2 are taken off the network. What goes wrong is
    told to the system's log where stderr isn't for people.
    """
    came_in = enter()
    for number in (_signal.SIGHUP, _signal.SIGPIPE):  # a caller or a terminal that goes away takes nothing along
        _signal.signal(number, _signal.SIG_IGN)
    try:
        options = parse(arguments)
        return misread() if options is None else execute(invocation, options, came_in)
    except Exception as error:
        if not came_in.stderr:
            _report(error)
        raise


def enter() -> Inherited:
    """Take sockets off the descriptors 0, 1 and 2."""
    return sockets.enter(_handed_over)


def _handed_over() -> int:
    from cronq.config import environment

    return environment.handed_over()


def execute(invocation: Invocation, options: Options, came_in: Inherited) -> int:
    """Serve who comes in."""
    if came_in.kind == sockets.LISTENING:
        return _receive(invocation, options, came_in)
    return _serve_one(invocation, _caller(came_in), log=came_in.kind == sockets.CONNECTION)


def _report(error: Exception) -> None:
    from cronq.model.printable import one_line

    _open_log()
    said = str(error) if isinstance(error, CronqError) else f"internal error: {type(error).__name__}: {error}"
    syslog.syslog(syslog.LOG_ERR, one_line(said))


def _open_log() -> None:
    syslog.openlog("cronq", syslog.LOG_PID, syslog.LOG_DAEMON)


def _log(text: str) -> None:
    syslog.syslog(syslog.LOG_INFO, text)


def _caller(came_in: Inherited) -> Client:
    if came_in.kind == sockets.CONNECTION:
        return Client(came_in.sockets[0])
    return Client(0, 1, patience=None if os.isatty(0) else request.PATIENCE)


# One caller


def _serve_one(invocation: Invocation, caller: Client, *, log: bool) -> int:
    caller.wait()
    if caller.asks_nothing:
        return OK
    said, status, start = _reply(invocation, caller)
    caller.answer(said)
    if log:
        _open_log()
        _log(f"{caller.name} {said} ({(time.monotonic() - caller.came) * 1000:.1f} ms)")
    if start is None:
        caller.linger()
        return status
    return start()


def _reply(invocation: Invocation, caller: Client) -> tuple[str, int, Callable[[], int] | None]:
    """What to answer, the exit status, and how to go on where a job was claimed."""
    if not caller.complete:
        return request.TIMEOUT, MALFORMED, None
    job_id = request.job_id(caller.line)
    if job_id is None:
        return request.MALFORMED, MALFORMED, None
    from cronq.storage.claim_one import Refused

    try:
        errand = _Errand(invocation, caller, job_id)
    except Refused as refusal:
        return f"ERR {job_id} {refusal}", REFUSED, None
    except Exception:
        caller.answer(request.UNAVAILABLE)
        caller.linger()
        raise
    return f"OK {job_id}", OK, errand.run


class _Errand:
    """One job, claimed for a caller; Raises Refused where it can't be."""

    def __init__(self, invocation: Invocation, caller: Client, job_id: int) -> None:
        from cronq.config.loader import require_owner
        from cronq.locks import Liveness, new_worker

        self._invocation = invocation
        self._config = invocation.config
        require_owner(self._config, "serve-inetd")
        self._caller = caller
        self._clock = Clock()
        # From here on a signal waits until there is somebody who can finish the job or give it back.
        _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGTERM, _signal.SIGINT))
        self._alive = Liveness(self._config, new_worker())
        self._since = time.monotonic()
        try:
            self._row = self._claim(job_id)
        except BaseException:
            self._alive.end()
            raise

    def _claim(self, job_id: int) -> tuple[object, ...]:
        from cronq.storage.claim_one import Lease, claim_one
        from cronq.storage.tables import Tables

        tables = Tables(self._config, self._clock)
        tables.open()
        try:
            lease = Lease(self._alive.worker, now=self._clock.now(), seconds=self._config.lease)
            return claim_one(tables, job_id, lease)
        finally:
            tables.unprepared.close()

    def run(self) -> int:
        """Start the job, then bring in what sees it through."""
        from cronq.model.claimed_job import Claimed

        job = Claimed._make(self._row)
        try:
            registry = self._registry(job)
        except BaseException:
            self._give_back(job)
            raise
        self._caller.drain()
        self._caller.close()
        pool = self._start(job, registry)
        self._see_through(pool, registry)
        return OK

    def _registry(self, job: Claimed) -> Registry:
        """The tasks; a command without an app needs none, and not the time that importing them takes."""
        from cronq.model.claimed_job import COMMAND_TASK

        if job.task == COMMAND_TASK and self._config.app is None:
            from cronq.tasks.null_registry import NO_TASKS

            return NO_TASKS
        return self._invocation.cronq(with_tasks=True).registry

    def _start(self, job: Claimed, registry: Registry) -> Pool:
        from cronq.execution.child_handle import PoolConfig
        from cronq.execution.pool import Pool
        from cronq.model.retry import Policies

        policies = Policies(self._config, registry)
        pool = Pool(1, PoolConfig(self._config, registry, policies, self._clock, self._alive.worker))
        pool.fill()
        pool.children[0].give([job])
        return pool

    def _see_through(self, pool: Pool, registry: Registry) -> None:
        from cronq.inetd.one_job import OneJob
        from cronq.store import Store

        with Store(self._config, self._clock) as store:
            OneJob(store, registry, self._config, alive=self._alive, pool=pool).see_through(self._since)

    def _give_back(self, job: Claimed) -> None:
        """The app can't be imported: the job goes back, its attempt with it."""
        from cronq.store import Store
        from cronq.transports.announcer import Announcer

        with Store(self._config, self._clock, Announcer(self._config, transports=False)) as store:
            store.release([job])
        self._alive.end()


# Many callers


def _receive(invocation: Invocation, options: Options, came_in: Inherited) -> int:
    from cronq.inetd.connections import Connections

    _open_log()
    connections = Connections(came_in.sockets)
    try:
        _serve_all(invocation, options, connections)
    except Exception:
        # Else inetd would start the next process for the same callers at once, and so on.
        connections.turn_away(request.UNAVAILABLE)
        raise
    return OK


def _serve_all(invocation: Invocation, options: Options, connections: Connections) -> None:
    from cronq.commands.fast_options import positive
    from cronq.config.loader import require_owner
    from cronq.inetd.server import IDLE_EXIT, MOST_AT_ONCE, Server

    idle = IDLE_EXIT if options.idle_exit is None else parse_duration(options.idle_exit, what="--idle-exit")
    at_once = positive(options.jobs, what="--jobs") or MOST_AT_ONCE
    require_owner(invocation.config, "serve-inetd")
    with invocation.cronq(with_tasks=True) as queue:
        Server(queue, invocation.config, connections, at_once=at_once, idle_exit=idle, log=_log).serve()
