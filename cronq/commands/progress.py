"""`cronq progress`: record the progress of the job that calls it; starts without typer, because loops call it."""

from __future__ import annotations

import os

from cronq.commands.fast_options import Options
from cronq.errors import InvalidInput, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Annotated

    import typer

    from cronq.commands import Invocation


class ProgressOptions(Options):
    """The arguments of `progress` as they were typed: one or two numbers, and a note."""

    MOST_WORDS = 2

    note: Annotated[str | None, typer.Option(metavar="TEXT", help="What it does now.")] = None


def parse(arguments: Sequence[str]) -> ProgressOptions | None:
    """Read the arguments; None for `--help` and mistakes, which typer handles."""
    options = ProgressOptions.read(arguments)
    return options if options is not None and options.words else None


def execute(invocation: Invocation, options: ProgressOptions) -> int:
    """Write the progress to the record of the job that this process belongs to.

    Raises UsageError outside of a job, InvalidInput if the job has ended or belongs to another user.
    """
    from cronq.execution import progress_record

    del invocation
    job_id, _, rest = os.environ.get(progress_record.VARIABLE, "").partition(":")
    token, _, path = rest.partition(":")
    if not (job_id.isdecimal() and token.isdecimal() and path):
        problem = f"{progress_record.VARIABLE} is not set: this is for a command that runs as a job"
        raise UsageError(f"progress: {problem}; a Python task calls current_job().progress(…)")
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise InvalidInput(f"progress: job {job_id} has ended, or belongs to another user: {error}") from None
    try:
        _write(fd, (int(job_id), int(token)), options)
    finally:
        os.close(fd)
    return 0


def _write(fd: int, job: tuple[int, int], options: ProgressOptions) -> None:
    from cronq.execution import progress_record as records

    done, total = (*options.words, None)[:2]
    earlier = records.parsed(os.pread(fd, records.SIZE, records.PROGRESS_AT))
    os.pwrite(fd, records.packed(job, earlier, (done, total, options.note)), records.PROGRESS_AT)
