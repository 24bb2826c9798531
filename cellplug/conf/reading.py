"""Why configuration files cannot be read, in one line without their text."""

from __future__ import annotations

import re

from oslo_config import cfg

UNREADABLE = (cfg.Error, OSError, UnicodeError)
"""What oslo.config raises for files that it cannot read or parse."""

_PARSE_ERROR = re.compile(r"at .*:(\d+), (.*?): ['\"]", re.DOTALL)


def explain(error: Exception) -> str:
    """One line about what oslo.config raised when it parsed files.

    It quotes the line that it could not parse, which may hold a password:
    this says which line it is.
    """
    if isinstance(error, cfg.ConfigFilesNotFoundError):
        missing = ', '.join(error.config_files)
        return f'config file {missing} does not exist or cannot be read'
    if isinstance(error, cfg.ConfigFilesPermissionDeniedError):
        denied = ', '.join(error.config_files)
        return f'config file {denied} may not be read by this user'
    if isinstance(error, cfg.ConfigDirNotFoundError):
        return f'config directory {error.config_dir} does not exist'
    if isinstance(error, cfg.ConfigFileParseError):
        match = _PARSE_ERROR.match(error.msg or '')
        line, what = (f':{match[1]}', f': {match[2]}') if match else ('', '')
        return f'config file {error.config_file}{line} cannot be parsed{what}'
    if isinstance(error, UnicodeError):
        return 'a config file holds bytes that are no UTF-8 text'
    if isinstance(error, OSError):
        return f'config file {error.filename}: {error.strerror}'
    return ' '.join(str(error).split())
