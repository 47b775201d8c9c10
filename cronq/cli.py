"""Run the command `cronq`: read global options, call the command, turn errors into exit statuses.

`run` is started each minute and mostly has nothing to do. So the command word is read before
anything heavy is imported, and this module imports only what each start needs.
"""

from __future__ import annotations

import gc
import os
import sys

from cronq.commands import MODULES, Invocation
from cronq.errors import UsageError, status_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.config.loader import Config

INTERRUPTED = 130
READER_GONE = 141

VALUES = {"--config": "file", "--db": "database", "--log-file": "log_file"}
"""Global options that take a value."""

FLAGS = {
    "-v": "louder",
    "--verbose": "louder",
    "-q": "quieter",
    "--quiet": "quieter",
    "--debug": "debug",
    "--version": "version",
    "-V": "version",
}


WITH_QUEUE = frozenset({"enqueue", "run", "work", "health", "ls", "errors", "retry", "cancel", "clear-finished"})
"""Commands after which `-q NAME` is more likely meant as `--queue NAME`."""

QUICK = ("run", "work", "health", "metrics", "progress")
"""Commands that read their options themselves, each in a module of its name."""


class CommandLine:
    """The global options found before or after the command word, and the other words in their order."""

    def __init__(self, arguments: Sequence[str], *, project: bool = False) -> None:
        self._project = project
        self.config: Config | None = None
        self.values: dict[str, str] = {}
        self.flags: list[str] = []
        self.rest: list[str] = []
        self.after_quiet: str | None = None
        """The word after a `-q` that comes after the command."""
        self._read(list(arguments))

    @property
    def word(self) -> str | None:
        """The command word; None if the first other word is an option, or there is none."""
        return self.rest[0] if self.rest and not self.rest[0].startswith("-") else None

    def invocation(self) -> Invocation:
        """Return the global options in the form that commands take."""
        invocation = Invocation(
            file=self.values.get("file"),
            database=self.values.get("database"),
            log_file=self.values.get("log_file"),
            verbosity=self.flags.count("louder") - self.flags.count("quieter"),
        )
        invocation.project = self._project
        invocation.given = self.config
        invocation.typed = self.rest
        return invocation

    def _read(self, arguments: list[str]) -> None:
        while arguments:
            argument = arguments.pop(0)
            if argument == "--":
                self.rest += [argument, *arguments]
                return
            self._take(argument, arguments)

    def _take(self, argument: str, following: list[str]) -> None:
        name, equals, value = argument.partition("=")
        if argument in FLAGS:
            self.flags.append(FLAGS[argument])
            if argument == "-q" and self.rest and following:
                self.after_quiet = following[0]
        elif name in VALUES and equals:
            self.values[VALUES[name]] = value
        elif name in VALUES and following:
            self.values[VALUES[name]] = following.pop(0)
        else:
            self.rest.append(argument)


def main(arguments: Sequence[str] | None = None, *, project: bool = False, config: Config | None = None) -> int:
    """Run the command of one command line; returns the exit status (docs/cli.md lists them).

    With `project`, the configuration is that of the Django project that runs in this process; with `config`, it is
    the given one, of another application that runs in this process.
    """
    _open_streams()
    _tolerate_any_text()
    line = CommandLine(sys.argv[1:] if arguments is None else arguments, project=project)
    line.config = config
    try:
        status = _serve(line)
        _flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # any error becomes a line and a status
        if "debug" in line.flags or os.environ.get("CRONQ_DEBUG"):
            _show_traceback()
        return _explain_to_a_monitor(error) if line.word == "health" else _explain(error)
    return status


def script() -> int:
    """Run the command line of a process that ends afterwards; returns the exit status."""
    try:
        return main()
    finally:
        gc.freeze()  # else Python's exit collects garbage among all objects: 7 % of the time of a run without due jobs


def _serve(line: CommandLine) -> int:
    _doubt(line)
    if "version" in line.flags:
        from cronq import __version__

        sys.stdout.write(f"cronq {__version__}\n")
        return 0
    if line.word == "serve-inetd":
        from cronq.commands import serve_inetd

        return serve_inetd.serve(line.invocation(), line.rest[1:], misread=lambda: _through_typer(line))
    if line.word in QUICK:
        status = _quickly(line, line.word)
        if status is not None:
            return status
    if not line.rest:
        from cronq.commands import overview

        return overview.show(line.invocation())
    return _through_typer(_known(line))


def _known(line: CommandLine) -> CommandLine:
    """Return the line with `help COMMAND` as `COMMAND --help`. Raises UsageError for a command that doesn't exist."""
    if line.word == "help":
        line.rest = [*line.rest[1:], "--help"]
    if line.word is not None and line.word not in MODULES:
        from cronq.commands import mistakes

        raise UsageError(mistakes.no_command(line.word))
    return line


def _doubt(line: CommandLine) -> None:
    """Raise UsageError if `-q` may be meant as `--queue`."""
    name = line.after_quiet
    if line.word in WITH_QUEUE and name and not name.startswith("-") and not name.isdecimal():
        raise UsageError(f"-q is --quiet: write --queue {name}, or -q before {line.word}")


def _quickly(line: CommandLine, word: str) -> int | None:
    """Run a command without typer; returns its exit status, None if its options need typer."""
    from importlib import import_module

    module = import_module(f"cronq.commands.{word}")
    options = module.parse(line.rest[1:])
    return None if options is None else module.execute(line.invocation(), options)


def _through_typer(line: CommandLine) -> int:
    import typer

    from cronq.commands.program import program

    command = program(line.word)
    try:
        status = command(line.rest, prog_name="cronq", standalone_mode=False, obj=line.invocation())
    except typer.Abort:
        return INTERRUPTED
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # for which typer exits with status 1
            _drop_output()
            return READER_GONE
        raise
    except Exception as error:
        if not hasattr(error, "format_message"):  # the class is typer's or click's, depending on the version
            raise
        from cronq.commands import mistakes

        raise UsageError(mistakes.in_one_line(error)) from error
    return status if isinstance(status, int) else 0


def _explain(error: Exception) -> int:
    """Write one line to stderr; returns the exit status."""
    if isinstance(error, BrokenPipeError) and _reader_is_gone():
        return READER_GONE
    status, text = status_of(error)
    return _complain(text, status)


def _explain_to_a_monitor(error: Exception) -> int:
    from cronq.commands import health

    try:
        return health.explain(error)
    except OSError:
        _drop_output()
        return health.NO_ANSWER


def _complain(text: str, status: int) -> int:
    from cronq.render.text import complain

    try:
        complain(text)
        _flush()
    except OSError:
        _drop_output()
    return status


def _show_traceback() -> None:
    import traceback

    from cronq.model.printable import safe

    if sys.stderr is not None:
        sys.stderr.write(safe(traceback.format_exc()))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _reader_is_gone() -> bool:
    """Tell whether the broken pipe was stdout, and not a pipe to a child."""
    try:
        _flush()
    except BrokenPipeError:
        _drop_output()
        return True
    return False


def _drop_output() -> None:
    """Discard the rest of the output: Python would try to write it at exit, and fail again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _open_streams() -> None:
    """Open /dev/null for closed standard streams: files opened later would get their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number, which is this one
            os.set_inheritable(number, True)  # noqa: FBT003 - it takes no keyword


def _tolerate_any_text() -> None:
    """Write an escape instead of a character that the output's encoding doesn't have."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
