"""Text of docstrings and help, fitted to a width."""

from __future__ import annotations

import inspect
import re
import textwrap

_ITEM = re.compile(r'\s*(?:[-*+•]|\d+[.)]|#\.|:[^:`]+:)\s+')
"""How an item of a list, or a field, begins."""

_KEPT = re.compile(r'\s|\.\. |\||>>>|\+[-=]|([=~^"#*+-])\1{2}')
"""How a line begins whose end is where it has to be."""


def clean(text: str) -> str:
    """The text without the indentation of the source it stands in."""
    first, _, rest = text.partition('\n')
    # What is announced by the only other line is an example, all of it.
    if first.rstrip().endswith(':') and rest.strip():
        return text.expandtabs().strip()
    return inspect.cleandoc(text)


def unwrapped(text: str) -> str:
    """Each paragraph and item in one line; what is indented as it is."""
    lines: list[str] = []
    hang: int | None = None  # where an item goes on; a paragraph at 0
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        item = _ITEM.match(line)
        if item:
            lines.append(line.rstrip())
            hang = item.end()
        elif not line.strip():
            lines.append('')
            hang = None
        elif indent == hang and (indent or not _KEPT.match(line)):
            lines[-1] += f' {line.strip()}'
        elif _KEPT.match(line):
            lines.append(line.rstrip())
            hang = None
        else:
            lines.append(line.rstrip())
            hang = 0
    return '\n'.join(lines)


def fitted(text: str, width: int, indent: str = '') -> str:
    """Paragraphs and items wrapped; what is indented as it is."""
    lines: list[str] = []
    for line in unwrapped(text).splitlines():
        item = _ITEM.match(line)
        if not line or (_KEPT.match(line) and not item):
            lines.append(f'{indent}{line}'.rstrip())
            continue
        hang = ' ' * item.end() if item else ''
        lines += textwrap.wrap(
            line,
            width,
            initial_indent=indent,
            subsequent_indent=indent + hang,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return '\n'.join(lines)
