"""`cronq doctor`: check this installation and print what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cronq.commands import options as given

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cronq.commands import Invocation
    from cronq.config.shown import Value
    from cronq.monitoring.doctor.checks import Located

_EXAMPLE = """\
Example:

\b
  cronq doctor
  cronq -q doctor
  cronq doctor --json | jq '.findings[] | select(.level != "ok")'

Exit status: 0 there is no problem (there may be warnings), 1 there is one.
"""


Settings = Annotated[bool, typer.Option("--settings", help="Print also each setting and where it comes from.")]


def _doctor(context: typer.Context, *, settings: Settings = False, as_json: given.AsJson = False) -> None:
    """Check the installation and say what to do.

    Checks configuration, database, disk, locks, cron, wake-ups and jobs. The verdict comes first, then
    problems, warnings and what is well. With -q it prints only problems and warnings.
    """
    from cronq.monitoring.doctor.checks import examine
    from cronq.monitoring.doctor.finding import Level
    from cronq.render.text import document, write

    call = given.invocation(context)
    found = list(examine(lambda: call.config))
    if as_json:
        write([document(_report(_values(call), found))])
    else:
        _tell(found, call)
        if settings:
            write(_settings(_values(call)))
    if any(one.finding.level is Level.PROBLEM for one in found):
        raise typer.Exit(1)


def _values(call: Invocation) -> Sequence[Value]:
    from cronq.config.shown import values
    from cronq.errors import CronqError

    try:
        return values(call.config)
    except CronqError:
        return []


def _report(values: Iterable[Value], found: Sequence[Located]) -> dict[str, Any]:
    levels = [one.finding.level.value for one in found]
    return {
        "status": next((level for level in ("problem", "warning") if level in levels), "ok"),
        "config": [value._asdict() for value in values],
        "findings": [
            {
                "area": one.area,
                "level": one.finding.level.value,
                "text": one.finding.text,
                "advice": one.finding.advice or None,
            }
            for one in found
        ],
    }


def _settings(values: Iterable[Value]) -> Iterable[str]:
    from cronq.model.printable import one_line
    from cronq.render.text import plain

    for value in values:
        yield one_line(f"{value.key} = {plain(value.value)}  ({value.origin})")


def _tell(found: Sequence[Located], call: Invocation) -> None:
    """Print the verdict and the findings, the worst first."""
    from cronq.monitoring.doctor.finding import Level
    from cronq.render.text import write

    ranked = {level: [one for one in found if one.finding.level is level] for level in reversed(Level)}
    if not call.quiet:
        write([_verdict({level.value: len(ones) for level, ones in ranked.items()})])
    for level, ones in ranked.items():
        for one in ones:
            if not (call.quiet and level is Level.OK):
                _show(one)


def _verdict(numbers: dict[str, int]) -> str:
    told = [f"{numbers[name]} {name}{'s' * (numbers[name] != 1)}" for name in ("problem", "warning") if numbers[name]]
    well = f"{numbers['ok']} checks are well"
    return f"{', '.join(told)}; {well}" if told else f"no problem; {well}"


_COLOURS = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def _show(one: Located) -> None:
    from cronq.model.printable import one_line
    from cronq.render.text import on_terminal, write

    level = one.finding.level.value
    lines = [f"{level.upper():<7} {one.area}: {one_line(one.finding.text)}"]
    if one.finding.advice:
        lines.append(f"        do: {one_line(one.finding.advice)}")
    if on_terminal():
        _show_coloured(lines, level)
    else:
        write(lines)


def _show_coloured(lines: Sequence[str], level: str) -> None:
    from rich.text import Text

    from cronq.render.console import Screen

    shown = Text("\n".join(lines))
    shown.stylize(_COLOURS[level], 0, len(level))
    Screen().console.print(shown, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("doctor", epilog=_EXAMPLE)(_doctor)
