"""``cellplug-manage driver show``: what a driver says of itself."""

from __future__ import annotations

import enum
import textwrap

from oslo_config import cfg

from cellplug import interfaces
from cellplug import loader
from cellplug.cmd import driver
from cellplug.cmd import driver_show
from cellplug.cmd import prose
from tests.unit import test_cmd_base
from tests.unit import test_loader

SOURCE = '''
from oslo_config import cfg
from cellplug import interfaces


class Mine(interfaces.TransportCache):
    """Lends transports from the moon.

    *Needs* a rocket.
    """

    api_version = 1
    capabilities = frozenset({interfaces.TransportCacheCapability.KEEPS})

    @classmethod
    def options(cls):
        return [
            cfg.IntOpt('size', default=5, min=1, max=9, help='How\\n  many.'),
            cfg.StrOpt('phase', choices=['new', 'full'], help='Which moon.'),
            cfg.StrOpt('password', secret=True, default='canary', help='P.'),
            cfg.HostAddressOpt('base', required=True, help='Where.'),
        ]

    def __init__(self, options, host): raise RuntimeError('built')
    def use(self, url): ...
    def retire(self, url): ...
    def close(self): ...
'''


class DriverShowTest(test_cmd_base.CommandTestCase):
    synced = False

    def install(self, source: str = SOURCE, name: str = 'moon') -> None:
        self.useFixture(
            test_loader.DistributionFixture(
                'lunar',
                f'[cellplug.transport_cache]\n{name} = MODULE:Mine\n',
                source,
            )
        )

    def test_it_shows_what_the_class_says(self) -> None:
        self.install()
        shown = self.run_command.json(
            'driver', 'show', 'transport_cache', 'moon'
        )
        self.assertEqual('lunar 1.5', shown['origin'])
        self.assertEqual('cellplug.transport_cache', shown['namespace'])
        self.assertRegex(shown['class'], r'\Aoutside_\w+:Mine\Z')
        self.assertEqual(1, shown['api_version'])
        self.assertIs(False, shown['in_use'])
        self.assertEqual(
            'Lends transports from the moon.\n\n*Needs* a rocket.',
            shown['manual'],
        )

    def test_a_capability_comes_with_its_meaning(self) -> None:
        self.install()
        shown = self.run_command.json(
            'driver', 'show', 'transport_cache', 'moon'
        )
        self.assertEqual(
            [
                {
                    'name': 'KEEPS',
                    'meaning': 'A transport outlives the message it was '
                    'opened for.',
                }
            ],
            shown['capabilities'],
        )

    def test_every_capability_of_every_interface_has_a_meaning(self) -> None:
        for kind in (
            interfaces.ResolverCapability,
            interfaces.QuotaCapability,
            interfaces.TransportCacheCapability,
        ):
            meanings = driver_show.meanings(kind)
            self.assertEqual([one.name for one in kind], list(meanings))

    def test_members_without_docstrings_have_no_meaning(self) -> None:
        class Kind(enum.Enum):
            SILENT = 1
            SPOKEN = 2
            """Says :meth:`so`."""

        self.assertEqual({'SPOKEN': 'Says so.'}, driver_show.meanings(Kind))
        # Of a class made at run time there is no source at all.
        made = enum.Enum('made', ['A'])  # type: ignore[misc]
        self.assertEqual({}, driver_show.meanings(made))

    def test_options_come_with_all_that_an_operator_needs(self) -> None:
        self.install()
        shown = self.run_command.json(
            'driver', 'show', 'transport_cache', 'moon'
        )
        self.assertEqual('transport_cache_moon', shown['option_group'])
        options = {one.pop('name'): one for one in shown['options']}
        self.assertEqual(
            {
                'type': 'integer',
                'default': 5,
                'required': False,
                'secret': False,
                'choices': None,
                'min': 1,
                'max': 9,
                'help': 'How many.',
            },
            options['size'],
        )
        self.assertEqual(['new', 'full'], options['phase']['choices'])
        self.assertIs(True, options['base']['required'])

    def test_a_secret_default_is_not_shown(self) -> None:
        self.install()
        for form in ('json', 'table', 'yaml', 'value', 'shell'):
            result = self.run_command(
                'driver', 'show', 'transport_cache', 'moon', '-f', form
            )
            self.assertEqual(0, result.code, result)
            self.assertNotIn('canary', result.everything)
            self.assertIn('***', result.out)

    def test_people_get_paragraphs(self) -> None:
        self.install()
        result = self.run_command('driver', 'show', 'transport_cache', 'moon')
        for line in (
            'KEEPS',
            'size (integer, at least 1, at most 9, default: 5)',
            'phase (string, one of new, full, unset by default)',
            'base (host address, required)',
            'Which moon.',
        ):
            self.assertIn(line, result.out)

    def test_the_manual_is_wrapped_once(self) -> None:
        out = self.run_command(
            'driver', 'show', 'resolver', 'static', '--max-width', '80'
        ).out
        self.assertEqual({80}, {len(line) for line in out.splitlines()})
        rows = [line[17:-2].rstrip() for line in out.splitlines()]
        # Example lines stand alone, in the manual and in the help.
        self.assertIn('    driver = static', rows)
        start = next(
            n for n, row in enumerate(rows) if row.startswith('*When it is')
        )
        self.assertGreater(len(rows[start + 1]), 40)
        self.assertTrue(
            any(row.startswith('    state = enabled') for row in rows), out
        )

    def test_an_empty_secret_is_no_default(self) -> None:
        shown = driver_show.described(
            cfg.ListOpt('keys', secret=True, default=[], help='K.')
        )
        self.assertIsNone(shown['default'])

    def test_help_keeps_the_lines_of_an_example(self) -> None:
        for text in ('Pairs, e.g.:\n\n  a = 1\n  b = 2', 'P:\n  a\n  b\nQ'):
            option = cfg.StrOpt('x', help=text)
            self.assertEqual(text, driver_show.described(option)['help'])

    def test_lists_are_kept_and_paragraphs_are_not(self) -> None:
        self.assertEqual(
            'One two\n\n- a b\n- c\n\n    x\n    y',
            prose.unwrapped('One\ntwo\n\n- a\n  b\n- c\n\n    x\n    y'),
        )

    def test_a_title_is_no_paragraph(self) -> None:
        text = 'Title\n=====\n\n.. note::\n\n   Mind.'
        self.assertEqual(text, prose.fitted(text, 72))

    def test_the_driver_in_use_is_said_to_be(self) -> None:
        shown = self.run_command.json('driver', 'show', 'resolver', 'database')
        self.assertIs(True, shown['in_use'])
        self.assertIsNone(shown['option_group'])

    def test_one_that_does_not_load_is_one_line(self) -> None:
        self.install(textwrap.dedent('import no_such_rocket\n'))
        self.assertRefused(
            self.run_command('driver', 'show', 'transport_cache', 'moon'),
            "transport_cache driver 'moon'",
            'lunar 1.5',
            'no_such_rocket',
        )

    def test_an_unknown_one_is_one_line_that_names_the_others(self) -> None:
        self.assertRefused(
            self.run_command('driver', 'show', 'resolver', 'databse'),
            'installed are: database',
        )

    def test_an_unknown_interface_is_wrong_usage(self) -> None:
        result = self.run_command('driver', 'show', 'resolvers', 'database')
        self.assertEqual(2, result.code)
        self.assertIn("choose from 'resolver'", result.err)

    def test_the_interfaces_are_those_of_the_loader(self) -> None:
        self.assertEqual(set(driver.INTERFACES), set(loader.INTERFACES))
