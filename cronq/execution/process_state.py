"""Restore the process state that a job has changed before the next job: directory, environment, signals and so on.

Comparing all of it after each job would cost more than a short job takes. So the functions that change it are
replaced in the child by ones that note their call, and only what was touched is compared. After a job that took
long all is compared, because code in C calls no function of Python's.
"""

from __future__ import annotations

import _locale
import _signal  # type: ignore[import-not-found]  # signal.getsignal makes an enum of each handler
import _thread
import gc
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.system.descriptors import out_of_the_way
from cronq.system.process import signal_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from threading import Thread

_LONG = 20_000_000
"""Nanoseconds: after a job that took longer, all is compared."""

_ITIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_SIGNALS = {signal_name(number): int(number) for number in signal.valid_signals()}
_LIMITS = {getattr(resource, name): name for name in reversed(dir(resource)) if name.startswith("RLIMIT_")}

_CHANGING = {
    "_locale": ("setlocale",),
    "_signal": ("signal", "pthread_sigmask"),
    "gc": ("enable", "disable"),
    "os": ("umask", "nice", "setpriority", "putenv", "unsetenv", "chdir", "fchdir"),
    "resource": ("setrlimit", "prlimit"),
    "signal": ("alarm", "setitimer", "set_wakeup_fd"),
    "sys": ("setrecursionlimit",),
}
"""The functions that change something, by module; Python's own `os.environ` and `signal.signal` call them too."""

_NAMES = {name for names in _CHANGING.values() for name in names} | {"_setlocale"}

_put_to = signal.setitimer  # the originals, which don't note their calls
_set_wakeup_fd = signal.set_wakeup_fd
_fchdir = os.fchdir


class _Trait(NamedTuple):
    """A part of the process state; `put_back` is None if only a new process can restore it."""

    name: str
    read: Callable[[], Any]
    put_back: Callable[[Any], object] | None = None
    fresh: Any = None
    """Its value in a new child, if it differs from the runner's."""

    def described(self, kept: Any, found: Any) -> str:
        """Describe the change."""
        if isinstance(kept, dict):
            return f"{self.name} ({', '.join(sorted(map(os.fsdecode, _differences(kept, found))))})"
        return self.name


class ProcessState:
    """The process state that a child has between two jobs, and restores after each.

    It is made, and reads what a child inherits, in the runner: reading in a new process copies the memory that
    is touched, and takes twenty times as long.
    """

    def __init__(self) -> None:
        self._touched = False
        self._kept: dict[str, Any] = {}

    def watch(self) -> None:
        """In the runner: replace the functions that change the state by ones that note their call."""
        noting: dict[int, Callable[..., Any]] = {}
        for module, names in _CHANGING.items():
            for name in names:
                original = getattr(sys.modules[module], name)
                noting[id(original)] = self._noting(original)
        for each in list(sys.modules.values()):
            known = getattr(each, "__dict__", {})
            if not known.keys().isdisjoint(_NAMES):
                for name in known.keys() & _NAMES:
                    known[name] = noting.get(id(known[name]), known[name])

    def _noting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def noting(*args: Any, **kwargs: Any) -> Any:
            self._touched = True
            return original(*args, **kwargs)

        return noting

    def read_before_fork(self) -> None:
        """In the runner: read what the next child inherits."""
        self._kept = {trait.name: trait.read() if trait.fresh is None else trait.fresh for trait in _TRAITS}

    def begin(
        self,
        handlers: Mapping[int, Any],
        variables: Mapping[str, str],
        at_start: Sequence[Callable[[], object]] = (),
    ) -> None:
        """In the child: keep the state that was read, with the signal handlers and environment variables set since.

        Calls the functions of `at_start`, whose changes belong to the state.
        """
        self._kept["signal handlers"].update((signal_name(number), to) for number, to in handlers.items())
        self._kept["environment"].update((os.fsencode(name), os.fsencode(to)) for name, to in variables.items())
        if at_start:
            for hook in at_start:
                hook()
            self._kept = {trait.name: trait.read() for trait in _TRAITS}
        self._here = _here()
        self._environ = os.environ
        self._timeout = _socket_timeout()
        self._loop = _event_loop()
        self._usual: Sequence[Thread] = ()
        self.adopt_threads()
        self._pools_closed = False
        self._touched = False

    def adopt_threads(self) -> None:
        """Count the threads that run now as the child's own, which last from job to job."""
        self._threads = _thread._count()
        if self._threads:
            from cronq.execution import threads

            self._usual = threads.running()

    def may_differ(self, took: int) -> bool:
        """Tell whether a job that took so many nanoseconds may have changed anything; costs next to nothing."""
        loaded = sys.modules
        return (
            took > _LONG
            or self._touched
            or os.environ is not self._environ
            or ("_socket" in loaded and _socket_timeout() != self._timeout)
            or ("asyncio.events" in loaded and _event_loop() != self._loop)
        )

    def has_threads(self) -> bool:
        """Tell whether more threads run than the child's own."""
        return _thread._count() > self._threads

    def wait_for_threads(self) -> None:
        """Wait for the job's threads that aren't daemons; this may close pools of threads for good."""
        from cronq.execution import threads  # it imports `threading`; most children have no threads

        self._pools_closed = threads.wait(self._usual)

    def threads_left(self) -> str:
        """Describe the job's threads that still run, or pools of threads that were closed; empty for neither."""
        if self.has_threads():
            from cronq.execution import threads

            return threads.described(self._usual)
        return "a pool of threads" if self._pools_closed else ""

    def put_back(self) -> tuple[list[str], list[str]]:
        """Restore what was changed; returns the names of these parts, and of those that only a new process restores."""
        undone: list[str] = []
        lasting: list[str] = []
        if os.environ is not self._environ:
            os.environ = self._environ  # noqa: B003 - the process itself still has the variables of this object
            undone.append("environment")
        for trait in _TRAITS:
            kept, found = self._kept[trait.name], trait.read()
            if found != kept:
                put_back = self._go_back if trait.name == "directory" else trait.put_back
                done = put_back is not None and _is_done(put_back, kept)
                (undone if done else lasting).append(trait.described(kept, found))
        undone += self._put_back_modules()
        self._touched = False
        return undone, lasting

    def _go_back(self, _place: object) -> None:
        if self._here is not None:
            _fchdir(self._here)

    def _put_back_modules(self) -> Iterator[str]:
        if _socket_timeout() != self._timeout:
            sys.modules["_socket"].setdefaulttimeout(self._timeout)
            yield "socket timeout"
        if (loop := _event_loop()) != self._loop:
            _put_back_event_loop(self._loop)
            if loop is not None and loop.current is not None:
                yield "event loop"


