"""The configuration of the ``static`` resolver, read and checked as a whole.

No finding quotes a value of a cell's group: any of them may hold a password
that was put in the wrong place.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any

from oslo_config import cfg

from cellplug import exception
from cellplug import objects
from cellplug_drivers.resolver.static import checking
from cellplug_drivers.resolver.static import options
from cellplug_drivers.resolver.static import parsing

_TAKEN = frozenset({'cell_database'})
"""Groups of cellplug's own whose names look like those of cells."""

Findings = checking.Findings


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration says, if nothing is wrong with it.

    :ivar cells: in the order of the option ``cells``, without generations.
    :ivar by_rules: whether instances are found by the rules.
    :ivar projects: the uuid of the cell, by project.
    :ivar default: the uuid of the cell of all other projects.
    """

    cells: tuple[objects.CellMapping, ...]
    by_rules: bool
    projects: Mapping[str, str]
    default: str | None


def read(conf: cfg.ConfigOpts) -> tuple[Settings, list[str]]:
    """The settings, and a line for each thing that is wrong with them.

    :param conf: freshly parsed; options are registered on it.
    """
    conf.register_opts(options.own(), options.GROUP)
    source = _Source(conf)
    found = Findings(source.place)
    _check_repeated(source, found)
    before = len(found.lines)
    names = source.value(found, options.GROUP, 'cells')
    if names is None and len(found.lines) == before:
        # Else half a file would mean that all cells are gone.
        found.add(
            'is not set; "cells =" says that there are none',
            options.GROUP,
            'cells',
        )
    names = names or []
    names = [name for name in names if _check_name(found, name, names)]
    cells = [_cell(source, found, name) for name in names]
    checking.check_unique(found, [cell for cell in cells if cell is not None])
    _check_groups(source, found, names)
    settings = _rules(source, found, dict(zip(names, cells, strict=True)))
    return settings, found.lines


def groups(conf: cfg.ConfigOpts) -> list[str]:
    """The groups of cells in the configuration, named by ``cells`` or not."""
    return [
        section
        for section in conf.list_all_sections()
        if _is_of_cell(section.lower())
    ]


def _is_of_cell(section: str) -> bool:
    return section.startswith(options.PREFIX) and section not in _TAKEN


class _Source:
    """Values from one parsed configuration, and where they stand."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self.sections = groups(conf)
        self._files = parsing.files(conf)
        self.parsed = {path: parsing.parsed(path) for path in self._files}
        self._keys: dict[tuple[str, str], str] = {}
        for path, parser in self.parsed.items():
            for section, keys in parser.sections.items():
                for key in keys:
                    self._keys[section, key] = path

    def place(self, group: str, option: str = '') -> str:
        """The file, group and option, for people."""
        files = self._keys.get((group.lower(), option)) or ', '.join(
            dict.fromkeys(
                path
                for (one, _), path in self._keys.items()
                if one == group.lower()
            )
        )
        where = files or ', '.join(self._files)
        group, option = objects.mask_name(group), objects.mask_name(option)
        if ' ' in option:  # The half of a value that holds an = or a colon.
            option = '***'
        return f'{where}: [{group}] {option}'.lstrip(': ').rstrip()

    def keys(self, group: str) -> list[str]:
        """What stands in a group."""
        return [key for one, key in self._keys if one == group.lower()]

    def register(self, group: str) -> None:
        """Make a cell's options readable."""
        self._conf.register_opts(options.of_cell(), group)

    def value(self, found: Findings, group: str, option: str) -> Any:
        """An option's value, None if it has none that can be read."""
        try:
            return self._conf[group][option]
        except (cfg.Error, ValueError) as exc:
            # Where no type refuses, it is the value of another option that
            # could not be put in.
            reason = str(exc).partition(' is not valid: ')[2] or (
                'refers by a $ to an option that does not exist; write a '
                'plain $ as $$'
            )
            if objects.mask_name(reason) != reason:
                reason = 'cannot be read'
            found.add(reason, group, option)
        return None


