"""Declare to typer the commands that start without it, for their help and their errors."""

from __future__ import annotations

from typing import Annotated

import typer

from cronq.commands import health, metrics, progress, run, serve_inetd, work
from cronq.commands import options as given

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


@given.spread
def _run(context: typer.Context, *, options: run.RunOptions) -> int:
    """Rescue the jobs of crashed runs, then run all due jobs.

    Without a terminal it prints one line on stderr for each job that failed for good or keeps
    failing, and nothing else. Only one run works on a host: a second one exits at once.
    """
    return run.execute(given.invocation(context), options)


@given.spread
def _work(context: typer.Context, *, options: work.WorkOptions) -> int:
    """Run as a daemon and start each job as soon as it is due.

    Enqueues on this host, the configured transports, PostgreSQL's NOTIFY and the time of the next due
    job wake the worker. Signals: TERM and INT finish the running jobs and exit, a second one gives them
    back. QUIT finishes them without a limit. USR1 kills the running jobs. USR2 pauses, CONT resumes.
    HUP finishes the running jobs and restarts.
    """
    return work.execute(given.invocation(context), options)


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


@given.spread
def _health(context: typer.Context, *, options: health.HealthOptions) -> int:
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
    return health.execute(given.invocation(context), options)


_METRICS_EXAMPLE = """\
Example:

\b
  cronq metrics
  * * * * * cronq metrics --textfile /var/lib/prometheus/node-exporter/cronq.prom

Exit status: 0 done, 69 database out of reach, 74 the file can't be written, 78 configuration.
"""


@given.spread
def _metrics(context: typer.Context, *, options: metrics.MetricsOptions) -> int:
    """Print metrics of the queue for Prometheus."""
    return metrics.execute(given.invocation(context), options)


_PROGRESS_EXAMPLE = """\
Example:

\b
  cronq enqueue -- 'for n in $(seq 100); do ./convert $n; cronq progress $n 100 --note "page $n"; done'

Exit status: 0 done, 64 usage, or not called by a job, 65 no number, or the job has ended.
"""


@given.spread
def _progress(
    context: typer.Context,
    done: Annotated[str, typer.Argument(metavar="DONE", help="How much is done.", show_default=False)],
    total: Annotated[str | None, typer.Argument(metavar="TOTAL", help="Of how much.", show_default=False)] = None,
    *,
    options: progress.ProgressOptions,
) -> int:
    """Report the progress of a shell job.

    For use in the command of the job. show, top, ls and wait show it, with the rate and the time left.
    """
    options.words = [done] if total is None else [done, total]
    return progress.execute(given.invocation(context), options)


@given.spread
def _serve_inetd(context: typer.Context, *, options: serve_inetd.ServeOptions) -> int:
    """Read a job's id from a connection and start that job at once.

    For xinetd, inetd and systemd: stdin is the connection, or the socket that listens. It answers
    OK 42, or ERR and the reason, before the job runs. stdin can be a pipe or a terminal, too.
    """
    return serve_inetd.execute(given.invocation(context), options, serve_inetd.enter())


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    app.command("run", epilog=_RUN_EXAMPLE)(_run)
    app.command("work", epilog=_WORK_EXAMPLE)(_work)
    app.command("health", epilog=_HEALTH_EXAMPLE)(_health)
    app.command("metrics", epilog=_METRICS_EXAMPLE)(_metrics)
    app.command("progress", epilog=_PROGRESS_EXAMPLE)(_progress)
    app.command("serve-inetd", epilog=_SERVE_EXAMPLE)(_serve_inetd)
