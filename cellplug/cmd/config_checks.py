"""What ``config validate`` looks at; each check gives lines for people."""

from __future__ import annotations

import contextlib
import glob
import importlib.metadata
import logging
import os.path
import re
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any
from typing import Self

from oslo_config import cfg
from oslo_config import validator

from cellplug import conf as cellplug_conf
from cellplug import exception
from cellplug import loader
from cellplug import opts
from cellplug.cmd import config
from cellplug.conf import database
from cellplug.conf import reading
from cellplug.objects import urls

Finding = tuple[str, str]
"""The kind of check, and the line."""

NAMESPACES = ('cellplug', 'oslo.db', 'oslo.log', 'oslo.messaging')
"""Whose options may stand in any file."""

_OPTION = re.compile(r'[\w.-]+\Z')


class Checks:
    """The checks of one set of configuration files."""

    def __init__(
        self,
        files: Sequence[str],
        directories: Sequence[str],
        namespaces: Iterable[str],
    ) -> None:
        self._named = (files, directories)
        self._namespaces = [*NAMESPACES, *namespaces]
        self.files = _files(files, directories)

    def _parse(self) -> cfg.ConfigOpts:
        return config.parse(*self._named)

    def run(self) -> list[Finding]:
        """Everything that is wrong, as far as it can be looked at.

        :raises ConfigurationError: if a file is missing.
        """
        broken = [
            line for path in self.files if (line := _syntax(path)) is not None
        ]
        if broken:
            return [('syntax', line) for line in broken]
        conf = self._parse()
        cellplug_conf.register_opts(conf)
        classes, found = self._chosen(conf)
        bad = list(self._values())
        groups = {group for group, _, _ in bad}
        for interface, name, driver in classes:
            # What a driver stumbles over is then the value that is told.
            may_fail = f'{interface}_{name}' in groups
            found += self._ask(interface, name, driver, may_fail)
        said = [line for _, line in found]
        values = [
            ('value', line)
            for group, option, line in bad
            if not any(f'[{group}] {option}:' in one for one in said)
        ]
        excluded = self._dynamic_groups(classes)
        names = [
            ('name', line)
            for path in self.files
            for line in _names(path, self._namespaces, excluded)
        ]
        return [*names, *values, *found]

    def _chosen(
        self, conf: cfg.ConfigOpts
    ) -> tuple[list[tuple[str, str, Any]], list[Finding]]:
        """The classes of all drivers in use, and those that cannot be."""
        classes, found = [], []
        for interface, default in cellplug_conf.drivers.DEFAULTS.items():
            try:
                chosen = conf[interface].driver
                if chosen == default and not loader.installed(interface):
                    continue  # Nobody fills it yet.
                classes += [
                    (interface, name, loader.load_class(interface, name))
                    for name in loader.chain(conf, interface)
                ]
            except exception.DriverError as exc:
                found.append(('driver', str(exc)))
            except (cfg.Error, ValueError):
                continue  # A bad value, which is found as such.
        return classes, found

    def _ask(
        self, interface: str, name: str, driver: Any, may_fail: bool
    ) -> list[Finding]:
        whom = f'{interface} driver {name!r}'
        lines = _asked(whom, driver.check_config, self._parse(), may_fail)
        return [(f'{interface} {name}', line) for line in lines]

    def _dynamic_groups(
        self, classes: list[tuple[str, str, Any]]
    ) -> list[str]:
        found: list[str] = []
        for _, _, driver in classes:
            # A stranger's code: then its groups count as unknown.
            with contextlib.suppress(Exception, SystemExit):
                found += driver.dynamic_groups(self._parse())
        return found

    def _values(self) -> Iterator[tuple[str, str, str]]:
        conf = self._parse()
        cellplug_conf.register_opts(conf)
        groups = [*opts.list_opts(), ('database', database.main_opts())]
        for group, options in groups:
            conf.register_opts(options, group)
        bad = list(config.bad_values(conf, groups))
        yield from bad
        known = {(group, option) for group, option, _ in bad}
        for group in ('api_database', 'database'):
            for option in ('connection', 'slave_connection'):
                if (group, option) not in known:
                    yield from _bad_url(group, option, conf[group][option])


