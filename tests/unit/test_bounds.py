"""The declared lower bounds: what other dependencies want makes a lower one impossible to install."""

from __future__ import annotations

import tomllib
from importlib.metadata import requires

from packaging.requirements import Requirement

from tests.project import ROOT


def lowest(requirement: Requirement) -> str:
    return next((one.version for one in requirement.specifier if one.operator == ">="), "0")


def test_no_bound_is_below_what_typer_wants() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    ours = {one.name: one for one in map(Requirement, declared)}
    for theirs in map(Requirement, requires("typer") or ()):
        if theirs.name in ours and theirs.marker is None:
            assert theirs.specifier.contains(lowest(ours[theirs.name])), theirs
