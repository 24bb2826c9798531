"""Where a private server lives: programs, directory, ports, system user."""

from __future__ import annotations

import glob
import itertools
import os
import pwd
import random
import shutil
import socket
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

# Below what Linux hands out for outgoing connections (32768 and up), so that
# a client cannot take a server's port while the server restarts.
_FIRST_PORT = 20000
_LAST_PORT = 32000

_MEMORY = '/dev/shm'
_ROOM = 8 << 30
"""Bytes that have to be free there: all servers together need less than one
gigabyte, and a test machine must not run out of memory for it."""

# A path of a unix socket has at most 107 bytes.
_LONGEST_DIRECTORY = 60


def find_program(names: Sequence[str], folders: Sequence[str] = ()) -> str:
    """The path of the first program that exists.

    :param names: names of the same program, the preferred one first.
    :param folders: where to look before PATH; glob patterns, of whose matches
        the last (the newest version) comes first.
    :returns: an absolute path, or '' if there is none.
    """
    places = [
        match
        for folder in folders
        for match in sorted(glob.glob(folder), reverse=True)
    ]
    places += [os.environ.get('PATH', os.defpath), '/usr/sbin', '/sbin']
    path = os.pathsep.join(places)
    for name in names:
        found = shutil.which(name, path=path)
        if found:
            return found
    return ''


def choose_ports(count: int) -> list[int]:
    """Loopback ports that nobody listened on a moment ago.

    Somebody else may take one before the server does: who calls this has to
    try again with others when the server says "in use".

    :returns: as many as there are free ones, at most ``count``.
    """
    candidates = range(_FIRST_PORT, _LAST_PORT)
    shuffled = random.sample(candidates, len(candidates))
    return list(itertools.islice(filter(_is_free, shuffled), count))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(('127.0.0.1', port))
        except OSError:
            return False
    return True


def system_user(preferred: str) -> pwd.struct_passwd | None:
    """Whom root drops to; None if this process is not root's.

    :param preferred: the user that the server's package makes; ``nobody``
        stands in.
    """
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(preferred)
    except KeyError:
        return pwd.getpwnam('nobody')


def parent_directory() -> str:
    """Where the data of tests is quickest to write: in memory, if it may.

    A private PostgreSQL makes and drops a database five times as fast there
    as on a disk. Who sets ``TMPDIR`` decides otherwise.

    :returns: an absolute path, without symbolic links.
    """
    asked = any(os.environ.get(name) for name in ('TMPDIR', 'TEMP', 'TMP'))
    if not asked and os.access(_MEMORY, os.W_OK | os.X_OK):
        room = os.statvfs(_MEMORY)
        if room.f_bavail * room.f_frsize >= _ROOM:
            return os.path.realpath(_MEMORY)
    return os.path.realpath(tempfile.gettempdir())


def make_directory(owner: pwd.struct_passwd | None) -> str:
    """Make a private temporary directory that its owner can reach.

    :param owner: who is going to own it; None: this user.
    :returns: its absolute path, without symbolic links.
    """
    parent = parent_directory()
    if len(parent) > _LONGEST_DIRECTORY or (owner and not _is_open(parent)):
        parent = '/tmp'
    directory = tempfile.mkdtemp(prefix='cellplug-', dir=parent)
    if owner:
        os.chown(directory, owner.pw_uid, owner.pw_gid)
    return directory


def _is_open(path: str) -> bool:
    """Whether everybody may walk to this directory."""
    return all(
        place.stat().st_mode & stat.S_IXOTH
        for place in (Path(path), *Path(path).parents)
    )
