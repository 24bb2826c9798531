"""What the checks of quota drivers share: a project, and a truth to count."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from cellplug import exception
from cellplug import interfaces
from cellplug.interfaces import quota as contract
from cellplug.objects import identifiers
from cellplug.objects import quota
from cellplug.testing.conformance import common
from cellplug.testing.conformance import doing
from cellplug.testing.conformance import harnesses

Capability = interfaces.QuotaCapability
Count = contract.Count

USER = 'suite-user'


class QuotaCase(common.DriverChecks):
    """A quota driver and a project nobody else uses.

    :ivar truth: what exists, by user and resource: what ``count`` answers.
    :ivar missing: the cells that do not answer ``count``, and why.
    :ivar counted: what was counted, in order: user (None for all) and
        resource.
    """

    interface = 'quota'
    capability_enum = Capability

    def setUp(self) -> None:
        super().setUp()
        self.context = harnesses.Context()
        self.project = f'suite-{identifiers.new_uuid()[:8]}'
        self.truth: dict[tuple[str, str], int] = {}
        self.missing: dict[str, str] = {}
        self.counted: list[tuple[str | None, str]] = []

    def exist(self, user: str = USER, **numbers: int) -> None:
        """Let so much of a user's exist, in the cells."""
        for resource, number in numbers.items():
            self.truth[user, resource] = number

    def count(
        self, resources: Collection[str], user_id: str | None
    ) -> quota.Counts:
        """The truth of the resources named."""
        self.counted += [(user_id, name) for name in resources]
        values = dict.fromkeys(resources, 0)
        for (user, name), number in self.truth.items():
            if name in values and user_id in (None, user):
                values[name] += number
        return quota.Counts(values, self.missing)

    def need(self, capability: Capability) -> None:
        """Go on only if the driver declares it."""
        if not self.can(capability):
            self.not_applicable(f'it does not declare {capability.name}')

    def skip_own(self, checks: type, capability: Capability) -> None:
        """Leave out the checks of this class, if the driver lacks it."""
        if self.id().rpartition('.')[2] in vars(checks):
            self.need(capability)

    # -- the driver, with what every call needs ----------------------------

    def reserve(
        self,
        *,
        limit: int = -1,
        user: str | None = USER,
        expire: Any = None,
        driver: Any = None,
        count: Count | None = None,
        quota_class: str | None = None,
        per_project: Collection[str] = (),
        **deltas: int,
    ) -> str:
        """Reserve; ``limit`` is the default of every resource."""
        handle: str = (driver or self.subject).reserve(
            self.context,
            deltas,
            project_id=self.project,
            user_id=user,
            defaults=dict.fromkeys(deltas, limit),
            count=count or self.count,
            expire=expire,
            quota_class=quota_class,
            per_project=per_project,
        )
        return handle

    def commit(self, handle: str) -> None:
        self.subject.commit(self.context, handle)

    def rollback(self, handle: str) -> None:
        self.subject.rollback(self.context, handle)

    def use(self, **deltas: Any) -> None:
        """Reserve without a limit, and commit."""
        self.commit(self.reserve(**deltas))

    def set_limits(self, user: str | None = None, **limits: Any) -> None:
        self.need(Capability.LIMITS)
        self.subject.set_limits(
            self.context, limits, project_id=self.project, user_id=user
        )

    def new_class(self, **limits: int) -> str:
        """A quota class that nobody else uses."""
        self.need(Capability.LIMITS)
        name = f'class-{self.project}'
        self.subject.set_class_limits(self.context, limits, quota_class=name)
        return name

    def limits(self, **of: Any) -> dict[str, int]:
        """What is set, as plain numbers."""
        found = self.subject.get_limits(
            self.context, project_id=self.project, **of
        )
        for name, limit in found.items():
            self.assertIsInstance(limit, quota.Limit)
            self.assertEqual(name, limit.resource)
        return {name: limit.limit for name, limit in found.items()}

    def known(self, user: str | None = None) -> dict[str, quota.Usage]:
        """The usages of the project, or of one of its users."""
        found: dict[str, quota.Usage] = self.subject.get_usages(
            self.context, project_id=self.project, user_id=user
        )
        for name, usage in found.items():
            self.assertIsInstance(usage, quota.Usage)
            self.assertEqual(name, usage.resource)
        return found

    def usage(self, resource: str, user: str | None = None) -> tuple[int, int]:
        """What is in use and reserved; 0 where nothing is known."""
        found = self.known(user).get(resource)
        return (0, 0) if found is None else (found.in_use, found.reserved)

    def refresh(
        self,
        *resources: str,
        user: str | None = USER,
        count: Count | None = None,
        per_project: Collection[str] = (),
    ) -> frozenset[str]:
        """Count anew, ``servers`` by default; what was not stored."""
        found: frozenset[str] = self.subject.refresh(
            self.context,
            resources or ('servers',),
            project_id=self.project,
            user_id=user,
            count=count or self.count,
            per_project=per_project,
        )
        self.assertIsInstance(found, frozenset)
        return found

    def reset(self, *resources: str, user: str | None = None) -> None:
        """Have them counted anew, ``servers`` by default."""
        self.subject.reset(
            self.context,
            resources or ('servers',),
            project_id=self.project,
            user_id=user,
        )

    def reservations(self, **of: Any) -> list[quota.Reservation]:
        """Those of the project that have not ended, as they are listed."""
        found: list[quota.Reservation] = self.subject.get_reservations(
            self.context, **{'project_id': self.project, **of}
        )
        for one in found:
            self.assertIsInstance(one, quota.Reservation)
        return found

    def expire(self) -> None:
        """Have it be later, until no server is reserved."""
        clock: Any = self.host.clock
        clock.advance(5)

        def ended() -> None:
            self.subject.expire(self.context)
            self.assertEqual(0, self.usage('servers')[1], 'still reserved')

        doing.eventually(ended, 20)

    def over(self, **request: Any) -> exception.OverQuota:
        """The refusal of a request that has to be refused."""
        refusal: exception.OverQuota = self.refused(
            exception.OverQuota, self.reserve, **request
        )
        return refusal

    def exercise(self, driver: Any) -> None:
        """Reserve, commit and roll back."""
        for end in (driver.commit, driver.rollback):
            handle = self.reserve(driver=driver, servers=1)
            end(self.context, handle)
        driver.get_usages(self.context, project_id=self.project)
        driver.get_limits(self.context, project_id=self.project)
