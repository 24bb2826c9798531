"""Every exception of cellplug.

All of them descend from :class:`CellplugError`; they are nouns, and they carry
what they are about as attributes, so that a caller never parses a message.
A message is one line: what happened, to which cell, what to do about it. No
message holds a connection URL's secret.

This module imports the standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from typing import Self


class CellplugError(Exception):
    """The root of everything that cellplug raises on purpose.

    Each exception can be made again from ``args`` and ``kwargs``: so it comes
    through a pickle, and through oslo.messaging from a worker, as itself and
    with its attributes.

    :ivar args: the positional arguments it was made with.
    :ivar kwargs: the named ones.
    :ivar message: the one line that ``str()`` gives.
    """

    kwargs: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep what the exception is made with."""
        made = super().__new__(cls, *args)
        made.kwargs = kwargs
        return made

    def __init__(self, message: str = '') -> None:
        # Exception.__init__ would put the message in the place of args.
        self.message = message

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _remake, (type(self), self.args, self.kwargs)


def _remake(
    cls: type[CellplugError], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> CellplugError:
    return cls(*args, **kwargs)


# -- what the caller passed ------------------------------------------------


class InvalidInput(CellplugError, ValueError):
    """An argument or option that cannot be used; nothing was written.

    :ivar name: the argument's name, as the caller knows it.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f'{name}: {reason}')
        self.name = name
        self.reason = reason


class InvalidURL(InvalidInput):
    """A database connection or transport URL that cannot be used."""


class InvalidUUID(InvalidInput):
    """A string that should be a uuid and is none."""


class ConfigurationError(CellplugError):
    """An option that is missing or contradicts another one."""


class NotSupported(CellplugError):
    """The configured driver, or this deployment, cannot do what was asked."""


# -- records ---------------------------------------------------------------


class CellMappingNotFound(CellplugError):
    """No cell has this uuid or name.

    :ivar cell: the uuid or name that was looked for.
    """

    def __init__(self, cell: str) -> None:
        super().__init__(
            f'cell {cell!r} does not exist (names and uuids match exactly)'
        )
        self.cell = cell


class CellMappingExists(CellplugError):
    """Another cell has this uuid, name, database or message queue already.

    :ivar attribute: ``uuid``, ``name``, ``database_connection`` or
        ``transport_url``.
    :ivar other: the name of the cell that has it, None if unknown.
    """

    def __init__(self, attribute: str, other: str | None = None) -> None:
        whose = f'cell {other!r}' if other else 'another cell'
        super().__init__(
            f'{whose} already has this {attribute}; no two cells share one'
        )
        self.attribute = attribute
        self.other = other


class CellInUse(CellplugError):
    """A cell cannot be deleted while instances are mapped to it.

    :ivar instances: how many instance mappings name the cell.
    """

    def __init__(self, cell_uuid: str, cell_name: str, instances: int) -> None:
        super().__init__(
            f'cell {cell_name!r} ({cell_uuid}) still has {instances} '
            'instance mapping(s); move or unmap them first'
        )
        self.cell_uuid = cell_uuid
        self.cell_name = cell_name
        self.instances = instances


class InstanceMappingNotFound(CellplugError):
    """No mapping says in which cell this instance lives."""

    def __init__(self, instance_uuid: str) -> None:
        super().__init__(f'instance {instance_uuid} is not mapped to a cell')
        self.instance_uuid = instance_uuid


class InstanceAlreadyMapped(CellplugError):
    """The instance is mapped to another cell; mappings move, never jump.

    :ivar cell_uuid: the cell that the instance is mapped to.
    :ivar requested: the uuid of the cell that was asked for.
    """

    def __init__(
        self, instance_uuid: str, cell_uuid: str, requested: str
    ) -> None:
        super().__init__(
            f'instance {instance_uuid} is mapped to cell {cell_uuid}, not to '
            f'{requested}; use instances.move to change that'
        )
        self.instance_uuid = instance_uuid
        self.cell_uuid = cell_uuid
        self.requested = requested


class StaleRoute(CellplugError):
    """The instance's mapping changed since the route was looked up.

    :ivar expected: the generation the caller knew.
    :ivar actual: the generation found, None if not known.
    """

    def __init__(
        self, instance_uuid: str, expected: int, actual: int | None = None
    ) -> None:
        found = '' if actual is None else f', found {actual}'
        super().__init__(
            f'the mapping of instance {instance_uuid} has changed: expected '
            f'generation {expected}{found}; look it up again'
        )
        self.instance_uuid = instance_uuid
        self.expected = expected
        self.actual = actual


# -- targeting -------------------------------------------------------------


class NotTargeted(CellplugError):
    """The context names no cell, and nothing is configured instead."""


class CellHasNoQueue(CellplugError):
    """The cell has a database but no message queue (cell0: ``none:///``)."""

    def __init__(self, cell_uuid: str, cell_name: str) -> None:
        super().__init__(
            f'cell {cell_name!r} ({cell_uuid}) has no message queue: its '
            'transport URL is none:///'
        )
        self.cell_uuid = cell_uuid
        self.cell_name = cell_name


class RouterClosed(CellplugError):
    """The router was closed; what it owned is gone."""


# -- many cells ------------------------------------------------------------


class CellsFailed(CellplugError):
    """Not every cell answered that had to.

    :ivar failed: the cells that did not, by uuid: each one's name, and why.
    :ivar answered: how many did.
    """

    def __init__(
        self, failed: Mapping[str, tuple[str, str]], answered: int
    ) -> None:
        self.failed = {
            uuid: (name, why) for uuid, (name, why) in failed.items()
        }
        self.answered = answered
        cells = '; '.join(
            f'{name!r} ({uuid}): {why}'
            for uuid, (name, why) in self.failed.items()
        )
        super().__init__(
            f'{len(self.failed)} of {len(self.failed) + answered} cells '
            f'failed: {cells}'
        )

    @property
    def missing(self) -> dict[str, str]:
        """The cells that did not answer, by name, and why."""
        return dict(self.failed.values())


# -- databases -------------------------------------------------------------


class DatabaseNotBound(CellplugError):
    """The Database object has no open router behind it."""


class DatabaseAlreadyBound(CellplugError):
    """The Database object is bound to another router that is still open."""


class DatabaseUnavailable(CellplugError):
    """A database cannot be reached, or does not answer in time.

    :ivar database: which one, as people read it.
    :ivar before_first_statement: True where the connection failed before any
        statement of the transaction had been answered, so that the
        transaction may be repeated without doing anything twice.
    """

    def __init__(
        self,
        database: str,
        reason: str,
        *,
        before_first_statement: bool = False,
    ) -> None:
        super().__init__(f'{database} is unavailable: {reason}')
        self.database = database
        self.reason = reason
        self.before_first_statement = before_first_statement


class CellUnavailable(DatabaseUnavailable):
    """A cell's database or message queue does not answer.

    :ivar cell_uuid: the cell's uuid.
    :ivar cell_name: the cell's name.
    :ivar part: ``database`` or ``message queue``.
    """

    def __init__(
        self,
        cell_uuid: str,
        cell_name: str,
        reason: str,
        *,
        part: str = 'database',
        before_first_statement: bool = False,
    ) -> None:
        super().__init__(
            f'the {part} of cell {cell_name!r} ({cell_uuid})',
            reason,
            before_first_statement=before_first_statement,
        )
        self.cell_uuid = cell_uuid
        self.cell_name = cell_name
        self.part = part


class CellIdentityMismatch(CellplugError):
    """A database says that it belongs to another cell.

    :ivar cell_uuid: the cell whose connection led to the database.
    :ivar found: the uuid written in the database.
    """

    def __init__(self, cell_uuid: str, found: str, hint: str = '') -> None:
        super().__init__(
            f'the database of cell {cell_uuid} belongs to cell {found}; '
            + (hint or 'correct the database_connection of one of them')
        )
        self.cell_uuid = cell_uuid
        self.found = found


class CellIdentityMissing(CellplugError):
    """A cell's database was claimed by no cell, or lacks cellplug's tables.

    :ivar cell_uuid: the cell whose connection led to the database.
    """

    def __init__(self, cell_uuid: str, cell_name: str = '') -> None:
        super().__init__(
            f'the database of cell {cell_name or cell_uuid} was never claimed '
            'by a cell; claim it with: cellplug-manage db sync --cell '
            f'{cell_name or cell_uuid} --claim'
        )
        self.cell_uuid = cell_uuid
        self.cell_name = cell_name


class SchemaMissing(CellplugError):
    """A database lacks cellplug's tables, or is at another revision.

    :ivar database: which one, for people.
    :ivar found: the revision found, None if there is none.
    """

    def __init__(
        self, database: str, found: str | None = None, hint: str = ''
    ) -> None:
        at = f'is at revision {found}' if found else 'has no cellplug schema'
        super().__init__(
            f'{database} {at}; {hint}' if hint else f'{database} {at}'
        )
        self.database = database
        self.found = found


class TransactionInProgress(CellplugError):
    """What was called must be outermost, and a transaction is open."""


class TransactionAborted(CellplugError):
    """An error inside was swallowed; the database would keep nothing."""


class TransactionConflict(CellplugError):
    """A transaction lost to others each time it was repeated.

    It was rolled back where it lost. What its function had committed by then,
    to another database or independently, stays. ``__cause__`` is what the
    database said last.

    :ivar name: the function that made it.
    :ivar tries: how often it was tried.
    :ivar seconds: for how long.
    """

    def __init__(self, name: str, tries: int, seconds: float) -> None:
        super().__init__(
            f'a transaction lost a conflict {tries} times in {seconds:.0f} s, '
            'and was given up; it was rolled back where it lost'
        )
        self.name = name
        self.tries = tries
        self.seconds = seconds


class ReadOnlyTransaction(CellplugError):
    """A writer was opened inside a reader of the same database."""


class TransactionForked(CellplugError):
    """A transaction that was open at fork was used in the child process."""


# -- quotas ----------------------------------------------------------------


class OverQuota(CellplugError):
    """The request would exceed a limit; nothing was reserved.

    :ivar overs: the resources over their limit, sorted.
    :ivar limits: the limit in force, by resource; -1 is unlimited.
    :ivar usages: ``in_use + reserved``, by resource.
    :ivar headroom: how much could still be had, by resource.
    """

    def __init__(
        self,
        overs: Iterable[str],
        limits: Mapping[str, int],
        usages: Mapping[str, int],
        headroom: Mapping[str, int],
    ) -> None:
        self.overs = sorted(overs)
        self.limits = dict(limits)
        self.usages = dict(usages)
        self.headroom = dict(headroom)
        each = ', '.join(map(self._told, self.overs))
        super().__init__(f'over quota for: {each}')

    def _told(self, name: str) -> str:
        known = {
            'limit': self.limits.get(name),
            'used': self.usages.get(name),
            'free': self.headroom.get(name),
        }
        told = [f'{k} {n}' for k, n in known.items() if n is not None]
        return f'{name} ({", ".join(told)})' if told else name


class QuotaResourceUnknown(InvalidInput):
    """No resource of this name is registered; nothing was written.

    :ivar resources: all the names that are unknown, sorted.
    """

    def __init__(self, resources: Iterable[str]) -> None:
        self.resources = sorted(resources)
        super().__init__(
            'resource', f'{", ".join(self.resources)} is not registered'
        )


class QuotaResourceWrongKind(InvalidInput):
    """These resources cannot be used for this call; nothing was written.

    :ivar resources: all the names that are of another kind, sorted.
    :ivar wanted: the kind that the call is for.
    """

    def __init__(self, resources: Iterable[str], wanted: str) -> None:
        self.resources = sorted(resources)
        super().__init__(
            'resource', f'{", ".join(self.resources)} is not {wanted}'
        )
        self.wanted = wanted


class LimitNotSettable(InvalidInput):
    """A limit below what is used, or beyond what a project leaves its user.

    :ivar minimum: the least limit that can be set without force.
    :ivar maximum: the greatest; -1 for no maximum.
    """

    def __init__(
        self, resource: str, limit: int, minimum: int, maximum: int
    ) -> None:
        if 0 <= limit < minimum:
            why = (
                f"at least {minimum}: what is used, or the sum of its users' "
                'limits'
            )
        else:
            why = f"at most {maximum}: what the project's other users leave"
        super().__init__(
            resource, f'a limit of {limit} cannot be set without force: {why}'
        )
        self.resource = resource
        self.limit = limit
        self.minimum = minimum
        self.maximum = maximum


class CountIncomplete(CellplugError):
    """A usage had to be counted, and not every cell answered.

    :ivar resources: what was to be counted, sorted.
    :ivar missing: the cells that did not answer, by name, and why.
    """

    def __init__(
        self, resources: Iterable[str], missing: Mapping[str, str]
    ) -> None:
        self.resources = sorted(resources)
        self.missing = dict(missing)
        cells = '; '.join(f'{name}: {why}' for name, why in missing.items())
        super().__init__(
            f'{", ".join(self.resources)} cannot be counted while a cell '
            f'does not answer ({cells})'
        )


class ReservationNotFound(CellplugError):
    """The reservation ended before: committed, rolled back or expired."""

    def __init__(self, handle: str) -> None:
        super().__init__(f'reservation {handle} does not exist any more')
        self.handle = handle


# -- messaging -------------------------------------------------------------


class RPCTimeout(CellplugError):
    """A worker did not answer in time; whether it acted is unknown.

    :ivar where: the cell (name and uuid), or the process's own queue.
    """

    def __init__(self, where: str, method: str, seconds: float | None) -> None:
        after = 'in time' if seconds is None else f'within {seconds:g} s'
        super().__init__(f'no worker of {where} answered {method!r} {after}')
        self.where = where
        self.method = method
        self.seconds = seconds


class QueueUnavailable(CellplugError):
    """The process's own message queue does not answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(f'the message queue is unavailable: {reason}')
        self.reason = reason


# -- drivers ---------------------------------------------------------------


class DriverError(CellplugError):
    """A driver that cannot be used.

    :ivar interface: ``resolver``, ``quota`` or ``transport_cache``.
    :ivar driver: the driver's name in the configuration.
    """

    def __init__(self, interface: str, driver: str, reason: str) -> None:
        super().__init__(f'{interface} driver {driver!r}: {reason}')
        self.interface = interface
        self.driver = driver
        self.reason = reason


class UnknownDriver(DriverError):
    """No installed distribution offers a driver of this name.

    :ivar available: the names that are offered.
    :ivar unreadable: the distributions (name and version) that might offer
        it: their entry points cannot be read.
    """

    def __init__(
        self,
        interface: str,
        driver: str,
        available: Iterable[str],
        unreadable: Iterable[str] = (),
    ) -> None:
        self.available = sorted(available)
        self.unreadable = sorted(unreadable)
        reason = 'is not installed; installed are: '
        reason += ', '.join(self.available) or 'none'
        if self.unreadable:
            broken = ', '.join(self.unreadable)
            reason += f'; the entry points of {broken} cannot be read'
        super().__init__(interface, driver, reason)


class DuplicateDriver(DriverError):
    """Two distributions offer a driver of this name.

    :ivar origins: the distributions (name and version).
    """

    def __init__(
        self, interface: str, driver: str, origins: Iterable[str]
    ) -> None:
        self.origins = sorted(origins)
        super().__init__(
            interface,
            driver,
            'is offered by more than one distribution: '
            + ', '.join(self.origins)
            + '; uninstall all but one',
        )


class DriverLoadError(DriverError):
    """The driver's module or constructor failed; see ``__cause__``."""


class WrongDriverType(DriverError):
    """The entry point leads to something that is no driver of this kind."""


class PluginError(CellplugError):
    """What an installed distribution offers by entry point cannot be used.

    :ivar group: the entry point's group.
    :ivar name: the entry point's name.
    :ivar target: ``module:attribute``.
    :ivar origin: the distribution and its version; '' if it is not known.
    """

    def __init__(
        self, group: str, name: str, target: str, reason: str, origin: str = ''
    ) -> None:
        where = f'{target} of {origin}' if origin else target
        super().__init__(
            f'entry point {name!r} of {group} ({where}) cannot be used: '
            f'{reason}'
        )
        self.group = group
        self.name = name
        self.target = target
        self.origin = origin
        self.reason = reason
