"""What the lab takes over from the configuration it is given.

Which drivers to use and how: the groups that choose and tune them. Never a
connection: the lab makes its own databases, queues and cells, and leaves
those that the files name alone.
"""

from __future__ import annotations

import glob
import os.path
import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping

from oslo_config import cfg

import cellplug
from cellplug import exception
from cellplug import loader
from cellplug.conf import reading
from cellplug.lab import errors

Groups = dict[str, dict[str, list[str]]]
"""The texts that options have in a file, by group and option."""

Named = Mapping[str, Mapping[str, str]]
"""Groups of options that the lab writes."""

_GROUPS = re.compile(
    r'(resolver|transport_cache|quota|placement)(_\w+)?'
    r'|(cell|api)_database|cells|rpc',
    re.IGNORECASE,
)
_OURS = frozenset(
    {
        ('api_database', 'connection'),
        ('api_database', 'slave_connection'),
        ('resolver_static', 'cells'),
    }
)
"""What names databases and cells."""

STATIC = 'static'

INTERFACES = ('resolver', 'transport_cache', 'quota', 'placement')
"""Whose drivers a lab uses."""

_KEEPS_BOOKS = 'database'


def keeps_books(chain: Iterable[str]) -> bool:
    """Whether the API database has the quotas' usages.

    :param chain: the drivers of ``quota``, the first one in front.
    """
    return _KEEPS_BOOKS in chain


def chosen(files: Iterable[str], directories: Iterable[str]) -> Groups:
    """What the files say about drivers; later ones win.

    :raises LabUsageError: if one cannot be read.
    """
    groups: Groups = {}
    for path in _paths(files, directories):
        sections: Groups = {}
        try:
            cfg.ConfigParser(path, sections).parse()
        except cfg.ParseError as exc:
            raise errors.LabUsageError(
                f'config file {path}:{exc.lineno} cannot be parsed: {exc.msg}'
            ) from None
        except (OSError, UnicodeError) as exc:
            raise errors.LabUsageError(reading.explain(exc)) from None
        for group, options in sections.items():
            if _GROUPS.fullmatch(group):
                kept = groups.setdefault(group.lower(), {})
                kept.update(
                    (option, values)
                    for option, values in options.items()
                    if (group.lower(), option) not in _OURS
                )
    return groups


def _paths(files: Iterable[str], directories: Iterable[str]) -> Iterator[str]:
    yield from files
    for directory in directories:
        if not os.path.isdir(directory):
            raise errors.LabUsageError(
                f'config directory {directory} does not exist'
            )
        yield from sorted(glob.glob(os.path.join(directory, '*.conf')))


def chains(conf: cfg.ConfigOpts) -> dict[str, list[str]]:
    """The drivers that a lab will use, by interface, the first one in front.

    :raises LabError: if one of them cannot be.
    """
    try:
        return {
            interface: loader.chain(conf, interface)
            for interface in INTERFACES
        }
    except (exception.DriverError, cfg.Error) as exc:
        raise errors.LabError(str(exc)) from exc


def static_groups(
    cells: Iterable[cellplug.CellMapping],
) -> Named:
    """The cells as the ``static`` resolver reads them."""
    listed = list(cells)
    groups: dict[str, Mapping[str, str]] = {
        f'cell_{cell.name}': {
            'uuid': cell.uuid,
            'database_connection': cell.database_connection,
            'transport_url': cell.transport_url,
            'state': str(cell.state),
        }
        for cell in listed
    }
    names = ', '.join(cell.name for cell in listed)
    return {'resolver_static': {'cells': names}, **groups}
