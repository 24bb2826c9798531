"""What errors say, where others than their callers will read it."""

from __future__ import annotations

from cellplug import exception


def said(error: BaseException) -> str:
    """What an error says, on one line.

    Of cellplug's own, which name no secret, what they are for. Of others the
    class alone: their messages may quote a connection URL.
    """
    if isinstance(
        error, exception.DatabaseUnavailable | exception.QueueUnavailable
    ):
        text = error.reason
    elif isinstance(error, exception.CellplugError):
        text = str(error)
    else:
        text = type(error).__name__
    return ' '.join(text.split())


def attempts(number: int) -> str:
    """So many of them; "the last" goes before it."""
    return f'{number} attempts' if number > 1 else 'attempt'
