"""What the lab's pages are drawn with: one console, one look of tables."""

from __future__ import annotations

from typing import Any
from typing import TextIO

import rich.box
import rich.console
import rich.table


def console(stream: TextIO) -> rich.console.Console:
    """A console in colour if the stream is a terminal."""
    return rich.console.Console(file=stream, highlight=False)


def is_unicode(shown: rich.console.Console) -> bool:
    """Whether more than ASCII can be shown."""
    return shown.encoding.startswith('utf')


def marks(shown: rich.console.Console) -> tuple[str, str]:
    """What stands before a line that holds, and before one that does not."""
    return ('✓', '✗') if is_unicode(shown) else ('+', '-')


def overflow(shown: rich.console.Console) -> rich.console.OverflowMethod:
    """How text ends that is cut where the screen ends."""
    return 'ellipsis' if is_unicode(shown) else 'crop'


class Table(rich.table.Table):
    """A table whose columns are cut where the screen ends."""

    def __init__(self, shown: rich.console.Console, title: str) -> None:
        super().__init__(
            title=title,
            title_justify='left',
            title_style='bold',
            box=rich.box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            header_style='dim',
        )
        self._overflow = overflow(shown)

    def columns_of(self, *names: str, **options: Any) -> None:
        """Add columns of one kind."""
        for name in names:
            self.add_column(
                name, no_wrap=True, overflow=self._overflow, **options
            )
