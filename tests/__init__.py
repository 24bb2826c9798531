"""The tests of cellplug.

``unit`` needs no server, ``conformance`` runs every shipped driver against
the suite of its interface, ``functional`` needs real servers.
"""
