"""What every driver is held to, whatever its interface."""

from __future__ import annotations

import inspect
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from typing import ClassVar
from unittest import mock

from oslo_config import cfg

from cellplug import exception
from cellplug import loader
from cellplug.interfaces import base as interfaces_base
from cellplug.testing.conformance import base
from cellplug.testing.conformance import doing
from cellplug.testing.conformance import hosts

_SECRET = re.compile(
    r'(\A|_)(password|passwd|passphrase|secret|token|key)s?\Z|password|secret'
)
_FEWEST_WORDS = 4


class DriverChecks(base.Suite):
    """The checks that all interfaces share."""

    capability_enum: ClassVar[type[Any]]

    def exercise(self, driver: Any) -> None:
        """Use the driver once, in the ordinary way."""
        raise NotImplementedError

    @property
    def _class(self) -> type[Any]:
        return hosts.driver_class(self.interface, self.driver)

    # -- what it says of itself --------------------------------------------

    @base.area('capabilities')
    def test_it_fills_the_interface(self) -> None:
        wanted = loader.INTERFACES[self.interface]
        self.assertTrue(
            issubclass(self._class, wanted),
            f'{self._class.__name__} is no subclass of {wanted.__name__}',
        )
        self.assertEqual(
            [], sorted(getattr(self._class, '__abstractmethods__', ()))
        )

    @base.area('capabilities')
    def test_api_version_is_one_that_runs_here(self) -> None:
        version = self._class.api_version
        self.assertIs(int, type(version), 'api_version is an int')
        self.assertIn(
            version,
            range(
                interfaces_base.OLDEST_API_VERSION,
                interfaces_base.API_VERSION + 1,
            ),
        )

    @base.area('capabilities')
    def test_capabilities_are_members_of_the_enum(self) -> None:
        for declared in (self._class.capabilities, self.subject.capabilities):
            self.assertIsInstance(declared, frozenset)
            for one in declared:
                self.assertIsInstance(one, self.capability_enum)

    @base.area('capabilities')
    def test_the_class_declares_all_that_an_instance_can(self) -> None:
        more = self.subject.capabilities - self._class.capabilities
        self.assertEqual(set(), set(more), 'declared by the instance alone')

    # -- options -----------------------------------------------------------

    def _options(self) -> list[cfg.Opt]:
        return list(self._class.options())

    @base.area('options')
    def test_options_have_help(self) -> None:
        for opt in self._options():
            self.assertTrue(
                len((opt.help or '').split()) >= _FEWEST_WORDS,
                f'the help of {opt.name} is no sentence: {opt.help!r}',
            )

    @base.area('options')
    def test_options_have_a_default_or_are_required(self) -> None:
        for opt in self._options():
            settled = opt.required or opt.default is not None
            # None may be the best default, where the help says what it does.
            told = 'unset' in (opt.help or '').lower()
            self.assertTrue(
                settled or told,
                f'{opt.name} has no default, is not required, and its help '
                'does not say what happens where it is unset',
            )

    @base.area('options')
    def test_options_can_be_registered_twice(self) -> None:
        conf = cfg.ConfigOpts()
        conf.register_opts(self._options(), 'group')
        try:
            conf.register_opts(self._options(), 'group')
        except cfg.DuplicateOptError as exc:
            self.fail(f'options() differs from call to call: {exc}')

    @base.area('options')
    def test_options_with_secrets_say_so(self) -> None:
        for opt in self._options():
            if _SECRET.search(opt.dest):
                self.assertTrue(opt.secret, f'{opt.name} lacks secret=True')

    # -- secrets -----------------------------------------------------------

    @base.area('secrets')
    def test_repr_shows_no_secret(self) -> None:
        self.exercise(self.subject)
        self.hide_check('repr()', repr(self.subject))
        self.hide_check('str()', str(self.subject))

    @base.area('secrets')
    def test_logs_show_no_secret(self) -> None:
        self.exercise(self.subject)
        self.subject.close()
        self.hide_check('the log', self.log.text())

    # -- life --------------------------------------------------------------

    @base.area('life')
    def test_the_constructor_connects_to_nothing(self) -> None:
        host = self.make_host()
        with _no_connections() as tried:
            doing.bounded(host.build, self.interface, self.driver)
        self.assertEqual([], tried, 'connected to')

    @base.area('life')
    def test_close_is_idempotent(self) -> None:
        self.exercise(self.subject)
        for _ in range(3):
            doing.bounded(self.subject.close)

    @base.area('life')
    def test_close_works_on_a_driver_that_was_never_used(self) -> None:
        doing.bounded(self.subject.close)

    @base.area('life')
    def test_after_close_it_refuses_or_does_no_harm(self) -> None:
        self.exercise(self.subject)
        before = _Left()
        self.subject.close()
        try:
            doing.bounded(self.exercise, self.subject)
        except exception.CellplugError:
            pass
        except doing.Failed:
            raise
        except AssertionError as exc:
            self.fail(f'wrong after close: {exc}')
        except Exception as exc:
            raise self.failureException(
                f'raised {base.describe(exc)}, which is no CellplugError'
            ) from exc
        before.check(self)

    @base.area('life')
    def test_close_leaves_no_thread_and_no_socket(self) -> None:
        # Once over, so that what the source keeps is there already.
        self.exercise(self.subject)
        self.subject.close()
        before = _Left()
        host = self.make_host()
        driver = host.build(self.interface, self.driver)
        self.exercise(driver)
        driver.close()
        host.close()
        before.check(self)

    @base.area('life')
    def test_reload_changes_nothing_by_itself(self) -> None:
        self.exercise(self.subject)
        doing.bounded(self.subject.reload)
        self.exercise(self.subject)

    @base.area('life')
    def test_it_takes_no_arguments_but_options_and_host(self) -> None:
        signature = inspect.signature(self._class)
        try:
            signature.bind(None, self.host)
        except TypeError as exc:
            self.fail(f'cannot be built as Driver(options, host): {exc}')


class _Left:
    """The threads and sockets of this process, to be compared later."""

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._sockets = _sockets()

    def check(self, test: Any) -> None:
        """Assert that there are none more now, or in a moment."""

        def same() -> None:
            more = set(threading.enumerate()) - self._threads
            names = sorted(one.name for one in more if one.is_alive())
            test.assertEqual([], names, 'threads left behind')
            sockets = _sockets() - self._sockets
            test.assertEqual(0, len(sockets), 'sockets left behind')

        doing.eventually(same, 5)


def _sockets() -> set[str]:
    """The sockets that this process has open; none where nobody says so."""
    found = set()
    folder = '/proc/self/fd'
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        try:
            target = os.readlink(f'{folder}/{name}')
        except OSError:  # the folder itself was open while it was listed
            continue
        if target.startswith('socket:'):
            found.add(target)
    return found


@contextmanager
def _no_connections() -> Iterator[list[str]]:
    """Refuse every connection, and list where they would have gone."""
    tried: list[str] = []

    def refuse(own: socket.socket, address: object) -> None:
        tried.append(str(address))
        raise ConnectionRefusedError('a constructor contacts nothing')

    with mock.patch.multiple(socket.socket, connect=refuse, connect_ex=refuse):
        yield tried
