"""The configuration of one run, read and checked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence

from oslo_config import cfg

from cellplug import conf as cellplug_conf
from cellplug import exception
from cellplug.conf import reading

PROGRAM = 'cellplug-manage'

_BAD_VALUE = re.compile(r"detail='([^']*)'\) is not valid: (.*)\Z", re.DOTALL)


def build(files: Sequence[str], directories: Sequence[str]) -> cfg.ConfigOpts:
    """Read the files named, or those that oslo.config finds by itself.

    :raises ConfigurationError: if one is missing or cannot be read, or holds
        a value that an option of cellplug cannot have.
    """
    conf = parse(files, directories)
    cellplug_conf.register_opts(conf)
    # oslo.config finds a bad value only when it is read.
    for _, _, line in bad_values(conf, cellplug_conf.list_opts()):
        raise exception.ConfigurationError(line)
    return conf


def parse(files: Sequence[str], directories: Sequence[str]) -> cfg.ConfigOpts:
    """The same files, with no options registered.

    :raises ConfigurationError: if one is missing or cannot be read.
    """
    conf = cfg.ConfigOpts()
    arguments = [f'--config-file={one}' for one in files]
    arguments += [f'--config-dir={one}' for one in directories]
    try:
        conf(arguments, project='cellplug', prog=PROGRAM)
    except reading.UNREADABLE as exc:
        # Not "from exc", whose text may quote a password.
        raise exception.ConfigurationError(reading.explain(exc)) from None
    return conf


def bad_values(
    conf: cfg.ConfigOpts, groups: Iterable[tuple[str, Sequence[cfg.Opt]]]
) -> Iterator[tuple[str, str, str]]:
    """Group, name and a line for each option whose value cannot be.

    :param groups: options that are registered.
    """
    for group, options in groups:
        for option in options:
            try:
                getattr(conf[group], option.dest)
            except (cfg.Error, ValueError) as exc:
                line = _bad_value(group, option, str(exc))
                yield group, option.name, line


def _bad_value(group: str, option: cfg.Opt, text: str) -> str:
    match = _BAD_VALUE.search(text)
    where, why = (match[1], match[2]) if match else ('', text)
    if option.secret:
        why = 'it cannot be read; a plain $ is written as $$'
    place = f' in {where}' if where else ''
    return f'[{group}] {option.name}{place} has a bad value: {why}'


def no_api_database(conf: cfg.ConfigOpts) -> exception.ConfigurationError:
    """The error that says where to name the API database."""
    files = ', '.join(conf.config_file or ())
    where = files or (
        'a configuration file (--config-file FILE; none was found in '
        '~/.cellplug, ~, /etc/cellplug and /etc)'
    )
    return exception.ConfigurationError(
        f'[api_database] connection is not set; set it in {where}, or in the '
        'environment as OS_API_DATABASE__CONNECTION'
    )
