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
    transport = _transport(conf, url)
    down: messaging.QueueDownError | None = None
    try:
        transport.prove()
    except messaging.QueueDownError as exc:
        down = exc
    # Not in a finally: whoever pressed Ctrl-C does not want to wait for it.
    transport.close()
    transport.wait_closed()
    if down is not None:
        raise exception.QueueUnavailable(str(down)) from down


def _transport(conf: cfg.ConfigOpts, url: str) -> messaging.Transport:
    """The transport; oslo.messaging looks at a URL's query just here."""
    settings = rpc_settings.RPCSettings.from_group(conf.rpc)
    try:
        return messaging.Transport(conf, url, settings)
    except exception.CellplugError:
        raise
    except ImportError as exc:
        raise exception.InvalidURL(
            'transport_url', f'its driver is not installed: {exc}'
        ) from exc
    except (cfg.Error, ValueError) as exc:
        raise exception.InvalidURL(
            'transport_url', f'its query cannot be used: {exc}'
        ) from exc
