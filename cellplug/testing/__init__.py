"""What people who build on cellplug need for their own tests.

:mod:`cellplug.testing.services` starts private servers,
:mod:`cellplug.testing.fixtures` gives each test a database or a message queue
on them. Importing this package imports neither.
"""
