"""``driver show``: everything that a driver says of itself."""

from __future__ import annotations

import argparse
import ast
import enum
import inspect
import re
import sys
import textwrap
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from cliff import columns
from cliff import utils

from cellplug.cmd import base
from cellplug.cmd import driver
from cellplug.cmd import prose
from cellplug.objects import urls

_WIDTH = 72
"""Of the text in a table; one line is easier to read than to scroll."""

_ROLE = re.compile(r':\w+:`[~.]?([^`]+)`')
"""A cross-reference, which is a link in the documentation alone."""

Records = list[dict[str, Any]]


class Show(base.ShowOne):
    """Show what a driver can do, its options and its manual.

    Reads the driver's class and builds none; asks no database.
    """

    notes = """\
fields: interface, name, namespace (of the entry points), origin (the
  distribution and its version), class, api_version (of the contracts that it
  was written for), in_use (true if the configuration names it), capabilities
  (name and meaning of each), option_group (null: it has no options), options
  (name, type, default, required, secret, choices, min, max and help of each;
  secret defaults are ***), manual (the docstring of the class)"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The driver."""
        parser = super().get_parser(prog_name)
        driver.add_driver(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Show it."""
        from cellplug import loader

        interface, name = parsed_args.interface, parsed_args.name
        found = loader.load_class(interface, name)
        options = loader.load_options(interface, name)
        manual = inspect.cleandoc(found.__doc__ or '')
        width = _room(parsed_args)
        fields = {
            'interface': interface,
            'name': name,
            'namespace': loader.namespace(interface),
            'origin': driver.origin(interface, name),
            'class': f'{found.__module__}:{found.__qualname__}',
            'api_version': found.api_version,
            'in_use': self.conf[interface].driver == name,
            'capabilities': Capabilities(capabilities(found), width),
            'option_group': f'{interface}_{name}' if options else None,
            'options': Options([described(one) for one in options], width),
            'manual': Manual(self.app.hider.hide(manual), width)
            if manual
            else None,
        }
        return base.shown(fields)


def _room(parsed_args: argparse.Namespace) -> int:
    """How wide a text may be for its table to fit."""
    whole = getattr(parsed_args, 'max_width', 0)
    if whole <= 0 and (
        sys.stdout.isatty() or getattr(parsed_args, 'fit_width', False)
    ):
        whole = utils.terminal_width() or 0
    # Beside it are the longest name of a field, and borders.
    beside = len('capabilities') + 7
    return max(16, min(_WIDTH, whole - beside)) if whole > 0 else _WIDTH


class _Text(columns.FormattableColumn[Any]):
    """Text for people, fitted to a width; the value for machines."""

    def __init__(self, value: Any, width: int) -> None:
        super().__init__(value)
        self._width = width

    def _paragraph(self, head: str, text: str | None) -> str:
        body = prose.fitted(text or '(nobody says)', self._width, '  ')
        return f'{prose.fitted(head, self._width)}\n{body}'


class Manual(_Text):
    """The docstring of a driver."""

    def human_readable(self) -> str:
        """Its paragraphs wrapped anew."""
        return prose.fitted(self._value, self._width)


class Capabilities(_Text):
    """What a driver can do: text for people, records for machines."""

    def human_readable(self) -> str:
        """A paragraph for each."""
        return '\n'.join(
            self._paragraph(one['name'], one['meaning']) for one in self._value
        )


class Options(_Text):
    """The options of a driver: text for people, records for machines."""

    def human_readable(self) -> str:
        """A paragraph for each."""
        return '\n'.join(
            self._paragraph(f'{one["name"]} ({_bounds(one)})', one['help'])
            for one in self._value
        )


def _bounds(option: Mapping[str, Any]) -> str:
    """What values an option takes, and which it has."""
    words = [option['type']]
    if option['choices'] is not None:
        words.append(f'one of {", ".join(map(str, option["choices"]))}')
    for key, text in (('min', 'at least'), ('max', 'at most')):
        if option[key] is not None:
            words.append(f'{text} {option[key]}')
    if option['required']:
        words.append('required')
    elif option['default'] is None:
        words.append('unset by default')
    else:
        words.append(f'default: {option["default"]}')
    return ', '.join(words)


def capabilities(found: type[Any]) -> Records:
    """The capabilities that a driver declares, and what they mean."""
    records = []
    for member in sorted(found.capabilities, key=lambda one: str(one.name)):
        meaning = meanings(type(member)).get(member.name)
        records.append({'name': member.name, 'meaning': meaning})
    return records


def meanings(kind: type[enum.Enum]) -> dict[str, str]:
    """The docstring below each member, which only the source keeps."""
    try:
        source = textwrap.dedent(inspect.getsource(kind))
    except (OSError, TypeError):  # installed without its source
        return {}
    body: Iterable[ast.stmt] = getattr(ast.parse(source).body[0], 'body', ())
    found = {}
    name = None
    for node in body:
        match node:
            case ast.Assign(targets=[ast.Name(id=target)]):
                name = target
            case ast.Expr(value=ast.Constant(value=str(text))) if name:
                found[name] = _ROLE.sub(r'\1', ' '.join(text.split()))
                name = None
    return found


def described(option: Any) -> dict[str, Any]:
    """An option of oslo.config, in plain values."""
    kind = option.type
    return {
        'name': option.name,
        'type': getattr(kind, 'type_name', str(kind)).removesuffix(' value'),
        'default': _default(option),
        'required': bool(option.required),
        'secret': bool(option.secret),
        'choices': _choices(kind),
        'min': getattr(kind, 'min', None),
        'max': getattr(kind, 'max', None),
        'help': prose.unwrapped(prose.clean(option.help or '')) or None,
    }


def _default(option: Any) -> Any:
    value = option.default
    if value is None or isinstance(value, bool | int | float):
        return value
    if option.secret:
        # What is empty is no secret, and no default that would do.
        return urls.MASK if value else None
    return value if isinstance(value, list | dict) else str(value)


def _choices(kind: Any) -> list[Any] | None:
    found = getattr(kind, 'choices', None)
    return None if found is None else list(found)
