"""The laptop deployment: a whole cellplug deployment, run by one command.

``database``, ``api`` and ``worker`` are an example service, written as a
service author would write it on the public interface. Everything else builds
the deployment it runs in, sends it requests, and looks afterwards, with plain
SQLAlchemy, whether each instance lies where it should.
"""
