"""The ``memcached`` resolver without what it needs."""

from __future__ import annotations

import importlib.util
import logging
import pathlib
import sys

import fixtures
import testtools
from oslo_config import cfg

from cellplug import exception
from cellplug import loader
from cellplug_drivers.resolver.memcached import notices

PACKAGE = 'cellplug_drivers.resolver.memcached'


class LoadingTest(testtools.TestCase):
    def test_without_the_extra_it_says_what_to_install(self):
        find = importlib.util.find_spec
        for missing in ('pymemcache', 'cryptography'):
            for name in list(sys.modules):
                if name.startswith(PACKAGE):
                    self.addCleanup(
                        sys.modules.__setitem__, name, sys.modules.pop(name)
                    )
            with fixtures.MonkeyPatch(
                'importlib.util.find_spec',
                lambda name, m=missing, *args: (
                    None if name == m else find(name, *args)
                ),
            ):
                error = self.assertRaises(
                    exception.DriverLoadError,
                    loader.load_class,
                    'resolver',
                    'memcached',
                )
            self.assertIn("pip install 'cellplug[memcached]'", str(error))
            self.assertNotIn('\n', str(error))

    def test_what_it_would_refuse_is_found_before_it_starts(self):
        check = loader.load_class('resolver', 'memcached').check_config
        good = 'encryption_keys = ' + '5d' * 32
        self.assertEqual([], check(self.parsed(good)))
        found = check(self.parsed('servers = h:x\nprefix = a b'))
        self.assertEqual(3, len(found))
        for line, named in zip(
            found, ('servers', 'prefix', 'encryption_keys'), strict=True
        ):
            self.assertIn(f'[resolver_memcached] {named}', line)

    def parsed(self, lines: str) -> cfg.ConfigOpts:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        path = folder / 'cellplug.conf'
        path.write_text(f'[resolver_memcached]\n{lines}\n')
        conf = cfg.ConfigOpts()
        conf([], default_config_files=[str(path)])
        return conf

    def test_its_options_say_what_to_do(self):
        options = {
            option.name: option
            for option in loader.load_options('resolver', 'memcached')
        }
        self.assertTrue(options['encryption_keys'].secret)
        self.assertIn('openssl rand', options['encryption_keys'].help)
        for option in options.values():
            self.assertGreater(len(option.help), 40, option.name)
        for name in ('timeout', 'connect_timeout'):
            self.assertLess(options[name].default, 0.5)


class NoticesTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.log = self.useFixture(
            fixtures.FakeLogger(notices.LOG.name, level=logging.INFO)
        )
        self.told = notices.Notices()

    def said(self) -> list[str]:
        lines = self.log.output.splitlines()
        self.log.reset_output()
        return lines

    def test_trouble_is_told_once_and_its_end_once(self):
        for _ in range(3):
            self.told.trouble('a', 'a is down')
        self.told.trouble('b', 'b is down')
        for _ in range(2):
            self.told.over('a', 'a is up')
        self.assertEqual(['a is down', 'b is down', 'a is up'], self.said())

    def test_when_it_soon_begins_again_neither_is_told(self):
        for _ in range(3):
            self.told.trouble('a', 'a is down')
            self.told.over('a', 'a is up')
        self.assertEqual(['a is down', 'a is up'], self.said())

    def test_when_it_begins_again_later_both_are(self):
        self.told._announced['a'] = -1e9
        for _ in range(2):
            self.told.trouble('a', 'a is down')
            self.told.over('a', 'a is up')
            self.told._announced['a'] -= notices.QUIET
        self.assertEqual(['a is down', 'a is up'] * 2, self.said())

    def test_what_has_no_end_is_told_now_and_then(self):
        for _ in range(3):
            self.told.note('a', 'garbage')
        self.told._announced['a'] -= notices.LONG_QUIET
        self.told.note('a', 'garbage')
        self.assertEqual(['garbage'] * 2, self.said())
