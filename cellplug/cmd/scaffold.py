"""Writing a new driver's package from the templates.

Templates are those of :class:`string.Template`, beside this module. They are
programs that work: what they make is tested as it comes.
"""

from __future__ import annotations

import contextlib
import keyword
import os
import pathlib
import re
import string
import tempfile
from collections.abc import Iterator
from importlib import resources
from importlib.resources import abc

from cellplug.cmd import outcome

LONGEST_NAME = 40
"""So that a line of the templates stays a line."""

_NAME = re.compile(r'[a-z][a-z0-9]*(?:_[a-z0-9]+)*\Z')

_SUFFIX = '.tmpl'

_COMMON = (
    ('README.md', 'README.md'),
    ('LICENSE', 'LICENSE'),
    ('gitignore', '.gitignore'),
    ('pyproject.toml', 'pyproject.toml'),
    ('manual.rst', 'docs/$name.rst'),
    ('test.yml', '.github/workflows/test.yml'),
    ('init.py', 'src/$package/__init__.py'),
    ('py.typed', 'src/$package/py.typed'),
    ('tests_init.py', 'tests/__init__.py'),
    ('test_conformance.py', 'tests/test_conformance.py'),
)
"""What every package has: the template, and where it goes."""

_KINDS = {
    'resolver': ('Resolver', 'resolver'),
    'transport_cache': ('TransportCache', 'transport cache'),
    'quota': ('Quota', 'quota driver'),
    'placement': ('Placement', 'placement driver'),
}


def check_name(name: str) -> str:
    """Return the name if a driver may have it.

    It becomes part of a module, a class, a distribution and an option group,
    so that nothing but lower-case words joined by underscores will do.

    :raises RefusedError: for any other.
    """
    if not _NAME.match(name) or len(name) > LONGEST_NAME:
        raise outcome.RefusedError(
            f'a driver cannot be called {name!r}: use lower-case letters, '
            'digits and single underscores between them, a letter first, '
            f'{LONGEST_NAME} characters at most, such as my_etcd'
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise outcome.RefusedError(
            f'a driver cannot be called {name!r}: Python means something '
            'else by that'
        )
    return name


def words_for(interface: str, name: str) -> dict[str, str]:
    """What the templates' placeholders stand for."""
    suffix, kind = _KINDS[interface]
    prefix = ''.join(word.capitalize() for word in name.split('_'))
    distribution = f'cellplug-{interface}-{name}'.replace('_', '-')
    return {
        'interface': interface,
        'name': name,
        'kind': kind,
        'distribution': distribution,
        'package': distribution.replace('-', '_'),
        'class_name': f'{prefix}{suffix}',
        'harness': f'{prefix}Harness',
        'suite': f'{suffix}Suite',
        'underline': '=' * len(f'The {name} {kind}'),
    }


def render(interface: str, name: str) -> dict[str, str]:
    """The files of a new package: their text by path."""
    words = words_for(interface, name)
    return {
        string.Template(path).substitute(words): string.Template(
            template.read_text(encoding='utf-8')
        ).substitute(words)
        for path, template in _templates(interface)
    }


def _templates(interface: str) -> Iterator[tuple[str, abc.Traversable]]:
    """Where each file goes, and its template."""
    top = resources.files('cellplug.cmd') / 'templates'
    for name, path in _COMMON:
        yield path, top / 'common' / (name + _SUFFIX)
    for template in (top / interface).iterdir():
        name = template.name.removesuffix(_SUFFIX)
        if name != template.name:
            test = name.startswith('test_')
            yield f'{"tests" if test else "src/$package"}/{name}', template


def write(interface: str, name: str, directory: str) -> pathlib.Path:
    """Write the package into a folder of its own; the folder.

    It appears whole, or not at all.

    :param directory: the folder to make it in.
    :raises RefusedError: if it is there already, or ``directory`` is not.
    """
    check_name(name)
    place = pathlib.Path(directory)
    if not place.is_dir():
        raise outcome.RefusedError(f'there is no directory {directory!r}')
    target = place / words_for(interface, name)['distribution']
    if os.path.lexists(target):
        raise outcome.RefusedError(
            f'{str(target)!r} is there already; nothing was written'
        )
    with _scratch(place) as scratch:
        for path, text in render(interface, name).items():
            file = scratch / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding='utf-8')
        scratch.rename(target)
    return target


@contextlib.contextmanager
def _scratch(place: pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder beside the target; removed unless it was renamed."""
    with tempfile.TemporaryDirectory(
        prefix='.cellplug-new-', dir=place, ignore_cleanup_errors=True
    ) as private:
        # A folder of ours inside, with the permissions of any other folder.
        made = pathlib.Path(private, 'package')
        made.mkdir()
        yield made
