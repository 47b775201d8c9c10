"""Define the commands, one module for each or for a few related ones, and the global options of a call.

Heavy imports are inside functions, so that a command's start imports only what it needs.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.app import Cronq
    from cronq.config.loader import Config
    from cronq.store import Store

PURPOSES = {
    "Enqueue": {"enqueue": "enqueue", "emit": "enqueue", "batch": "batch", "wait": "wait", "schedules": "schedules"},
    "Run": {
        "run": "typer_declarations",
        "work": "typer_declarations",
        "serve-inetd": "typer_declarations",
        "exec": "foreground",
        "progress": "typer_declarations",
        "ring": "ring",
        "workers": "workers",
        "reload-workers": "workers",
    },
    "Inspect": {
        "status": "status",
        "ls": "ls",
        "show": "show",
        "why": "why",
        "errors": "errors",
        "tail": "tail",
        "top": "top",
        "web": "web",
        "health": "typer_declarations",
        "metrics": "typer_declarations",
    },
    "Repair": {
        "doctor": "doctor",
        "retry": "change",
        "cancel": "change",
        "edit": "edit",
        "release": "release",
        "limits": "limits",
        "pause": "queues",
        "resume": "queues",
        "drain": "queues",
        "clear-finished": "upkeep",
    },
    "Install": {
        "init": "init",
        "config": "config",
        "copy": "copy",
        "print-config": "print_config",
        "completion": "shell_files",
        "man": "shell_files",
        "update-schema": "upkeep",
    },
}
"""The module of each command, by purpose, in the order of the help."""

MODULES = {verb: module for verbs in PURPOSES.values() for verb, module in verbs.items()}


class Invocation:
    """The global options of one call, and the config that they select."""

    def __init__(
        self, *, file: str | None = None, database: str | None = None, log_file: str | None = None, verbosity: int = 0
    ) -> None:
        self.file = file
        self.database = database
        self.log_file = log_file
        self.verbosity = verbosity
        self.project = False
        """Whether the command runs in the process of a Django project."""
        self.given: Config | None = None
        """The configuration of the application in whose process the command runs."""
        self.typed: Sequence[str] = ()
        """The command and its arguments, as they were typed."""
        self.schedules = True
        """Whether the schedules are read together with the configuration; otherwise when they are first needed."""
        self._config: Config | None = None
        self._logging = False

    @property
    def quiet(self) -> bool:
        """Whether only errors are printed."""
        return self.verbosity < 0

    @property
    def verbose(self) -> bool:
        """Whether more than usual is printed."""
        return self.verbosity > 0

    @property
    def config(self) -> Config:
        """The configuration, read once. Raises ConfigError, and UsageError for --config or --db with `given`."""
        if self._config is None and self.given is not None:
            if self.file or self.database:
                from cronq.errors import UsageError

                raise UsageError("--config, --db: this command uses the configuration of the application")
            self._config = self.given
        if self._config is None:
            from cronq.config import loader

            self._config = loader.load(
                file=self.file, database=self.database, project=self.project, schedules=self.schedules
            )
            if not self.quiet:
                self._warn(loader.misspelt())
            if self.log_file is not None:
                self._config = self._config.with_values("--log-file", log=self.log_file)
        return self._config

    def _warn(self, sentences: Sequence[str]) -> None:
        if sentences:
            from cronq.render.text import complain

            for sentence in sentences:
                complain(sentence)

    def start_logging(self, *, warnings: bool = False) -> None:
        """Start the configured log, once; with -v or `warnings`, write to stderr too. Raises ConfigError."""
        if not self._logging and (self.verbose or warnings or self.config.log is not None):
            from cronq.system import log_handlers

            self._logging = True
            log_handlers.start(self.config, shown="INFO" if self.verbose else "WARNING" if warnings else None)

    def cronq(self, *, with_tasks: bool, reading: bool = False) -> Cronq:
        """Make the `Cronq` object, with the app's tasks or without them. `reading` creates no missing database."""
        from cronq.app import Cronq, load_app

        self.start_logging()
        queue = load_app(self.config) if with_tasks else Cronq(self.config)
        self._config = queue.config  # an application may have settings of its own
        queue.enqueuer.reading = reading
        return queue

    def store(self, *, reading: bool = False) -> Store:
        """Open the store without importing the app. `reading` creates no missing database."""
        from cronq.store import Store
        from cronq.times import Clock
        from cronq.transports.announcer import Announcer

        self.start_logging()
        return Store(self.config, Clock(), Announcer(self.config), reading=reading)