def _is_done(put_back: Callable[[Any], object], kept: Any) -> bool:
    with suppress(PermissionError):  # a lower priority stays, unless the user is root
        put_back(kept)
        return True
    return False


# The parts of the state: how to read them and to put them back


def _differences(kept: dict[Any, Any], found: dict[Any, Any]) -> set[Any]:
    return {name for name in kept.keys() | found.keys() if kept.get(name) != found.get(name)}


def _umask() -> int:
    usual = os.umask(0o077)
    os.umask(usual)
    return usual


def _environment() -> dict[bytes, bytes]:
    variables: dict[bytes, bytes] = vars(os.environ)["_data"]  # its public methods would decode each variable
    return dict(variables)


def _put_back_environment(kept: dict[bytes, bytes]) -> None:
    changed = _differences(kept, _environment())
    for name in changed:
        if name in kept:
            os.environb[name] = kept[name]
        else:
            del os.environb[name]
    if b"TZ" in changed:
        time.tzset()


def _timers() -> bool:
    return any(signal.getitimer(timer)[0] for timer in _ITIMERS)


def _stop_timers(_none: bool) -> None:  # noqa: FBT001 - it is what `_timers` has returned
    for timer in _ITIMERS:
        _put_to(timer, 0)


def _priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


def _here() -> int | None:
    """Open the current directory, to return to it; None if it was deleted."""
    try:
        return out_of_the_way(os.open(".", getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError:
        return None


def _directory() -> tuple[int, int] | None:
    try:
        status = os.stat(".")  # noqa: PTH116 - pathlib is slow
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _socket_timeout() -> Any:
    sockets = sys.modules.get("_socket")
    return sockets.getdefaulttimeout() if sockets else None


class _EventLoop(NamedTuple):
    """The state of asyncio for this thread: the policy, its current loop, and whether that was set."""

    policy: Any
    current: object
    was_set: object


def _event_loop() -> _EventLoop | None:
    events = sys.modules.get("asyncio.events")
    policy = events and getattr(events, "_event_loop_policy", None)
    if policy is None:
        return None
    local = getattr(policy, "_local", None)
    return _EventLoop(policy, getattr(local, "_loop", None), getattr(local, "_set_called", False))


def _put_back_event_loop(kept: _EventLoop | None) -> None:
    events: Any = sys.modules["asyncio.events"]
    events._event_loop_policy = kept and kept.policy
    if kept and hasattr(kept.policy, "_local"):
        kept.policy._local._loop, kept.policy._local._set_called = kept.current, kept.was_set


_TRAITS = (
    _Trait("timers", _timers, _stop_timers, fresh=False),
    _Trait("signal handlers", lambda: {name: _signal.getsignal(number) for name, number in _SIGNALS.items()}),
    _Trait(
        "blocked signals",
        lambda: _signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        lambda kept: _signal.pthread_sigmask(signal.SIG_SETMASK, kept),
        fresh=set(),
    ),
    _Trait("signal wakeup", lambda: _set_wakeup_fd(-1), lambda _: None, fresh=-1),
    _Trait("resource limits", lambda: {name: resource.getrlimit(number) for number, name in _LIMITS.items()}),
    _Trait("priority", _priority, lambda kept: os.setpriority(os.PRIO_PROCESS, 0, kept)),
    _Trait("umask", _umask, os.umask),
    _Trait("environment", _environment, _put_back_environment),
    _Trait(
        "locale",
        lambda: _locale.setlocale(_locale.LC_ALL, None),
        lambda kept: _locale.setlocale(_locale.LC_ALL, kept),
    ),
    _Trait("recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    _Trait("garbage collection", gc.isenabled, lambda kept: gc.enable() if kept else gc.disable()),
    _Trait("directory", _directory),
)
