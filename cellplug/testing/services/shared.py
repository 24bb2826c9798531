"""One server of each kind per process, whoever asks first."""

from __future__ import annotations

import os

from cellplug.testing.services import startable


def services_required() -> bool:
    """Whether a missing server is a failure, not a reason to skip.

    That is what ``CELLPLUG_REQUIRE_SERVICES=1`` says.
    """
    return os.environ.get('CELLPLUG_REQUIRE_SERVICES', '0') not in ('', '0')


def shared_url(kind: type[startable.Startable]) -> str:
    """The admin URL of a server that tests share.

    It is the one that the environment names (``kind.variable``), as
    ``python -m cellplug.testing.services`` and CI systems do. Otherwise one
    is started, lives until this process ends, and is put into the environment
    so that later callers and child processes find it. Not for two threads at
    once.

    :raises ServiceUnavailable: there is none, and this machine lacks what is
        needed to start one.
    :raises ServiceError: it does not start.
    """
    url = os.environ.get(kind.variable)
    if not url:
        server = kind()
        server.start()
        url = os.environ[kind.variable] = server.admin_url
    return url
