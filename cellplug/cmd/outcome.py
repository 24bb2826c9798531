"""What an exception means for whoever ran the command.

The one place where errors become exit codes and lines of text.
"""

from __future__ import annotations

import dataclasses
import sys

from cellplug import exception

DONE = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""
BROKEN_PIPE = 141
"""128 + SIGPIPE."""
UNFORESEEN = 255

MEANINGS = {
    DONE: 'done',
    FAILED: 'refused or failed; standard error says why in one line',
    USAGE: 'wrong usage',
    INTERRUPTED: 'interrupted',
    UNFORESEEN: 'nobody foresaw this; --debug shows the traceback',
}
"""The exit codes of every command."""


class UsageError(Exception):
    """Arguments that contradict each other, or of which one is missing."""


class RefusedError(Exception):
    """What was asked for would not work, and was not begun."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended.

    :ivar code: the exit code.
    :ivar line: what to say about it.
    """

    code: int
    line: str


def was_interrupted(error: BaseException) -> bool:
    """Whether an error came of Ctrl-C.

    Libraries that are interrupted in the midst may fail as they unwind.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt):
            return True
        cause = cause.__context__
    return False


def explain(error: Exception) -> Outcome:
    """The exit code for an error, and one line about it.

    The line may hold what a backend said: it has to be hidden from secrets.
    """
    if isinstance(error, UsageError):
        return Outcome(USAGE, _one_line(error))
    if isinstance(error, RefusedError | exception.CellplugError):
        return Outcome(FAILED, _one_line(error))
    if isinstance(error, OSError):
        # A full disk, a file that may not be read: the machine refused.
        return Outcome(FAILED, _one_line(error))
    refused = _refused(error)
    if refused:
        return Outcome(
            FAILED, f'the database refused: {refused}{_notes(error)}'
        )
    return Outcome(
        UNFORESEEN,
        f'unforeseen {type(error).__name__}: {_one_line(error)} '
        '(--debug shows where)',
    )


def _one_line(error: Exception) -> str:
    return ' '.join(f'{error}{_notes(error)}'.split())


def _notes(error: Exception) -> str:
    """What was noted on the error's way, such as the cell."""
    notes = getattr(error, '__notes__', ())
    return f' ({"; ".join(notes)})' if notes else ''


def _refused(error: Exception) -> str:
    """What a database said to a statement, '' if it is not about that."""
    if 'sqlalchemy' not in sys.modules:
        return ''
    # Imported only where it is imported already.
    from oslo_db import exception as oslo_exception
    from sqlalchemy import exc as sa_exc

    from cellplug.db import errors

    if isinstance(error, sa_exc.DBAPIError | oslo_exception.DBError):
        return errors.reason(error)
    return ''
