"""Where a function takes its context."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def context_finder(
    function: Callable[..., Any],
) -> Callable[[tuple[Any, ...], dict[str, Any]], Any]:
    """How to find the context among a call's arguments.

    :raises TypeError: for a function that takes none, or that would run
        after its transaction.
    """
    if (
        inspect.isgeneratorfunction(function)
        or inspect.iscoroutinefunction(function)
        or inspect.isasyncgenfunction(function)
    ):
        raise TypeError(
            f'{function!r} would run after its transaction has ended; '
            'return a list from a plain function'
        )
    parameters = list(inspect.signature(function).parameters.values())
    names = [p.name for p in parameters]
    if 'context' in names:
        index = names.index('context')
    else:
        index = 1 if names[:1] in (['self'], ['cls']) else 0
    if index >= len(names):
        raise TypeError(f'{function!r} takes no context')
    name = names[index]
    positional = parameters[index].kind in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    )

    def find(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if positional and index < len(args):
            return args[index]
        try:
            return kwargs[name]
        except KeyError:
            raise TypeError(
                f'{function.__qualname__}() needs its context {name!r}'
            ) from None

    return find
