"""What the checks of quota drivers share: a project, and a truth to count."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from typing import Any

from cellplug import exception
from cellplug import interfaces
from cellplug.objects import identifiers
from cellplug.objects import quota
from cellplug.testing.conformance import common
from cellplug.testing.conformance import harnesses

Capability = interfaces.QuotaCapability

USER = 'suite-user'


class QuotaCase(common.DriverChecks):
    """A quota driver and a project nobody else uses.

    :ivar truth: what exists, by resource: what ``count`` answers.
    :ivar counted: the resources that were counted, in order.
    """

    interface = 'quota'
    capability_enum = Capability

    def setUp(self) -> None:
        super().setUp()
        self.context = harnesses.Context()
        self.project = f'suite-{identifiers.new_uuid()[:8]}'
        self.truth: dict[str, int] = {}
        self.counted: list[str] = []

    def count(self, resources: Collection[str]) -> Mapping[str, int]:
        """The truth of the resources named."""
        self.counted += resources
        return {name: self.truth.get(name, 0) for name in resources}

    def need(self, capability: Capability) -> None:
        """Go on only if the driver declares it."""
        if not self.can(capability):
            self.not_applicable(f'it does not declare {capability.name}')

    # -- the driver, with what every call needs ----------------------------

    def reserve(
        self,
        *,
        limit: int = -1,
        user: str | None = USER,
        expire: Any = None,
        driver: Any = None,
        count: Callable[[Collection[str]], Mapping[str, int]] | None = None,
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

    def limits(self, **of: Any) -> dict[str, int]:
        """What is set, as plain numbers."""
        found = self.subject.get_limits(
            self.context, project_id=self.project, **of
        )
        for name, limit in found.items():
            self.assertIsInstance(limit, quota.Limit)
            self.assertEqual(name, limit.resource)
        return {name: limit.limit for name, limit in found.items()}

    def usage(self, resource: str, user: str | None = None) -> tuple[int, int]:
        """What is in use and reserved; 0 where nothing is known."""
        found = self.subject.get_usages(
            self.context, project_id=self.project, user_id=user
        ).get(resource)
        if found is None:
            return 0, 0
        self.assertIsInstance(found, quota.Usage)
        return found.in_use, found.reserved

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
