"""The lab's directory: kept and used again, or temporary and removed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cellplug.lab import errors

CONF = 'cellplug.conf'
LOG = 'lab.log'
_MARKER = 'lab.json'
_FORMAT = 2


class Directory:
    """A directory that holds one lab.

    ``lab.json`` makes it one, and remembers what no database does: which
    instances were deleted, and whether the last run came to its end.

    :ivar path: absolute.
    """

    def __init__(self, path: str, *, kept: bool) -> None:
        self.path = os.path.abspath(path)
        self.kept = kept
        self._marker = Path(self.path, _MARKER)

    def file(self, name: str) -> str:
        """The path of a file in it."""
        return str(Path(self.path, name))

    @property
    def conf(self) -> str:
        """The path of the configuration file of the whole deployment."""
        return self.file(CONF)

    @property
    def is_lab(self) -> bool:
        """Whether a lab has been here."""
        return self._marker.is_file()

    def read(self) -> dict[str, Any]:
        """What ``lab.json`` says.

        :raises LabError: if it is none of ours.
        """
        try:
            found = json.loads(self._marker.read_text())
            if found['format'] != _FORMAT:
                raise ValueError('another version of the lab made it')
            return {
                'cells': int(found['cells']),
                'deleted': found['deleted'],
                'ended': bool(found['ended']),
            }
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise errors.LabError(
                f'{self._marker} cannot be used ({exc}); name another '
                'directory'
            ) from exc

    def write(
        self, cells: int, deleted: Iterable[str], *, ended: bool
    ) -> None:
        """Note how many cells there are, and what was deleted for good.

        :param ended: whether no request is under way any more.
        """
        values = {
            'format': _FORMAT,
            'cells': cells,
            'deleted': sorted(deleted),
            'ended': ended,
        }
        # In one step: a reader or a crash never sees half of it.
        fresh = self._marker.with_suffix('.new')
        fresh.write_text(json.dumps(values, indent=1) + '\n')
        fresh.replace(self._marker)

    def write_conf(
        self,
        name: str,
        groups: Mapping[str, Mapping[str, str]],
        taken: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
    ) -> str:
        """Write a configuration file that nobody else may read.

        :param groups: values by group and option.
        :param taken: what stands in other files, to be written as it is;
            ``groups`` win.
        :returns: its path.
        """
        texts: dict[str, dict[str, Sequence[str]]] = {}
        for group, options in (taken or {}).items():
            texts[group] = dict(options)
        for group, values in groups.items():
            texts.setdefault(group, {}).update(
                # oslo.config would put a $name's value in its place.
                (option, [value.replace('$', '$$')])
                for option, value in values.items()
            )
        path = self.file(name)
        descriptor = os.open(
            path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600
        )
        with os.fdopen(descriptor, 'w') as file:
            file.writelines(_lines(texts))
        return path


def _lines(
    texts: Mapping[str, Mapping[str, Sequence[str]]],
) -> Iterator[str]:
    for group, options in texts.items():
        yield f'[{group}]\n'
        for option, values in options.items():
            for value in values:
                # A value of several lines goes on where a line is indented.
                yield f'{option} = {value}\n'.replace('\n', '\n  ').rstrip(' ')


@contextlib.contextmanager
def opened(path: str | None) -> Iterator[Directory]:
    """A directory for a lab, which nobody else uses meanwhile.

    :param path: a former lab's, an empty one, or one to be made; None for a
        temporary one that is removed in the end.
    :raises LabError: if it cannot be had.
    """
    if path is None:
        with _temporary() as made:
            yield Directory(made, kept=False)
        return
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise _unusable(path, exc) from exc
    directory = Directory(path, kept=True)
    with _locked(directory.path):
        _check(directory)
        yield directory


@contextlib.contextmanager
def existing(path: str) -> Iterator[Directory]:
    """A former lab's directory.

    :raises LabError: if it is none.
    """
    directory = Directory(path, kept=True)
    if not directory.is_lab:
        raise errors.LabError(
            f'directory {path} holds no lab; make one with: cellplug-manage '
            f'lab run --directory {path}'
        )
    with _locked(directory.path):
        yield directory


def _temporary() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix='cellplug-lab-')
    except OSError as exc:
        raise _unusable(tempfile.gettempdir(), exc) from exc


def _unusable(path: str, error: OSError) -> errors.LabError:
    return errors.LabError(
        f'directory {path} cannot be used: {error.strerror}'
    )


def _check(directory: Directory) -> None:
    path = directory.path
    if '?' in path or not path.isprintable():
        raise errors.LabError(
            f"directory {path!r}: a '?' or a control character in its name "
            'cannot stand in a database URL'
        )
    if not os.access(path, os.W_OK | os.X_OK):
        raise errors.LabError(f'directory {path} is not writable')
    if not directory.is_lab and any(Path(path).iterdir()):
        raise errors.LabError(
            f'directory {path} is not empty and holds no lab; name another one'
        )


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """Keep other labs out; the kernel lets go when this process ends."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as exc:
        raise _unusable(path, exc) from exc
    try:
        _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise errors.LabError(
            f'directory {path} is in use by another lab'
        ) from exc
