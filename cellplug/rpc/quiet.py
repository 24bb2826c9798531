"""oslo.messaging, imported without what its dependency does to a process.

It always imports eventlet (nothing is monkey-patched here), and eventlet
greets every process with a warning that its user can do nothing about. It
also runs the module ``threading`` a second time, which makes the importing
thread look like a main thread: before Python 3.13 that thread, ended, is never
seen to end, and whoever joins it waits for ever. So a thread that has nothing
else to do imports it first.
"""

import contextlib
import importlib
import threading
import warnings


def _import_elsewhere() -> None:
    """Import it in a thread of its own; what fails fails again below."""
    imported = threading.Event()

    def work() -> None:
        try:
            with contextlib.suppress(ImportError):
                importlib.import_module('oslo_messaging')
        finally:
            imported.set()

    threading.Thread(target=work, name='cellplug-import', daemon=True).start()
    imported.wait()


with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    if threading.current_thread() is not threading.main_thread():
        _import_elsewhere()
    import oslo_messaging
    from oslo_messaging._drivers import common
    from oslo_messaging._drivers import impl_rabbit

Target = oslo_messaging.Target

__all__ = ['Target', 'common', 'impl_rabbit', 'oslo_messaging']