def _check_repeated(source: _Source, found: Findings) -> None:
    """Nothing stands twice in one file: the later would win in silence."""
    for path, parser in source.parsed.items():
        for group, count in parser.headers.items():
            if count > 1 and _is_of_cell(group):
                found.add(
                    f'the group stands twice in {path}; a header that was '
                    'not renamed?',
                    group,
                )
            elif group == options.GROUP or _is_of_cell(group):
                for option in parser.repeated(group):
                    found.add(f'stands twice in {path}', group, option)


def _check_name(found: Findings, name: str, names: list[str]) -> bool:
    shown = objects.mask_name(name)
    try:
        if shown != name:
            raise exception.InvalidInput('name', 'is no name of a cell')
        objects.check_cell_name(name)
    except exception.InvalidInput as exc:
        found.add(f'{shown}: {exc.reason}', options.GROUP, 'cells')
        return False
    group = f'{options.PREFIX}{name}'
    if group.lower() in _TAKEN or ']' in name:
        found.add(
            f'no cell can be called {shown!r} here: [{group}] is '
            'something else',
            options.GROUP,
            'cells',
        )
        return False
    same = [one for one in names if one.lower() == name.lower()]
    if len(same) == 1:
        return True
    found.add_once(
        f'{", ".join(map(objects.mask_name, same))} would share the group '
        f'[{options.PREFIX}{same[0].lower()}]; name each cell once',
        options.GROUP,
        'cells',
    )
    return same[0] is name


def _cell(
    source: _Source, found: Findings, name: str
) -> objects.CellMapping | None:
    """The cell of a group, None if something is wrong with it."""
    group = f'{options.PREFIX}{name}'
    source.register(group)
    known = {option.name for option in options.of_cell()}
    for key in source.keys(group):
        if key not in known:
            found.add('no cell has such an option', group, key)
    before = len(found.lines)
    values = {key: source.value(found, group, key) for key in known}
    if not source.keys(group) and not values['uuid']:
        found.add(
            f'the group is missing; [{options.GROUP}] cells names the cell '
            f'{objects.mask_name(name)}',
            group,
        )
        return None
    values = {key: value or None for key, value in values.items()}
    if len(found.lines) > before:
        return None
    return checking.cell(found, group, name, values)


def _check_groups(source: _Source, found: Findings, names: list[str]) -> None:
    """Each cell's group is named: else a typo loses a cell in silence."""
    named = {f'{options.PREFIX}{name}'.lower() for name in names}
    for section in source.sections:
        if section.lower() not in named:
            found.add(
                f'[{options.GROUP}] cells does not name this cell', section
            )


def _rules(
    source: _Source,
    found: Findings,
    cells: dict[str, objects.CellMapping | None],
) -> Settings:
    mode = source.value(found, options.GROUP, 'instances')
    projects = source.value(found, options.GROUP, 'projects') or {}
    default = source.value(found, options.GROUP, 'default_cell') or None
    by_rules = mode == options.RULES
    if mode == options.DATABASE and (projects or default):
        found.add(
            'is ignored unless instances = rules; set that, or leave it out',
            options.GROUP,
            'projects' if projects else 'default_cell',
        )
    if by_rules and not (projects or default):
        found.add(
            'rules needs projects, default_cell or both',
            options.GROUP,
            'instances',
        )
    for project in projects:
        checking.check_project(found, project)
    homes = {
        project: checking.known(found, 'projects', name, cells)
        for project, name in projects.items()
    }
    uuid = checking.known(found, 'default_cell', default, cells)
    return Settings(
        cells=tuple(cell for cell in cells.values() if cell is not None),
        by_rules=by_rules,
        projects=types.MappingProxyType(
            {project: home for project, home in homes.items() if home}
        ),
        default=uuid,
    )
