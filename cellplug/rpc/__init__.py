"""Messaging: transports, clients and servers, every wait of them bounded.

The only package that knows oslo.messaging, which is slow to import and brings
eventlet along: the modules that import it (``messaging``, ``server``) are
themselves imported when the first message is sent or the first server made.
``Target`` is oslo.messaging's, for services that need nothing else of it.
"""

from typing import Any
from typing import TYPE_CHECKING

__all__ = ['Target']

if TYPE_CHECKING:
    from cellplug.rpc.quiet import Target
else:

    def __getattr__(name: str) -> Any:
        if name != 'Target':
            raise AttributeError(f'module {__name__!r} has no {name!r}')
        # Imported when it is asked for: a third of a second.
        from cellplug.rpc import quiet  # noqa: PLC0415

        return quiet.Target
