"""Run a command while private servers are up.

``python -m cellplug.testing.services [--mariadb] ... [-- COMMAND ...]``
starts the named servers side by side (if none is named: all but Galera), puts
their admin URLs into COMMAND's environment, and exits with COMMAND's code.
Without a COMMAND it prints the URLs and waits for Ctrl-C.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

from cellplug.testing import services


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m cellplug.testing.services',
        description='Run a command while private servers are up.',
        epilog='Without a command, print the URLs and wait for Ctrl-C.',
    )
    for kind in (*services.SERVICES, *services.ON_REQUEST):
        parser.add_argument(
            f'--{kind.title.lower()}',
            dest='kinds',
            action='append_const',
            const=kind,
            help=f'start {kind.title}; its admin URL goes into'
            f' {kind.variable}',
        )
    parser.add_argument(
        'command',
        nargs='*',
        metavar='COMMAND',
        help='what to run, after --',
    )
    return parser.parse_args(argv)


def _say(message: str) -> None:
    print(f'services: {message}', file=sys.stderr, flush=True)


def _choose(
    named: Sequence[type[services.Startable]] | None,
) -> list[type[services.Startable]]:
    """Leave out what cannot be started, unless it was asked for.

    :raises ServiceUnavailable: it was asked for, by name or by
        ``CELLPLUG_REQUIRE_SERVICES``.
    """
    chosen = []
    for kind in named or services.SERVICES:
        reason = kind.why_unavailable()
        if reason is None:
            chosen.append(kind)
        elif named or services.services_required():
            raise services.ServiceUnavailable(f'{kind.title}: {reason}')
        else:
            _say(f'no {kind.title}: {reason}')
    return chosen


def _start(servers: Sequence[services.Startable]) -> None:
    """Start them side by side; RabbitMQ alone takes seconds."""

    def start(server: services.Startable) -> None:
        began = time.monotonic()
        server.start()
        took = time.monotonic() - began
        _say(f'{server.title} is up on port {server.port} ({took:.1f} s)')

    with concurrent.futures.ThreadPoolExecutor(len(servers) or 1) as pool:
        for future in [pool.submit(start, server) for server in servers]:
            future.result()


def _run(command: Sequence[str], variables: dict[str, str]) -> int:
    if not command:
        for name, value in variables.items():
            print(f'export {name}={shlex.quote(value)}', flush=True)
        _say('Ctrl-C ends them')
        signal.pause()
    try:
        child = subprocess.Popen(command, env={**os.environ, **variables})
    except OSError as exc:
        _say(f'{command[0]} cannot be executed: {exc.strerror}')
        return 127
    try:
        code = child.wait()
    except KeyboardInterrupt:
        # Ctrl-C reached the command as well; SIGTERM came to us alone.
        child.terminate()
        code = child.wait()
    return code if code >= 0 else 128 - code


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Start, run, stop.

    :param argv: the command line without the program's name; sys.argv's by
        default.
    :returns: the command's exit code; 2 if a server cannot be had, 127 if
        the command cannot be executed, 130 after Ctrl-C or SIGTERM.
    """
    arguments = _arguments(sys.argv[1:] if argv is None else argv)
    signal.signal(signal.SIGTERM, _interrupt)
    servers: list[services.Startable] = []
    try:
        servers += [kind() for kind in _choose(arguments.kinds)]
        _start(servers)
        variables = {server.variable: server.admin_url for server in servers}
        return _run(arguments.command, variables)
    except services.ServiceError as exc:
        _say(str(exc))
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        for server in servers:
            server.stop()


if __name__ == '__main__':
    sys.exit(main())
