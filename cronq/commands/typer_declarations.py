"""Declare to typer the commands that start without it, for their help and their errors."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from cronq.commands import health, metrics, progress, run, serve_inetd, work
from cronq.commands import options as given

if TYPE_CHECKING:
    from cronq.commands.fast_options import FilterOptions

_RUN_EXAMPLE = """\
Example:

\b
  * * * * * cronq run                        in a crontab
  cronq run --queue 'mail*' --queue '!mail.bulk' --jobs 4
  cronq run --priority 0-20 --max-time 50s

Exit status: 0 done (also when another run holds the lock), 1 with --fail when a job failed,
65 bad input, 69 database out of reach, 78 configuration.
"""


_WORK_EXAMPLE = """\
Example:

\b
  cronq work
  cronq work --queue mail --queue 'report*' --weighted --jobs 4
  cronq work --max-jobs 10000 --max-memory 512M      ends then; its supervisor starts the next one

Exit status: 0 it was told to end or reached a limit, 65 bad input, 69 database out of reach at the
start, or at the end, 78 configuration.
"""


_SERVE_EXAMPLE = """\
Example:

\b
  echo 42 | cronq serve-inetd                by hand
  echo 42 | nc -N 127.0.0.1 11137            where xinetd or systemd starts it

Exit status: 0 the job was started (or none was asked for), 1 it may not run now, 65 malformed,
69 database out of reach, 78 configuration.
"""


@dataclass(frozen=True, kw_only=True)
class _Filter:
    queue: Annotated[
        list[str] | None,
        typer.Option("--queue", metavar="QUEUE", help="Only this queue: name, glob or !name; repeatable."),
    ] = None
    weighted: Annotated[
        bool, typer.Option("--weighted", help="Weighted queue order: the queue named n-th has weight 1/n.")
    ] = False
    priority: Annotated[
        str | None, typer.Option("--priority", metavar="RANGE", help="Only these: 10, 20-40, 25- or -20.")
    ] = None
    jobs: Annotated[str | None, typer.Option("--jobs", metavar="N", help="Parallel jobs (config: jobs).")] = None


@dataclass(frozen=True, kw_only=True)
class _Run(_Filter):
    limit: Annotated[str | None, typer.Option("--limit", metavar="N", help="Stop after N jobs.")] = None
    max_time: Annotated[
        str | None, typer.Option("--max-time", metavar="D", help="Start no job after this time, like 50s.")
    ] = None
    fail: Annotated[bool, typer.Option("--fail", help="Exit 1 when a job failed for good.")] = False


@given.spread
def _run(context: typer.Context, *, options: _Run) -> int:
    """Rescue the jobs of crashed runs, then run all due jobs.

    Without a terminal it prints one line on stderr for each job that failed for good or keeps
    failing, and nothing else. Only one run works on a host: a second one exits at once.
    """
    chosen = run.RunOptions()
    _take_over(options, chosen)
    return run.execute(given.invocation(context), chosen)


def _take_over(options: _Filter, chosen: FilterOptions) -> None:
    for name, value in asdict(options).items():
        setattr(chosen, name, value if value is not None or name != "queue" else [])


@dataclass(frozen=True, kw_only=True)
class _Work(_Filter):
    max_jobs: Annotated[str | None, typer.Option("--max-jobs", metavar="N", help="Exit after N jobs.")] = None
    max_memory: Annotated[
        str | None,
        typer.Option("--max-memory", metavar="M", help="Exit when the worker and its children use more, like 512M."),
    ] = None
    max_time: Annotated[
        str | None, typer.Option("--max-time", metavar="D", help="Start no job after this time, like 6h, and exit.")
    ] = None
    idle_exit: Annotated[
        str | None, typer.Option("--idle-exit", metavar="D", help="Exit after this time without a job.")
    ] = None
    poll: Annotated[
        str | None, typer.Option("--poll", metavar="D", help="Time between two queries without a wake-up (60s).")
    ] = None
    grace: Annotated[
        str | None, typer.Option("--grace", metavar="D", help="Time that running jobs get to end after SIGTERM (60s).")
    ] = None
    reload: Annotated[bool, typer.Option("--reload", help="Restart when a loaded module's file changes.")] = False


@given.spread
def _work(context: typer.Context, *, options: _Work) -> int:
    """Run as a daemon and start each job as soon as it is due.

    Enqueues on this host, the configured transports, PostgreSQL's NOTIFY and the time of the next due
    job wake the worker. Signals: TERM and INT finish the running jobs and exit, a second one gives them
    back. QUIT finishes them without a limit. USR1 kills the running jobs. USR2 pauses, CONT resumes.
    HUP finishes the running jobs and restarts.
    """
    chosen = work.WorkOptions()
    _take_over(options, chosen)
    return work.execute(given.invocation(context), chosen)


_HEALTH_EXAMPLE = """\
Example:

\b
  cronq health
  cronq health --queue mail -w ready=1000 -c oldest-due=10m -c workers=1:
  cronq health -w failed= -w last-run=3m -t 5

A RANGE alerts outside of it: 10 is 0 to 10, 10: is at least 10, ~:10 is at most 10, @5:10 alerts
inside. An age may have a unit. MEASURE= leaves a measure out.

