"""What the suites have in common: how one is bound, and how it asserts."""

from __future__ import annotations

import logging
import unittest
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import ClassVar
from typing import TYPE_CHECKING
from typing import TypeVar

from oslo_config import cfg

from cellplug import exception
from cellplug.testing.conformance import finding
from cellplug.testing.conformance import harnesses
from cellplug.testing.conformance import hosts

AREAS = (
    'behaviour',
    'capabilities',
    'threads',
    'fork',
    'failure',
    'secrets',
    'options',
    'life',
)
"""What a suite looks at."""

DOES_NOT_APPLY = 'does not apply: '
"""How the reason begins for not checking what a driver does not promise."""

CANARY = 'pa55w0rd-canary'
"""The password in every URL of a suite; nobody may ever show it."""

FunctionT = TypeVar('FunctionT', bound=Callable[..., Any])

if TYPE_CHECKING:
    TestCase = unittest.TestCase
else:
    # A mixin: where a suite is imported, it is no test.
    TestCase = object


def area(name: str) -> Callable[[FunctionT], FunctionT]:
    """Say which of :data:`AREAS` a check belongs to."""
    if name not in AREAS:
        raise ValueError(f'no area is called {name!r}')

    def mark(function: FunctionT) -> FunctionT:
        function.conformance_area = name  # type: ignore[attr-defined]
        return function

    return mark


def area_of(test: object, method: str) -> str:
    """The area of a check, ``behaviour`` if none was said."""
    function = getattr(type(test), method, None)
    found: str = getattr(function, 'conformance_area', 'behaviour')
    return found


class Suite(TestCase):
    """The root of the suites.

    :cvar driver: the name of an installed driver, or a class. The options of
        a class stand in ``[<interface>_conformance]``.
    :cvar options: values for the driver's own group.
    :cvar harness: makes the harness: a class, or a function without
        arguments. By default that of the driver's name, see
        :func:`.finding.find_harness`.
    :cvar conf: a parsed configuration to take the driver's options from.

    :ivar source: the harness of this check, started.
    :ivar host: what the driver was built with.
    :ivar subject: the driver.
    """

    interface: ClassVar[str]
    driver: ClassVar[str | type[Any]]
    options: ClassVar[Mapping[str, Any]] = {}
    harness: ClassVar[Callable[[], harnesses.Harness] | None] = None
    conf: ClassVar[cfg.ConfigOpts | None] = None

    source: Any
    host: hosts.SuiteHost
    subject: Any

    def setUp(self) -> None:
        super().setUp()
        self.log = Log()
        self.log.start()
        self.addCleanup(self.log.stop)
        make = type(self).harness or self._default_harness()
        self.source = make()
        self.addCleanup(self.source.stop)
        self.source.start()
        self.host = self.make_host()
        self.subject = self.host.build(self.interface, self.driver)

    def _default_harness(self) -> Callable[[], harnesses.Harness]:
        name = self.driver if isinstance(self.driver, str) else hosts.UNNAMED
        return finding.find_harness(self.interface, name)

    def make_host(self) -> hosts.SuiteHost:
        """A host on the harness, with no driver built yet."""
        conf = hosts.configure(
            self.interface, self.driver, self.source, self.conf, self.options
        )
        host = hosts.SuiteHost(conf, self.source)
        self.addCleanup(host.close)
        return host

    def can(self, capability: Any) -> bool:
        """Whether the driver declares the capability."""
        return capability in self.subject.capabilities

    # -- what is not checked -----------------------------------------------

    def not_applicable(self, why: str) -> None:
        """End the check: the driver does not promise what it looks at."""
        raise unittest.SkipTest(DOES_NOT_APPLY + why)

    def ask(self, request: Callable[..., Any], *args: Any) -> Any:
        """Call the harness; what it does not support ends the check."""
        try:
            return request(*args)
        except exception.NotSupported as exc:
            raise unittest.SkipTest(str(exc)) from exc

    # -- assertions --------------------------------------------------------

    def refused(
        self,
        kinds: type[BaseException] | tuple[type[BaseException], ...],
        function: Callable[..., Any],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """What the call raised, which has to be of these kinds.

        :returns: the exception.
        """
        name = getattr(function, '__name__', 'it')
        try:
            answer = function(*args, **kwargs)
        except kinds as exc:
            return exc
        except Exception as exc:
            raise self.failureException(
                f'{name} raised {describe(exc)} instead of {_names(kinds)}'
            ) from exc
        raise self.failureException(
            f'{name} answered {answer!r} instead of raising {_names(kinds)}'
        )

    def hide_check(self, where: str, text: str) -> None:
        """Assert that the text shows no password."""
        for secret in self.secrets():
            if secret in text:
                self.fail(f'{where} shows a password')

    def secrets(self) -> list[str]:
        """What may never be shown."""
        return [CANARY, *self.host.secrets(self.interface, self.driver)]


def describe(error: BaseException) -> str:
    """An exception as one line."""
    return ' '.join(f'{type(error).__name__}: {error}'.split())


def _names(kinds: Any) -> str:
    many = kinds if isinstance(kinds, tuple) else (kinds,)
    return ' or '.join(one.__name__ for one in many)


class Log(logging.Handler):
    """Everything that is logged while a check runs, at every level."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter('%(name)s %(message)s'))
        self._lines: list[str] = []
        self._level = logging.NOTSET

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))

    def start(self) -> None:
        """Listen at the root."""
        root = logging.getLogger()
        self._level = root.level
        root.setLevel(logging.DEBUG)
        root.addHandler(self)

    def stop(self) -> None:
        """Leave the root as it was."""
        root = logging.getLogger()
        root.removeHandler(self)
        root.setLevel(self._level)

    def text(self) -> str:
        """All lines, tracebacks included."""
        return '\n'.join(self._lines)


__all__ = [
    'AREAS',
    'CANARY',
    'DOES_NOT_APPLY',
    'Log',
    'Suite',
    'area',
    'area_of',
    'describe',
]
