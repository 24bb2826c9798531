"""Find, freeze and end everything that one server started.

A server is more than one process: PostgreSQL's backends have sessions of
their own, Erlang leaves a daemon behind. So its processes are found by what
all of them inherit: an environment variable that names the server's
directory, or a working directory inside it (PostgreSQL overwrites its
environment with its title).

Run as a script, this is the watchdog that cleans up when the process that
started a server is gone. It imports the standard library only, so that it
starts in milliseconds under ``python -I -S``.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path

MARK = 'CELLPLUG_SERVICE_DIRECTORY'

_POLL = 0.01
_WATCH = 0.5


def members(directory: str) -> list[int]:
    """The ids of the living processes that belong to a server.

    :param directory: the server's directory, an absolute path.
    :returns: process ids in ascending order, zombies left out.
    """
    mark = f'{MARK}={directory}'.encode()
    return sorted(
        int(entry)
        for entry in os.listdir('/proc')
        if entry.isdigit() and _belongs(entry, mark, directory)
    )


def _belongs(pid: str, mark: bytes, directory: str) -> bool:
    with contextlib.suppress(OSError):
        where = os.readlink(f'/proc/{pid}/cwd')
        if where == directory or where.startswith(f'{directory}/'):
            return True
    with contextlib.suppress(OSError):
        environment = Path(f'/proc/{pid}/environ').read_bytes()
        return mark in environment.split(b'\0')
    return False


def send(directory: str, signum: int) -> list[int]:
    """Send a signal to every process of a server.

    :returns: the ids of the processes that there were.
    """
    found = members(directory)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)
    return found


def freeze(directory: str) -> None:
    """Stop every process of a server, those it forks meanwhile included.

    Returns when the kernel has stopped them all.
    """
    while any(not _stopped(pid) for pid in send(directory, signal.SIGSTOP)):
        time.sleep(_POLL)


def _stopped(pid: int) -> bool:
    try:
        stat = Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return True
    # pid (name) state ...: the name may hold spaces and parentheses.
    return stat.rpartition(')')[2].split()[0] in 'TtZX'


def kill(directory: str, timeout: float = 10.0) -> bool:
    """Kill every process of a server, frozen ones as well.

    :param timeout: how many seconds to wait until they are gone.
    :returns: True when none is left.
    """
    deadline = time.monotonic() + timeout
    while send(directory, signal.SIGKILL):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True


def abort(directory: str, pid: int, signum: int) -> None:
    """End a server at once, giving it a moment to release what it holds.

    :param pid: the server's main process.
    :param signum: the signal for it; PostgreSQL removes its shared memory on
        SIGQUIT, which nobody would after SIGKILL.
    """
    if signum != signal.SIGKILL and pid in members(directory):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, signum)
        deadline = time.monotonic() + 3.0
        while pid in members(directory) and time.monotonic() < deadline:
            time.sleep(_POLL)
    kill(directory)


def watch(directory: str) -> None:
    """Wait for the parent to say ``end`` or to die; then clean up.

    Each line on standard input is either ``end`` or the id of the server's
    main process and the number of the signal that aborts it. The parent's
    death is seen by its id, as a forked child of it may hold the pipe open.
    """
    parent = os.getppid()
    main = (0, int(signal.SIGKILL))
    pending = b''
    while os.getppid() == parent:
        if not select.select([0], [], [], _WATCH)[0]:
            continue
        data = os.read(0, 4096)
        *lines, pending = (pending + data).split(b'\n')
        if not data or b'end' in lines:
            break
        for line in lines:
            pid, signum = line.split()
            main = (int(pid), int(signum))
    abort(directory, *main)
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == '__main__':
    # Ctrl-C goes to the whole terminal: it must not end the cleaner first.
    for _signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(_signum, signal.SIG_IGN)
    watch(sys.argv[1])
