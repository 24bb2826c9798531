"""oslo.messaging, imported without its dependency's deprecation notice.

It always imports eventlet (nothing is monkey-patched here), and eventlet
greets every process with a warning that its user can do nothing about.
"""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    import oslo_messaging
    from oslo_messaging._drivers import common
    from oslo_messaging._drivers import impl_rabbit

Target = oslo_messaging.Target

__all__ = ['Target', 'common', 'impl_rabbit', 'oslo_messaging']
