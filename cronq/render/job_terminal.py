"""Show one job on a terminal: facts, attempts along a time line, output."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Group
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from cronq.model.dependencies import NO_TIES, Ties
from cronq.model.printable import one_line, safe
from cronq.model.states import STYLES
from cronq.render.job_text import ending, facts, uncounted, where
from cronq.render.text import last_line, short_work
from cronq.times import span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from cronq.model.job import Attempt, Job
    from cronq.render.console import Screen
    from cronq.render.relative_time import Ages

EXCERPT = 10
"""Number of lines that are shown of the beginning and of the end of an output."""

_OUTCOME_STYLES = {"error": "red", "timeout": "red", "crashed": "bold red", "success": "green", "warning": "yellow"}
_IN_THE_HEADING = frozenset({"outcome", "attempts", "error"})


class JobDetails(NamedTuple):
    """The data of a job: its row, its recorded attempts, the output of the last attempt, its ties to other jobs."""

    job: Job
    attempts: Sequence[Attempt]
    output: tuple[str | None, str | None]
    ties: Ties = NO_TIES


class _Style(NamedTuple):
    """The screen, the times, and the length of excerpts, with which a job is drawn."""

    screen: Screen
    ages: Ages
    excerpt: int | None


def draw(details: JobDetails, screen: Screen, ages: Ages, *, excerpt: int | None = EXCERPT) -> RenderableType:
    """Draw the page of a job; of a long output only `excerpt` lines at each end, or all of it if that is None."""
    job, look = details.job, _Style(screen, ages, excerpt)
    parts: list[RenderableType] = [_heading(job, screen, ages), _facts(details, screen, ages)]
    steps = [_step(attempt, following, look) for attempt, following in _with_next(details.attempts)]
    steps += _latest(details, screen, ages)
    if steps:
        parts += [Text(), Text("attempts", style="bold"), *steps]
    if not details.attempts or details.output != (details.attempts[-1].stdout, details.attempts[-1].stderr):
        for name, text in zip(("stdout", "stderr"), details.output, strict=True):
            parts += _output(name, text, look)
    return Group(*parts)


def _heading(job: Job, screen: Screen, ages: Ages) -> Text:
    style = STYLES.get(str(job.state), "")
    heading = Text().append(f"job {job.id}  {screen.shown(one_line(job.task))}", style="bold")
    heading.append(f"  {screen.shown(one_line(job.state))} {ages.of(job)}", style=style)
    heading.append(f"  attempt {job.attempt} of {job.max_attempts}{uncounted(job)}", style="dim")
    if job.error is not None:
        heading.append(f"\n{screen.shown(one_line(last_line(job.error)))}", style="red")
    return heading


def _facts(details: JobDetails, screen: Screen, ages: Ages) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    job = details.job
    shown = [("does", short_work(job)), *facts(job, ages.both)[1:], *details.ties.lines()]
    for label, value in shown:
        if value and label not in _IN_THE_HEADING:
            told = ages.until(job.available_at) if label == "due" and job.available_at > ages.now else value
            grid.add_row(f"  {label}", screen.shown(one_line(told)))
    for warning in job.warnings:
        grid.add_row("  warning", Text(screen.shown(one_line(warning)), style="yellow"))
    return grid


def _with_next(attempts: Sequence[Attempt]) -> Iterator[tuple[Attempt, Attempt | None]]:
    return zip_longest(attempts, attempts[1:])


def _step(attempt: Attempt, following: Attempt | None, look: _Style) -> RenderableType:
    """Draw one recorded attempt, without its traceback and output if the next one has the same."""
    screen = look.screen
    style = _OUTCOME_STYLES.get(attempt.outcome, "")
    head = Text().append(f"{attempt.number}  ", style="bold")
    head.append(screen.shown(one_line(f"{attempt.outcome}{ending(attempt)}")), style=style)
    head.append(f"  {screen.shown(one_line(_told(attempt, look.ages)))}", style="dim")
    body: list[RenderableType] = [head]
    if attempt.error is not None:
        body.append(Text(screen.shown(one_line(last_line(attempt.error))), style="red"))
    repeated = following is not None and _same_end(attempt, following)
    if not repeated:
        body += _evidence(attempt, look)
    return _Gutter(Group(*body), plain=screen.ascii, style=style)


def _told(attempt: Attempt, ages: Ages) -> str:
    took = ""
    if attempt.started_at is not None and attempt.finished_at is not None:
        took = f"took {span(max(0.0, (attempt.finished_at - attempt.started_at).total_seconds()))}"
    place = where(attempt)
    return ", ".join(part for part in (ages.ago(attempt.finished_at), took, place and f"on {place}") if part)


def _same_end(one: Attempt, other: Attempt) -> bool:
    return (one.error, one.stdout, one.stderr) == (other.error, other.stdout, other.stderr)


def _evidence(attempt: Attempt, look: _Style) -> Iterator[RenderableType]:
    if attempt.error is not None and attempt.error.traceback:
        yield _traceback(attempt.error.traceback, look.screen)
    for name, text in (("stdout", attempt.stdout), ("stderr", attempt.stderr)):
        yield from _output(name, text, look)


def _traceback(trace: str, screen: Screen) -> Text:
    """Draw a traceback up to its last frame: the line of the error itself is shown above it."""
    lines = screen.shown(safe(trace)).rstrip().splitlines()
    last = max((number for number, line in enumerate(lines) if line.startswith(" ")), default=len(lines) - 1)
    drawn = Text("\n").join(Text(line, style=_line_style(line)) for line in lines[: last + 1])
    drawn.overflow = "fold"
    return drawn


def _line_style(line: str) -> str:
    if line.lstrip().startswith('File "'):
        return "cyan"
    return "" if line.startswith(" ") else "dim"


def _latest(details: JobDetails, screen: Screen, ages: Ages) -> Iterator[RenderableType]:
    """Draw the attempt that the history doesn't have: a running or successful one."""
    job = details.job
    if job.started_at is None or not (job.state == "running" or job.outcome in {"success", "warning"}):
        return
    number = details.attempts[-1].number + 1 if details.attempts else job.attempt
    style = _OUTCOME_STYLES.get(job.outcome or "", STYLES["running"])
    head = Text().append(f"{number}  ", style="bold")
    head.append(screen.shown(one_line(job.outcome or "running")), style=style)
    took = f", took {span(job.duration)}" if job.duration is not None else ""
    place = where(job)
    told = one_line(f"{ages.of(job)}{took}{f', on {place}' if place else ''}")
    head.append(f"  {screen.shown(told)}", style="dim")
    yield _Gutter(head, plain=screen.ascii, style=style)


