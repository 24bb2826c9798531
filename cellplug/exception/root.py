"""The root of every exception of cellplug."""

from __future__ import annotations

from typing import Any
from typing import Self

PUBLIC = 'cellplug.exception'
"""What tracebacks, pickles and the message queue call the module of ours.

It stays the same when a class moves between the modules of this package.
"""


class CellplugError(Exception):
    """The root of everything that cellplug raises on purpose.

    Each exception can be made again from ``args`` and ``kwargs``: so it comes
    through a pickle, and through oslo.messaging from a worker, as itself and
    with its attributes.

    :ivar args: the positional arguments it was made with.
    :ivar kwargs: the named ones.
    :ivar message: the one line that ``str()`` gives.
    """

    __module__ = PUBLIC

    kwargs: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let ours name the package, whichever of its modules they are in."""
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith(f'{PUBLIC}.'):
            cls.__module__ = PUBLIC

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep what the exception is made with."""
        made = super().__new__(cls, *args)
        made.kwargs = kwargs
        return made

    def __init__(self, message: str = '') -> None:
        # Exception.__init__ would put the message in the place of args.
        self.message = message

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _remake, (type(self), self.args, self.kwargs)


def _remake(
    cls: type[CellplugError], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> CellplugError:
    return cls(*args, **kwargs)
