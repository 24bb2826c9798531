"""The resources that a process knows, by name."""

from __future__ import annotations

import reprlib
import types
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from oslo_config import cfg

from cellplug import exception
from cellplug.objects import identifiers
from cellplug.quota import amounts
from cellplug.quota import resources

Kind = type[resources.Resource]

_WANTED: Mapping[Kind, str] = types.MappingProxyType(
    {
        resources.ReservableResource: 'reservable',
        resources.AbsoluteResource: 'absolute',
        resources.CountableResource: 'countable',
    }
)


class Registry:
    """Registered once, looked up by any number of threads.

    :ivar live: every resource by name, also those to come.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._known: dict[str, resources.Resource] = {}
        self._origins: dict[str, str] = {}
        self.live: Mapping[str, resources.Resource]
        self.live = types.MappingProxyType(self._known)

    @property
    def all(self) -> Mapping[str, resources.Resource]:
        """Every resource by name, in the order of the names."""
        return types.MappingProxyType(dict(sorted(self._known.items())))

    def add(
        self, several: Iterable[resources.Resource], origin: str = ''
    ) -> None:
        """Register all of them, or none if one cannot be.

        An equal one that is registered already is left alone.

        :param origin: the entry point that offers them; '' if it is none.
        :raises InvalidInput: for what is no resource, or if another one has
            the name.
        """
        added = list(several)
        new: dict[str, resources.Resource] = {}
        for one in added:
            if not isinstance(one, tuple(_WANTED)):
                raise exception.InvalidInput(
                    'resource',
                    f'{type(one).__name__} is neither a ReservableResource '
                    'nor an AbsoluteResource nor a CountableResource',
                )
            known = self._known.get(one.name, one)
            if new.setdefault(one.name, known) != one:
                raise self._clash(one.name, origin)
        for name, one in new.items():
            if self._known.setdefault(name, one) is one and origin:
                self._origins.setdefault(name, origin)

    def _clash(self, name: str, origin: str) -> exception.InvalidInput:
        why = f'another one called {name} is registered already'
        first = self._origins.get(name)
        if first is not None:
            why += f', by {first}'
            if origin not in ('', first):
                why += '; name those to be used in [quota] resource_plugins'
        return exception.InvalidInput('resource', why)

    def of_kind(self, *kinds: Kind) -> list[str]:
        """The names of all resources of these kinds, sorted."""
        return [n for n, r in self.all.items() if isinstance(r, kinds)]

    def check(self, names: Iterable[Any], *kinds: Kind) -> list[str]:
        """The names, sorted, if all are registered and of these kinds.

        :param kinds: none means any.
        :raises QuotaResourceUnknown: names all that are not registered.
        :raises QuotaResourceWrongKind: names all that are of other kinds.
        """
        wanted = list(names)
        unknown = [
            name
            for name in wanted
            if not isinstance(name, str) or name not in self._known
        ]
        if unknown:
            raise exception.QuotaResourceUnknown(map(_shown, unknown))
        if kinds:
            self.refuse(
                (n for n in wanted if not isinstance(self._known[n], kinds)),
                ' or '.join(_WANTED[kind] for kind in kinds),
            )
        return sorted(wanted)

    def refuse(self, names: Iterable[str], wanted: str) -> None:
        """Raise QuotaResourceWrongKind if there is a name at all."""
        wrong = list(names)
        if wrong:
            raise exception.QuotaResourceWrongKind(wrong, wanted)

    def per_project(self, names: Iterable[str]) -> frozenset[str]:
        """Those of the names in which users have nothing of their own."""
        return frozenset(
            n for n in names if resources.is_per_project(self._known[n])
        )

    def defaults(self, names: Iterable[str]) -> dict[str, int]:
        """The limit of each where none is set, as configured now.

        :raises ConfigurationError: if an option cannot be read as a limit.
        """
        return {name: self._default(self._known[name]) for name in names}

    def _default(self, resource: resources.Resource) -> int:
        if resource.option is None:
            return resource.default
        group, name = resource.option
        where = f'[{group}] {name}, the default limit of {resource.name}'
        try:
            found = self._conf if group == 'DEFAULT' else self._conf[group]
            value = found[name]
        except cfg.NoSuchOptError:
            raise exception.ConfigurationError(
                f'{where}, is no registered option'
            ) from None
        except (cfg.Error, ValueError) as exc:
            raise exception.ConfigurationError(
                f'{where}, cannot be read: {exc}'
            ) from exc
        if value is None:
            return resource.default
        try:
            return amounts.check_limit(where, value)
        except exception.InvalidInput as exc:
            raise exception.ConfigurationError(str(exc)) from None


def _shown(name: Any) -> str:
    """A name that nobody registered, in one line."""
    if (
        isinstance(name, str)
        and name.isprintable()
        and 0 < len(name) <= identifiers.NAME_LENGTH
    ):
        return name
    return reprlib.repr(name)
