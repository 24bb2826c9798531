"""What every driver is, and what it may ask of its host."""

from __future__ import annotations

import abc
import enum
from collections.abc import Callable
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any
from typing import ClassVar
from typing import Protocol

from oslo_config import cfg

from cellplug import context as cellplug_context

API_VERSION = 1
"""The version of these contracts; a driver names the one it was written for.

It grows when a contract changes in a way that a driver notices. New methods
come with an implementation of their own, and new arguments are keyword-only
with a default, without a new version.
"""

OLDEST_API_VERSION = 1
"""The oldest version whose drivers this cellplug still runs."""


class Driver(abc.ABC):
    """A loaded policy.

    *Life.* The loader builds a driver once per router, as
    ``Driver(options, host)``, from the thread that builds the router. The
    constructor contacts nothing: a backend that is down must not keep a
    service from starting. ``close()`` is called once, after the last use;
    drivers close in the reverse order of their loading.

    *Threads.* Every method but the constructor and ``close`` is called from
    many threads at once.

    *Fork.* A driver may be used in a child process after a fork: it must not
    use the parent's sockets, locks or threads there. Compare ``os.getpid()``
    with a stored one, and replace what you own.

    *Errors.* A backend that is down raises a
    :class:`cellplug.exception.CellplugError`, never the backend's own
    exception. Nothing blocks without a bound. No message, log line or repr
    of a driver holds a password.

    *In front of another.* A driver that stands in front of another one of
    its interface names that one by an option called ``backend``, and gets it
    from ``host.load``: so commands that look at the configuration can follow
    the chain.

    :cvar api_version: the contract version the driver was written for.
    :ivar capabilities: what the driver can do beyond the contract's core;
        members of its interface's capability enum. What is declared works;
        what is not declared raises NotSupported. The class declares all that
        it can do; where the options decide, its constructor leaves out of
        ``self.capabilities`` what these options rule out.
    """

    api_version: ClassVar[int] = API_VERSION
    capabilities: frozenset[enum.Enum] = frozenset()

    @classmethod
    def options(cls) -> Sequence[cfg.Opt]:
        """The driver's own options.

        The loader registers them in ``[<interface>_<driver>]`` and hands
        that group to the constructor; the sample configuration shows them.
        """
        return ()

    @classmethod
    def dynamic_groups(cls, conf: cfg.ConfigOpts) -> Sequence[str]:
        """The groups whose names stand in the configuration alone.

        Groups beside its own that this driver reads, such as one for each
        thing that an option names. Nobody else knows them, so ``config
        validate`` leaves them to :meth:`check_config`.

        :param conf: as ``host.read_config()`` gives it.
        """
        return ()

    @classmethod
    def check_config(cls, conf: cfg.ConfigOpts) -> Sequence[str]:
        """What this driver could not work with: a line for each finding.

        Asked by ``cellplug-manage config validate``, without an instance;
        contacts nothing. That each option by itself has a value it can have
        was looked at before. A line names file, group and option, as far as
        they are known, and holds no secret; none at all means that the
        constructor and :meth:`reload` would take this configuration.

        :param conf: as ``host.read_config()`` gives it.
        """
        return ()

    @abc.abstractmethod
    def __init__(self, options: Any, host: DriverHost) -> None:
        """Build the driver; contact nothing.

        :param options: the group ``[<interface>_<driver>]``, an attribute
            per option.
        :param host: what the driver may ask of the framework.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of everything the driver owns. Idempotent."""

    def reload(self) -> None:  # noqa: B027 (most have nothing to do)
        """Take up what changed in the configuration files: all or nothing.

        Called when the operator asks for it (SIGHUP), from one thread at a
        time, while other threads use the driver. By default nothing happens:
        a driver that can follow reads the files by ``host.read_config()``.

        :raises ConfigurationError: if what they say cannot be; then the
            driver goes on with what it had.
        """


class DriverHost(Protocol):
    """What the framework lends a driver."""

    @property
    def database(self) -> Any:
        """The :class:`cellplug.Database` that the router bound.

        ``host.database.api.reader`` reads the API database.
        """
        ...

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds since the epoch, as a function; tests replace it."""
        ...

    def read_config(self) -> cfg.ConfigOpts:
        """The configuration files as they are now, parsed afresh.

        A ConfigOpts of the caller's own, with no options registered: register
        on it what is to be read. The router's own configuration stays as it
        is. Overrides that a program set on that one are not in it.

        :raises ConfigurationError: if a file cannot be read or parsed.
        """
        ...

    def load(self, interface: str, name: str) -> Any:
        """Another driver of this router, loaded once and owned by it.

        So a caching resolver wraps the one it stands in front of.

        :raises DriverError: if it cannot be loaded, or loads the asker.
        """
        ...

    def open_transport(self, url: str) -> Any:
        """A new :class:`~cellplug.interfaces.Transport`; connects to nothing.

        The caller owns it and closes it.

        :raises InvalidURL: if the URL cannot name a message queue.
        """
        ...

    def target_cell(
        self, context: cellplug_context.RequestContext, cell_uuid: str
    ) -> AbstractContextManager[cellplug_context.RequestContext]:
        """A copy of the context aimed at the cell, as the router makes it."""
        ...
