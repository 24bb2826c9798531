"""The ``memcached`` resolver without what it needs."""

from __future__ import annotations

import importlib.util
import sys

import fixtures
import testtools

from cellplug import exception
from cellplug import loader

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
