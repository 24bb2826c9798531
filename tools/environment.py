"""An environment of its own for tools/lab and tools/test.

It lives in the checkout (.venv/NAME) and is renewed when what it was made
from has changed. Standard library only: this runs before anything is
installed.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)

_MADE_FROM = ('setup.cfg', 'constraints.txt')
_VENV_PACKAGE = 'python3-venv'


class Problem(Exception):
    """What a person has to know, in one line."""


def say(message):
    """Print a progress line at once; standard output is for results."""
    print(f'» {message}', file=sys.stderr, flush=True)


def is_root():
    """Whether this process may install system packages."""
    return os.geteuid() == 0


def use_a_new_enough_python():
    """Start this program again with another interpreter if need be."""
    if sys.version_info >= OLDEST_PYTHON:
        return
    for minor in range(20, OLDEST_PYTHON[1] - 1, -1):
        other = shutil.which(f'python3.{minor}')
        if other:
            os.execv(other, [other, *sys.argv])
    wanted = '.'.join(map(str, OLDEST_PYTHON))
    sys.exit(f'cellplug needs Python {wanted} or newer; none is on PATH.')


def variables():
    """The caller's variables, without those that would lead Python astray."""
    unwanted = ('PYTHONPATH', 'PYTHONHOME', 'VIRTUAL_ENV')
    return {k: v for k, v in os.environ.items() if k not in unwanted}


def prepare(name):
    """Make the environment ``.venv/NAME`` with cellplug[NAME], or reuse it.

    :returns: its folder of programs.
    :raises Problem: it cannot be made here.
    """
    place = ROOT / '.venv' / name
    try:
        place.parent.mkdir(exist_ok=True)
        place.with_suffix('.lock').touch()
    except OSError as exc:
        raise Problem(
            f'{place.parent} cannot be used: {exc.strerror}. Use a checkout'
            ' that you may write to.'
        ) from exc
    with _locked(place.with_suffix('.lock')):
        key = _key(name)
        stamp = place / 'made-from'
        if _read(stamp) != key:
            say(f'Making the environment .venv/{name} (about a minute, once)')
            _make(place, _read(stamp))
            _install(place, name)
            stamp.write_text(key)
    return place / 'bin'


@contextlib.contextmanager
def _locked(path):
    with path.open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _key(name):
    """Tell apart interpreters, places and contents."""
    digest = hashlib.sha256()
    for file in _MADE_FROM:
        digest.update((ROOT / file).read_bytes())
    interpreter = f'{os.path.realpath(sys.executable)} {sys.version}'
    return f'{interpreter}\n{ROOT}\n{name} {digest.hexdigest()}\n'


def _read(path):
    try:
        return path.read_text()
    except OSError:
        return ''


def _make(place, made_from):
    """Make the bare environment, unless only what it holds has changed."""
    same_python = made_from.rpartition('\n')[0].rpartition('\n')[0]
    same_python = same_python and _key(place.name).startswith(same_python)
    if same_python and (place / 'bin' / 'python').exists():
        return
    _check_venv()
    shutil.rmtree(place, ignore_errors=True)
    _run([sys.executable, '-m', 'venv', str(place)])


def _check_venv():
    """Debian splits venv off Python: get it, or say how."""
    test = [sys.executable, '-c', 'import venv, ensurepip']
    if subprocess.run(test, capture_output=True, check=False).returncode == 0:
        return
    if not is_root() or not shutil.which('apt-get'):
        raise Problem(
            'Python has no venv module here. Install it and try again:\n'
            f'  sudo apt-get install --yes {_VENV_PACKAGE}'
        )
    apt_install([_VENV_PACKAGE])


def _install(place, extra):
    _run(
        [
            str(place / 'bin' / 'python'),
            *('-m', 'pip', 'install', '--quiet'),
            *('--disable-pip-version-check', '--no-input'),
            *('--constraint', str(ROOT / 'constraints.txt')),
            *('--editable', f'{ROOT}[{extra}]'),
        ]
    )


def apt_install(packages):
    """Install Debian packages without letting them start their servers.

    :raises Problem: apt-get fails.
    """
    say(f'Installing {" ".join(packages)}')
    if not any(Path('/var/lib/apt/lists').glob('*_Packages*')):
        _run(['apt-get', 'update', '--quiet=2'])
    options = ['--yes', '--quiet=2', '--no-install-recommends']
    command = ['apt-get', 'install', *options, *packages]
    with _no_server_starts():
        try:
            _run(command)
        except Problem:
            # Lists that are too old name packages that are gone.
            _run(['apt-get', 'update', '--quiet=2'])
            _run(command)


@contextlib.contextmanager
def _no_server_starts():
    """Forbid Debian's packages to start what they install, for a while."""
    policy = Path('/usr/sbin/policy-rc.d')
    if policy.exists():
        yield
        return
    policy.write_text('#!/bin/sh\nexit 101\n')
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def _run(command):
    """Run a program; show what it printed only if it fails."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**variables(), 'DEBIAN_FRONTEND': 'noninteractive'},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors='replace',
        check=False,
    )
    if done.returncode:
        print(done.stdout, file=sys.stderr, flush=True)
        raise Problem(
            f'{" ".join(command)}\nfailed with code {done.returncode}.'
        )
