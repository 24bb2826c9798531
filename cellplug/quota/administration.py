"""The part of the engine that operators' tools call: limits and usages."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping

from oslo_config import cfg

from cellplug import context as cellplug_context
from cellplug.interfaces import quota as interface
from cellplug.objects import identifiers
from cellplug.objects import quota
from cellplug.quota import amounts
from cellplug.quota import counting
from cellplug.quota import limits as quota_limits
from cellplug.quota import registry
from cellplug.quota import resources as quota_resources
from cellplug.quota import settable
from cellplug.quota import subject

Context = cellplug_context.RequestContext
Names = Iterable[str] | None
RESERVABLE = quota_resources.ReservableResource


class Administration:
    """Resources, limits and usages.

    Limits and deltas are given by resource, in a mapping or as keyword
    arguments or in both. Names that are unknown, or of another kind than the
    call is for, are all named at once, before anything is written.
    """

    def __init__(
        self, conf: cfg.ConfigOpts, driver: interface.QuotaDriver
    ) -> None:
        self._driver = driver
        self._known = registry.Registry(conf)
        self._limits = quota_limits.Resolution(driver, self._known)
        self._settable = settable.Settable(driver, self._known, self._limits)

    @property
    def driver(self) -> interface.QuotaDriver:
        """The driver that keeps it all."""
        return self._driver

    # -- resources ---------------------------------------------------------

    def register_resource(self, resource: quota_resources.Resource) -> None:
        """Make a resource known to this process.

        :raises InvalidInput: if another one of its name is known.
        """
        self._known.add([resource])

    def register_resources(
        self,
        resources: Iterable[quota_resources.Resource],
        *,
        origin: str = '',
    ) -> None:
        """Make several resources known, or none of them if it raises.

        :param origin: for people, the entry point that offers them: named if
            there is another of the same name.
        """
        self._known.add(resources, origin)

    @property
    def resources(self) -> Mapping[str, quota_resources.Resource]:
        """The resources that this process knows, by name, sorted."""
        return self._known.all

    # -- limits and usages, read -------------------------------------------

    def get_project_quotas(
        self, context: Context, project_id: str, resources: Names = None
    ) -> dict[str, quota.QuotaUsage]:
        """The limit of each resource, or of those, beside the usage of it.

        What is not tracked shows no usage; nothing is counted.
        """
        project_id, _ = subject.checked(project_id)
        every = [*self._known.all]
        return self._quotas(context, every, resources, project_id, None)

    def get_user_quotas(
        self,
        context: Context,
        project_id: str,
        user_id: str,
        resources: Names = None,
    ) -> dict[str, quota.QuotaUsage]:
        """The user's limits in the project beside the user's own usage.

        Resources in which users have nothing of their own are left out.
        """
        identifiers.check_id('user_id', user_id)
        project_id, _ = subject.checked(project_id)
        own = self._of_users()
        return self._quotas(context, own, resources, project_id, user_id)

    def _quotas(
        self,
        context: Context,
        names: list[str],
        wanted: Names,
        project_id: str,
        user_id: str | None,
    ) -> dict[str, quota.QuotaUsage]:
        if wanted is not None:
            names = [n for n in self._known.check([*wanted]) if n in names]
        limits = self._limits.of(context, names, project_id, user_id)
        usages = self._driver.get_usages(
            context, project_id=project_id, user_id=user_id
        )
        none = quota.Usage('', 0, 0)
        return {
            name: quota.QuotaUsage(
                limits[name].limit,
                max(0, usages.get(name, none).in_use),
                max(0, usages.get(name, none).reserved),
                limits[name].source,
            )
            for name in names
        }

    def _of_users(self) -> list[str]:
        known = list(self._known.all)
        shared = self._known.per_project(known)
        return [name for name in known if name not in shared]

    def get_class_limits(
        self, context: Context, quota_class: str
    ) -> dict[str, quota.Limit]:
        """The limit of each resource for projects of this class.

        Where the class sets none, that of the class ``default``, else the
        configured one; ``source`` says which it is.
        """
        identifiers.check_id('quota_class', quota_class)
        return self._limits.of_class(context, self._known.all, quota_class)

    def get_default_limits(self) -> dict[str, quota.Limit]:
        """The limit of each resource where none is set anywhere."""
        defaults = self._limits.defaults(self._known.all)
        return {n: quota.Limit(n, limit) for n, limit in defaults.items()}

    def get_settable_quotas(
        self, context: Context, project_id: str, user_id: str | None = None
    ) -> dict[str, quota.SettableRange]:
        """Between which limits :meth:`set_limits` takes one without force.

        For a project, from what its users were promised or what is used, the
        greater of them, without a maximum. For a user, from what the user
        uses to what the project's limit leaves beside other users' limits.
        """
        project_id, user_id = subject.checked(project_id, user_id)
        names = list(self._known.all) if user_id is None else self._of_users()
        return self._settable.ranges(context, names, project_id, user_id)

    # -- limits, written ---------------------------------------------------

    def set_limits(
        self,
        context: Context,
        limits: Mapping[str, int | None] | None = None,
        /,
        *,
        project_id: str,
        user_id: str | None = None,
        force: bool = False,
        dry_run: bool = False,
        **more: int | None,
    ) -> None:
        """Set limits of a project, or of one of its users; None removes one.

        All of them, or none if it raises.

        :param force: also outside what :meth:`get_settable_quotas` says.
        :param dry_run: check everything, and write nothing.
        :raises LimitNotSettable: without force, for a limit that is less
            than what is used, or more than the project leaves its user.
        :raises InvalidInput: for what is no limit: an integer from -1
            (unlimited) on; QuotaResourceUnknown, and QuotaResourceWrongKind
            for a user's limit where users have nothing of their own.
        :raises NotSupported: if the driver keeps no limits.
        """
        project_id, user_id = subject.checked(project_id, user_id)
        wanted = self._wanted(limits, more)
        if user_id is not None:
            self._known.refuse(
                self._known.per_project(wanted), 'a resource of users'
            )
        settable.check_kept(self._driver)
        if not force:
            self._settable.check(context, wanted, project_id, user_id)
        if not dry_run:
            self._driver.set_limits(
                context, wanted, project_id=project_id, user_id=user_id
            )

    def set_class_limits(
        self,
        context: Context,
        quota_class: str,
        limits: Mapping[str, int | None] | None = None,
        *,
        dry_run: bool = False,
        **more: int | None,
    ) -> None:
        """Set limits of a quota class; None removes one.

        Those of the class ``default`` hold for all projects that have no
        other. All of them, or none if it raises.

        :param dry_run: check everything, and write nothing.
        :raises NotSupported: if the driver keeps no limits.
        """
        identifiers.check_id('quota_class', quota_class)
        wanted = self._wanted(limits, more)
        settable.check_kept(self._driver)
        if not dry_run:
            self._driver.set_class_limits(
                context, wanted, quota_class=quota_class
            )

    def _wanted(
        self,
        limits: Mapping[str, int | None] | None,
        more: Mapping[str, int | None],
    ) -> dict[str, int | None]:
        wanted = amounts.merged('limits', limits, more)
        self._known.check(wanted)
        for name, limit in wanted.items():
            if limit is not None:
                amounts.check_limit(name, limit)
        return wanted

    # -- usages, written ---------------------------------------------------

    def usage_refresh(
        self,
        context: Context,
        resources: Iterable[str] | None = None,
        *,
        project_id: str,
        user_id: str | None = None,
    ) -> frozenset[str]:
        """Count usages anew, now.

        :param resources: names; None for all that are reservable.
        :param user_id: None for the total and all users of the project: the
            cells are asked once for the total and once for each of them.
        :returns: the resources of which a count was not stored, as something
            was reserved meanwhile; the next reservation counts those.
        :raises CountIncomplete: if a cell did not answer; nothing was stored.
        """
        project_id, user_id = subject.checked(project_id, user_id)
        names = self._reservable(resources)
        if not names:
            return frozenset()
        return self._driver.refresh(
            context,
            names,
            project_id=project_id,
            user_id=user_id,
            count=counting.Counter(self._known.live, context, project_id),
            per_project=self._known.per_project(names),
        )

    def usage_reset(
        self,
        context: Context,
        resources: Iterable[str] | None = None,
        *,
        project_id: str,
        user_id: str | None = None,
    ) -> None:
        """Have the next reservation count usages anew.

        :param resources: names; None for all that are reservable.
        :param user_id: None for the total and all users of the project.
        """
        project_id, user_id = subject.checked(project_id, user_id)
        names = self._reservable(resources)
        if names:
            self._driver.reset(
                context, names, project_id=project_id, user_id=user_id
            )

    def _reservable(self, names: Iterable[str] | None) -> list[str]:
        if names is None:
            return self._known.of_kind(RESERVABLE)
        if isinstance(names, str):
            names = [names]
        return self._known.check(dict.fromkeys(names), RESERVABLE)
