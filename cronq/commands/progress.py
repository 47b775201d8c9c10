"""`cronq progress`: record the progress of the job that calls it; starts without typer, because loops call it."""

from __future__ import annotations

import os

from cronq.errors import InvalidInput, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.commands import Invocation

_MOST = 2


class ProgressOptions:
    """The arguments of `progress` as they were typed."""

    def __init__(self) -> None:
        self.numbers: list[str] = []
        self.note: str | None = None


def parse(arguments: Sequence[str]) -> ProgressOptions | None:
    """Read the arguments; None for `--help` and mistakes, which typer handles."""
    options, following = ProgressOptions(), list(arguments)
    while following:
        argument = following.pop(0)
        name, equals, value = argument.partition("=")
        if name == "--note" and (equals or following):
            options.note = value if equals else following.pop(0)
        elif argument.startswith("-") or len(options.numbers) == _MOST:
            return None
        else:
            options.numbers.append(argument)
    return options if options.numbers else None


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

    done, total = (*options.numbers, None)[:_MOST]
    earlier = records.parsed(os.pread(fd, records.SIZE, records.PROGRESS_AT))
    os.pwrite(fd, records.packed(job, earlier, (done, total, options.note)), records.PROGRESS_AT)
