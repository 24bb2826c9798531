"""What the commands of ``quota`` look up, and refuse, before they act."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from typing import TYPE_CHECKING

from cellplug import exception
from cellplug.cmd import outcome
from cellplug.objects import quota

if TYPE_CHECKING:
    from cellplug.interfaces import QuotaDriver
    from cellplug.quota import QuotaEngine

ENTRY_POINT = 'cellplug.quota_resource'
DEFAULT_CLASS = 'default'


class Records:
    """What a driver has recorded of one project, or of one of its users.

    :ivar context: the request's, as a service would have it.
    """

    def __init__(
        self,
        driver: QuotaDriver,
        project_id: str,
        user_id: str | None,
        quota_class: str | None = None,
    ) -> None:
        # Imported here: it costs what no help needs to pay.
        from cellplug import context

        self.driver = driver
        self.project_id = project_id
        self.user_id = user_id
        self.quota_class = quota_class
        self.context = context.InternalContext(
            project_id=project_id, quota_class=quota_class
        )

    @property
    def owner(self) -> str:
        """Whose they are, for people."""
        project = f'project {self.project_id!r}'
        if self.user_id is None:
            return project
        return f'user {self.user_id!r} in {project}'

    @property
    def level(self) -> str:
        """The source of limits that are set here."""
        return 'project' if self.user_id is None else 'user'

    def set_limits(self) -> dict[str, quota.Limit]:
        """The limits that are set at any level, registered or not."""
        return self.driver.get_limits(
            self.context,
            project_id=self.project_id,
            user_id=self.user_id,
            quota_class=self.quota_class,
        )

    def class_limits(self) -> dict[str, quota.Limit]:
        """The limits that the named class sets."""
        return self.driver.get_class_limits(
            self.context, self.quota_class or DEFAULT_CLASS
        )

    def own_limits(self) -> dict[str, quota.Limit]:
        """The limits that are set here and nowhere above."""
        return {
            name: limit
            for name, limit in self.set_limits().items()
            if limit.source == self.level
        }

    def usages(self, user_id: str | None) -> dict[str, quota.Usage]:
        """The usages that are known."""
        return self.driver.get_usages(
            self.context, project_id=self.project_id, user_id=user_id
        )

    def reservations(self, user_id: str | None) -> list[quota.Reservation]:
        """The open reservations; those of all users for None."""
        return self.driver.get_reservations(
            self.context, project_id=self.project_id, user_id=user_id
        )

    def users(self) -> list[str]:
        """The users of the project that have a usage."""
        return self.driver.get_users(self.context, self.project_id)

    def are_known(self) -> bool:
        """Whether anything was ever recorded here."""
        if self.usages(self.user_id) or self.own_limits():
            return True
        if self.user_id is None and self.driver.get_users_limits(
            self.context, self.project_id
        ):
            return True
        return bool(self.reservations(self.user_id))

    def refuse_unknown(self) -> None:
        """Refuse a project or user of which nothing is recorded.

        :raises RefusedError: if it is one.
        """
        if not self.are_known():
            raise outcome.RefusedError(
                f'{self.owner} is unknown here: no limit, no usage and no '
                'reservation (ids match exactly)'
            )


class Books(Records):
    """The same beside the resources that services register."""

    def __init__(self, quotas: QuotaEngine, *whose: Any) -> None:
        super().__init__(quotas.driver, *whose)
        self.quotas = quotas

    @classmethod
    def of(cls, quotas: QuotaEngine, parsed_args: argparse.Namespace) -> Books:
        """The books that the arguments ask for."""
        return cls(
            quotas,
            parsed_args.project,
            parsed_args.user,
            getattr(parsed_args, 'quota_class', None),
        )

    def in_force(
        self, user_id: str | None, resources: Iterable[str] | None = None
    ) -> dict[str, quota.Limit]:
        """Each registered resource's limit, and where it comes from."""
        from cellplug.objects import quota

        if user_id is None:
            found = self.quotas.get_project_quotas(
                self.context, self.project_id, resources
            )
        else:
            found = self.quotas.get_user_quotas(
                self.context, self.project_id, user_id, resources
            )
        return {
            name: quota.Limit(name, one.limit, one.source)
            for name, one in found.items()
        }

    def without_own(self) -> dict[str, quota.Limit]:
        """The limits that would hold if none were set here."""
        if self.user_id is not None:
            return self.in_force(None)
        return self.quotas.get_class_limits(
            self.context, self.quota_class or DEFAULT_CLASS
        )


def check_names(quotas: QuotaEngine, names: Iterable[str]) -> None:
    """Refuse names of resources that no service registers.

    :raises RefusedError: names them, and those that are registered.
    """
    unknown = sorted(set(names) - set(quotas.resources))
    if unknown:
        raise outcome.RefusedError(
            f'unknown resource: {", ".join(unknown)}; {registered(quotas)}; '
            'nothing was written'
        )


def check_reservable(quotas: QuotaEngine, names: Iterable[str]) -> list[str]:
    """The names, or without any those of all resources that are reserved.

    :raises RefusedError: for a name that is not registered.
    :raises QuotaResourceWrongKind: for one that has no usage.
    """
    wanted = sorted(set(names))
    check_names(quotas, wanted)
    tracked = [
        n for n, one in quotas.resources.items() if kind(one) == TRACKED
    ]
    wrong = [name for name in wanted if name not in tracked]
    if wrong:
        raise exception.QuotaResourceWrongKind(wrong, TRACKED)
    return wanted or tracked


def registered(quotas: QuotaEngine) -> str:
    """Which resources there are, as a clause."""
    known = ', '.join(quotas.resources)
    if known:
        return f'registered are {known}'
    return (
        'no installed service registers any resource (by an entry point '
        f'{ENTRY_POINT})'
    )


TRACKED = 'reservable'
GONE = 'unregistered'


def kind(resource: Any) -> str:
    """What a resource is, in a word."""
    from cellplug.quota import resources

    if isinstance(resource, resources.ReservableResource):
        return TRACKED
    if isinstance(resource, resources.AbsoluteResource):
        return 'absolute'
    return 'countable'


def is_uncounted(resource: Any, usages: Mapping[str, quota.Usage]) -> bool:
    """Whether it is tracked, and nobody has counted it yet."""
    usage = usages.get(resource.name)
    return kind(resource) == TRACKED and (usage is None or usage.in_use < 0)


def used(usage: quota.Usage) -> int:
    """What counts under the limit."""
    return max(0, usage.in_use) + usage.reserved


def check_keeps_limits(quotas: QuotaEngine) -> None:
    """Refuse to set limits where none are kept.

    :raises NotSupported: if the driver has none.
    """
    from cellplug.quota import settable

    settable.check_kept(quotas.driver)


def keeps_usages(quotas: QuotaEngine) -> bool:
    """Whether the driver tracks what is used."""
    return _tracks(quotas.driver)


def _tracks(driver: QuotaDriver) -> bool:
    from cellplug import interfaces

    return interfaces.QuotaCapability.RESERVATIONS in driver.capabilities


def check_keeps_usages(quotas: QuotaEngine) -> None:
    """Refuse to look for usages where none are kept.

    :raises NotSupported: if the driver has none.
    """
    check_tracks(quotas.driver)


def check_tracks(driver: QuotaDriver) -> None:
    """Refuse to look for usages where the driver keeps none.

    :raises NotSupported: if it does not.
    """
    if not _tracks(driver):
        raise exception.NotSupported(
            'the configured quota driver keeps no usages ([quota] driver)'
        )


def anybody() -> Any:
    """A context of nobody's project."""
    from cellplug import context

    return context.InternalContext()
