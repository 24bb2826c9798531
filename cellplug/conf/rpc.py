"""Options of messaging, ``[rpc]``."""

from __future__ import annotations

from oslo_config import cfg


def opts() -> list[cfg.Opt]:
    """How long messaging may take."""
    return [
        cfg.FloatOpt(
            'connect_timeout',
            default=10,
            min=0.5,
            help='Seconds until a message queue that does not answer is '
            'given up: while connecting, while it takes a message, and at '
            'the start of a server. Raise it where a busy broker takes long '
            'to store messages.',
        ),
        cfg.FloatOpt(
            'call_timeout',
            default=60,
            min=0.5,
            help='Seconds that a call waits for its answer, where the '
            'caller names no timeout.',
        ),
        cfg.FloatOpt(
            'stop_timeout',
            default=10,
            min=0.5,
            help='Seconds that the stop of a server or the closing of a '
            'transport may take; what is not done then is left behind.',
        ),
        cfg.IntOpt(
            'server_threads',
            default=64,
            min=1,
            help='Threads with which one server works on messages.',
        ),
    ]
