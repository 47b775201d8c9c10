"""Draw figures as SVG on the server, without inline styles and scripts, and with a description in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.storage.history import Minute

_STEP = 5


def bars(minutes: Sequence[Minute], *, css: str, height: int = 24) -> Markup:
    """Draw one bar a minute: finished jobs, with failed ones on top."""
    most = max((one.finished + one.failed for one in minutes), default=0)
    drawn = [_bar(place, one, most, height) for place, one in enumerate(minutes) if one.finished + one.failed]
    return Markup(
        '<svg class="{}" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(css, len(minutes) * 2, height, words(minutes), Markup("").join(drawn))


def _bar(place: int, one: Minute, most: int, height: int) -> Markup:
    good, bad = (max(1.0, number * height / most) if number else 0.0 for number in (one.finished, one.failed))
    good = min(good, height - bad)
    rect = Markup('<rect class="{}" x="{}" y="{:.1f}" width="1.6" height="{:.1f}"/>')
    drawn = rect.format("good", place * 2, height - good, good) if good else Markup("")
    return drawn + (rect.format("bad", place * 2, height - good - bad, bad) if bad else Markup(""))


def words(minutes: Sequence[Minute]) -> str:
    """Describe in words what the bars show."""
    finished, failed = sum(one.finished for one in minutes), sum(one.failed for one in minutes)
    most = max((one.finished for one in minutes), default=0)
    return f"within an hour {finished:,} finished, {failed:,} failed; at most {most:,} finished in a minute"


def steps(minutes: Sequence[Minute]) -> list[Minute]:
    """Sum the figures of each five minutes, for the table behind a chart."""
    parts = [minutes[start : start + _STEP] for start in range(0, len(minutes), _STEP)]
    return [
        part[0]._replace(finished=sum(one.finished for one in part), failed=sum(one.failed for one in part))
        for part in parts
    ]