def _output(name: str, text: str | None, look: _Style) -> list[RenderableType]:
    if not text:
        return []
    lines, ends = look.screen.shown(safe(text)).splitlines(), look.excerpt
    count = "1 line" if len(lines) == 1 else f"{len(lines):,} lines"
    shown: list[RenderableType] = [Text(f"{name} ({count})", style="bold dim")]
    if ends is None or len(lines) <= 2 * ends + 1:
        return [*shown, Text("\n".join(lines))]
    left_out = Text(f"{len(lines) - 2 * ends:,} lines more: --output shows all", style="dim italic")
    return [*shown, Text("\n".join(lines[:ends])), left_out, Text("\n".join(lines[-ends:]))]


class _Gutter:
    """Draws content beside a time line."""

    def __init__(self, body: RenderableType, *, plain: bool, style: str) -> None:
        self._body = body
        self._mark, self._bar = ("* ", "| ") if plain else ("● ", "│ ")
        self._style = Style.parse(style or "none")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        inner = options.update(width=max(20, options.max_width - 4), height=None)
        for number, line in enumerate(console.render_lines(self._body, inner, pad=False)):
            if number == 0:
                yield Segment(f"  {self._mark}", self._style)
            else:
                yield Segment(f"  {self._bar}", Style(dim=True))
            yield from line
            yield Segment.line()