Exit status: 0 OK, 1 WARNING, 2 CRITICAL (also when the database is out of reach), 3 UNKNOWN (usage,
configuration, no queue yet, an error in cronq).
"""

_Ranges = list[str] | None


def _health(
    context: typer.Context,
    *,
    warning: Annotated[
        _Ranges, typer.Option("-w", "--warning", metavar="MEASURE=RANGE", help="Warn outside of it; repeatable.")
    ] = None,
    critical: Annotated[
        _Ranges, typer.Option("-c", "--critical", metavar="MEASURE=RANGE", help="Critical outside; repeatable.")
    ] = None,
    queue: Annotated[
        list[str] | None, typer.Option("--queue", metavar="QUEUE", help="Only jobs of this queue; repeatable.")
    ] = None,
    timeout: Annotated[
        str, typer.Option("-t", "--timeout", metavar="D", help="Time limit of the check.")
    ] = health.PATIENCE,
) -> int:
    """Check the queue for Nagios or Icinga.

    One line with performance data, and the exit status.
    Measures: failed, ready, running, retrying, waiting, blocked, pending and scheduled jobs; oldest-due and
    last-run in seconds; workers; paused queues; failing-runs; schedules-late in seconds, missed due times within
    a day, schedules-failing, schedules-differing; limit-wait in seconds, limits-differing, batches-left-open.

    By default it warns of a failed job, a job that has been due for 5 minutes, a schedule that is 5 minutes late,
    fails, or is declared differently by hosts, a missed due time, a job that has waited for a place for an hour, a
    limit that hosts define differently, and a batch that was left open. Critical are a job that has been due for 30
    minutes, a schedule that is 30 minutes late, and a failing run.
    """
    chosen = health.HealthOptions()
    chosen.warning, chosen.critical, chosen.queue = list(warning or ()), list(critical or ()), list(queue or ())
    chosen.timeout = timeout
    return health.execute(given.invocation(context), chosen)


_METRICS_EXAMPLE = """\
Example:

\b
  cronq metrics
  * * * * * cronq metrics --textfile /var/lib/prometheus/node-exporter/cronq.prom

Exit status: 0 done, 69 database out of reach, 74 the file can't be written, 78 configuration.
"""


def _metrics(
    context: typer.Context,
    *,
    textfile: Annotated[
        str | None, typer.Option("--textfile", metavar="PATH", help="Replace this file in one step, for node_exporter.")
    ] = None,
) -> int:
    """Print metrics of the queue for Prometheus."""
    chosen = metrics.MetricsOptions()
    chosen.textfile = textfile
    return metrics.execute(given.invocation(context), chosen)


_PROGRESS_EXAMPLE = """\
Example:

\b
  cronq enqueue -- 'for n in $(seq 100); do ./convert $n; cronq progress $n 100 --note "page $n"; done'

Exit status: 0 done, 64 usage, or not called by a job, 65 no number, or the job has ended.
"""


def _progress(
    context: typer.Context,
    done: Annotated[str, typer.Argument(metavar="DONE", help="How much is done.", show_default=False)],
    total: Annotated[str | None, typer.Argument(metavar="TOTAL", help="Of how much.", show_default=False)] = None,
    *,
    note: Annotated[str | None, typer.Option("--note", metavar="TEXT", help="What it does now.")] = None,
) -> int:
    """Report the progress of a shell job.

    For use in the command of the job. show, top, ls and wait show it, with the rate and the time left.
    """
    chosen = progress.ProgressOptions()
    chosen.numbers = [done] if total is None else [done, total]
    chosen.note = note
    return progress.execute(given.invocation(context), chosen)


@dataclass(frozen=True, kw_only=True)
class _Serve:
    jobs: Annotated[
        str | None, typer.Option("--jobs", metavar="N", help="On a listening socket: number of parallel jobs (16).")
    ] = None
    idle_exit: Annotated[
        str | None,
        typer.Option("--idle-exit", metavar="D", help="On a listening socket: exit after this time idle (60s)."),
    ] = None


@given.spread
def _serve_inetd(context: typer.Context, *, options: _Serve) -> int:
    """Read a job's id from a connection and start that job at once.

    For xinetd, inetd and systemd: stdin is the connection, or the socket that listens. It answers
    OK 42, or ERR and the reason, before the job runs. stdin can be a pipe or a terminal, too.
    """
    chosen = serve_inetd.Options()
    for name, value in asdict(options).items():
        setattr(chosen, name, value)
    return serve_inetd.execute(given.invocation(context), chosen, serve_inetd.enter())


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    app.command("run", epilog=_RUN_EXAMPLE)(_run)
    app.command("work", epilog=_WORK_EXAMPLE)(_work)
    app.command("health", epilog=_HEALTH_EXAMPLE)(_health)
    app.command("metrics", epilog=_METRICS_EXAMPLE)(_metrics)
    app.command("progress", epilog=_PROGRESS_EXAMPLE)(_progress)
    app.command("serve-inetd", epilog=_SERVE_EXAMPLE)(_serve_inetd)
