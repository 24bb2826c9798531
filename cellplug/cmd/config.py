"""The configuration of one run, read and checked."""

from __future__ import annotations

import re
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
    conf = cfg.ConfigOpts()
    cellplug_conf.register_opts(conf)
    arguments = [f'--config-file={one}' for one in files]
    arguments += [f'--config-dir={one}' for one in directories]
    try:
        conf(arguments, project='cellplug', prog=PROGRAM)
    except reading.UNREADABLE as exc:
        # Not "from exc", whose text may quote a password.
        raise exception.ConfigurationError(reading.explain(exc)) from None
    _check_values(conf)
    return conf


def _check_values(conf: cfg.ConfigOpts) -> None:
    """Read every option once: oslo.config finds a bad value only then."""
    for group, options in cellplug_conf.list_opts():
        for option in options:
            try:
                getattr(conf[group], option.dest)
            except cfg.Error as exc:
                raise exception.ConfigurationError(
                    _bad_value(group, option.name, str(exc))
                ) from exc


def _bad_value(group: str, option: str, text: str) -> str:
    match = _BAD_VALUE.search(text)
    where, why = (match[1], match[2]) if match else ('', text)
    place = f' in {where}' if where else ''
    return f'[{group}] {option}{place} has a bad value: {why}'


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