def _asked(
    whom: str,
    question: Callable[[cfg.ConfigOpts], Iterable[str]],
    conf: cfg.ConfigOpts,
    may_fail: bool,
) -> list[str]:
    """What a driver answers; that it fails is an answer too.

    :param may_fail: why it would is known already.
    """
    try:
        return [' '.join(str(line).split()) for line in question(conf)]
    except (Exception, SystemExit) as exc:  # noqa: BLE001 (a stranger's code)
        if may_fail:
            return []
        text = ' '.join(str(exc).split())
        return [f'{whom}: it cannot say: {type(exc).__name__}: {text}']


def _bad_url(
    group: str, option: str, url: str | None
) -> Iterator[tuple[str, str, str]]:
    if not url:
        return
    try:
        urls.check_database(f'[{group}] {option}', url)
    except exception.InvalidURL as exc:
        yield group, option, str(exc)


def _files(files: Sequence[str], directories: Sequence[str]) -> list[str]:
    """The files named, or those that oslo.config finds by itself."""
    if not files and not directories:
        files = cfg.find_config_files(project='cellplug', prog=config.PROGRAM)
        directories = cfg.find_config_dirs(
            project='cellplug', prog=config.PROGRAM
        )
    found = list(files)
    for one in directories:
        found += sorted(glob.glob(os.path.join(one, '*.conf')))
    return found


def _syntax(path: str) -> str | None:
    """Why a file cannot be parsed; its text may hold a password."""
    try:
        cfg.ConfigParser(path, {}).parse()
    except cfg.ParseError as exc:
        return f'{path}:{exc.lineno}: {exc.msg}'
    except UnicodeError:
        return f'{path}: holds bytes that are no UTF-8 text'
    except OSError as exc:
        raise exception.ConfigurationError(reading.explain(exc)) from None
    return None


def _names(
    path: str, namespaces: Iterable[str], excluded: Iterable[str]
) -> list[str]:
    """The groups and options that nobody knows, as oslo.config's tool sees it.

    :param excluded: groups that are somebody else's to check.
    """
    arguments = [f'--input-file={path}']
    arguments += [f'--namespace={one}' for one in namespaces]
    arguments += [f'--exclude-group={one}' for one in excluded]
    conf = cfg.ConfigOpts()
    validator._register_cli_opts(conf)
    conf(
        arguments,
        default_config_files=[],
        default_config_dirs=[],
        use_env=False,
    )
    with _Listening(validator.LOG) as heard:
        validator._validate(conf)
    return [f'{path}: {line}' for line in heard.lines]


class _Listening(logging.Handler):
    """Takes what the validator says, and keeps it from everybody else."""

    def __init__(self, log: logging.Logger) -> None:
        super().__init__(logging.WARNING)
        self._log = log
        self._propagate = log.propagate
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """One finding: what is not part of the sample, or is deprecated."""
        if record.msg != '%s/%s is not part of the sample config':
            self.lines.append(record.getMessage())
            return
        group, option = map(str, record.args or ('', ''))
        # What stands before a colon or an = may be the half of a password.
        option = option if _OPTION.match(option) else urls.MASK
        self.lines.append(
            f'[{urls.mask_name(group)}] {option}: is no option that is known; '
            'a service of yours has it? name its --namespace'
        )

    def __enter__(self) -> Self:
        self._log.addHandler(self)
        self._log.propagate = False
        return self

    def __exit__(self, *_: object) -> None:
        self._log.removeHandler(self)
        self._log.propagate = self._propagate


def unknown_namespaces(namespaces: Iterable[str]) -> list[str]:
    """Those that no installed distribution offers."""
    points = importlib.metadata.entry_points(group='oslo.config.opts')
    return sorted(set(namespaces) - {point.name for point in points})
