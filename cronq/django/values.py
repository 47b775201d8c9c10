"""Convert arguments and results between Django's tasks and the rows of jobs."""

from __future__ import annotations

import json
from inspect import signature
from typing import TYPE_CHECKING, Any

from cronq.django.api import normalize_json
from cronq.errors import InvalidInput
from cronq.tasks import serialisation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cronq.django.task import CronqTask

POSITIONAL = "*"
"""The name under which a row has the positional arguments; keywords that begin with it get another one in front."""


def packed(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments by name, as plain JSON values. Raises TypeError for other values, as Django does."""
    named = {_escaped(name): value for name, value in normalize_json(kwargs).items()}
    return {POSITIONAL: normalize_json(args), **named} if args else named


def stored(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Return the arguments as the JSON of a row. Raises TypeError for a value that JSON doesn't have."""
    try:
        return serialisation.dumps(packed(args, kwargs))
    except InvalidInput as error:
        raise TypeError(str(error)) from None


def named(task: CronqTask, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments by the names of the task's parameters; only the keywords if they don't fit these."""
    given = (None, *args) if task.takes_context else args
    try:
        return {**signature(task.func).bind(*given, **kwargs).arguments, **kwargs}
    except TypeError:  # which the attempt reports: an enqueue doesn't check arguments
        return kwargs


def spread(arguments: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional arguments and the keywords of a row."""
    positional = arguments.get(POSITIONAL, [])
    named = {_unescaped(name): value for name, value in arguments.items() if name != POSITIONAL}
    return list(positional) if isinstance(positional, list | tuple) else [positional], named


def restored(plain: Any) -> Any:
    """Return the value of a row's JSON that was parsed without converting its tags."""
    return serialisation.load_value(json.dumps(plain))


def _escaped(name: str) -> str:
    return f"{POSITIONAL}{name}" if name.startswith(POSITIONAL) else name


def _unescaped(name: str) -> str:
    return name.removeprefix(POSITIONAL)
