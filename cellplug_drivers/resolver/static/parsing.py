"""What stands in the configuration files, and what stands there twice.

oslo.config merges what stands twice in one file without a word: then a cell
whose header was not renamed gives its database to another.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

from oslo_config import cfg


def files(conf: cfg.ConfigOpts) -> list[str]:
    """The files that were parsed, in their order."""
    found = list(conf.config_file or ())
    for directory in conf.config_dir or ():
        found += map(str, sorted(pathlib.Path(directory).glob('*.conf')))
    return found


class Parser(cfg.ConfigParser):
    """One file, with its groups in lower case.

    :ivar headers: how often each group's stands there.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, {})
        self.headers: dict[str, int] = {}

    def new_section(self, section: str) -> None:
        """Note a header."""
        name = section.lower()
        self.headers[name] = self.headers.get(name, 0) + 1
        super().new_section(name)

    def repeated(self, group: str) -> Iterator[str]:
        """The options of a group that stand there more than once."""
        for key, values in self.sections.get(group, {}).items():
            if len(values) > 1:
                yield key


def parsed(path: str) -> Parser:
    """A file that oslo.config parsed just now."""
    parser = Parser(path)
    try:
        parser.parse()
    except (cfg.ParseError, OSError, UnicodeError):
        return Parser(path)  # Changed meanwhile: places are less exact.
    return parser
