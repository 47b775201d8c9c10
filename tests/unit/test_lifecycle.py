"""The drawing and the code are one."""

from __future__ import annotations

import re
from pathlib import Path

from cronq.model import states
from cronq.model.job import ENDED, FUTURE, TRANSITIONS, UNFINISHED, State

PAGE = (Path(__file__).parents[2] / "docs" / "lifecycle.md").read_text()


def test_the_drawing_has_the_transitions() -> None:
    drawn: dict[str, set[str]] = {state: set() for state in State}
    for source, target in re.findall(r"^    (\w+) --> (\w+)", PAGE, re.MULTILINE):
        drawn[source].add(target)
    assert drawn == TRANSITIONS


def test_the_table_has_the_transitions() -> None:
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| (`.*) \|$", PAGE, re.MULTILINE)
    assert {state: set(re.findall(r"`(\w+)`", targets)) for state, targets in rows} == TRANSITIONS


def test_every_state_can_be_reached_and_left() -> None:
    assert set(TRANSITIONS) == set(State)
    assert set().union(*TRANSITIONS.values()) | {State.SCHEDULED} == set(State)
    assert all(TRANSITIONS.values())


def test_the_table_of_states_has_every_state() -> None:
    assert sorted(State) == sorted(states.STYLES) == sorted(states.SHOWN)


def test_sets_of_states() -> None:
    assert set(State) == ENDED | UNFINISHED
    assert not ENDED & UNFINISHED
    due = {State.READY, State.PENDING, State.CANCELLED}
    assert {state for state in UNFINISHED if TRANSITIONS[state] == due} == FUTURE
    assert all(State.CANCELLED in TRANSITIONS[state] for state in UNFINISHED)
