"""Asking a message queue whether it would take messages."""

from __future__ import annotations

from oslo_config import cfg

from cellplug import exception
from cellplug.rpc import messaging
from cellplug.rpc import settings as rpc_settings


def connect(conf: cfg.ConfigOpts, url: str) -> None:
    """Log in to a message queue, and send a message that nobody reads.

    Waits at most ``[rpc] connect_timeout`` to connect, and ``[rpc]
    stop_timeout`` to disconnect. In-process queues (``fake``,
    ``kombu+memory``) have nothing to connect to.

    :param url: a transport URL that is not ``none:``.
    :raises QueueUnavailable: if it does not answer, or refuses.
    :raises InvalidURL: if the URL cannot be used.
    """
    settings = rpc_settings.RPCSettings.from_group(conf.rpc)
    transport = messaging.Transport(conf, url, settings)
    try:
        transport.prove()
    except messaging.QueueDownError as exc:
        raise exception.QueueUnavailable(str(exc)) from exc
    finally:
        transport.close()
