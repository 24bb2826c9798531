"""The ``memcached`` resolver; needs the extra ``cellplug[memcached]``."""

import importlib.util

if not (
    importlib.util.find_spec('cryptography')
    and importlib.util.find_spec('pymemcache')
):
    raise ImportError(
        'it needs pymemcache and cryptography; install them with: '
        "pip install 'cellplug[memcached]'"
    )
