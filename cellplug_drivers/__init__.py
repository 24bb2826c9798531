"""The drivers that cellplug ships, written as a stranger would write them.

They are reached through entry points alone, and import only what a third
party may: :mod:`cellplug.interfaces`, :mod:`cellplug.objects`,
:mod:`cellplug.exception`, :mod:`cellplug.context`, and the names in
``cellplug.db.__all__``. One sub-package per interface; no driver imports
another.
"""
