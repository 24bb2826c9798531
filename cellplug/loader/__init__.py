"""Drivers by name: found by stevedore, checked, built, closed.

A loader belongs to one router; it builds each driver once, and closes all in
the reverse order of loading.
"""

from cellplug.loader.checking import chain
from cellplug.loader.checking import load_class
from cellplug.loader.checking import load_options
from cellplug.loader.finding import Installed
from cellplug.loader.finding import installed
from cellplug.loader.finding import INTERFACES
from cellplug.loader.finding import namespace
from cellplug.loader.finding import unreadable
from cellplug.loader.keeping import Loader
from cellplug.loader.plugins import load_plugins
from cellplug.loader.plugins import Plugin

__all__ = [
    'INTERFACES',
    'Installed',
    'Loader',
    'Plugin',
    'chain',
    'installed',
    'load_class',
    'load_options',
    'load_plugins',
    'namespace',
    'unreadable',
]
