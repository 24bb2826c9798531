"""What the lab takes over from a configuration file, and what it leaves."""

from __future__ import annotations

import pathlib

import fixtures
import testtools
from oslo_config import cfg

from cellplug.lab import choosing
from cellplug.lab import deployment
from cellplug.lab import directory
from cellplug.lab import errors


class ChoosingTestCase(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def write(self, name: str, *lines: str) -> str:
        path = self.folder / name
        path.write_text('\n'.join(lines) + '\n')
        return str(path)


class TestChosen(ChoosingTestCase):
    def test_drivers_and_how_connections_behave(self) -> None:
        path = self.write(
            'a.conf',
            *('[resolver]', 'driver = mine', '[resolver_mine]', 'x = 1'),
            *('[Transport_Cache]', 'driver = lru', '[rpc]', 'y = 2'),
            *('[cell_database]', 'max_pool_size = 3'),
        )
        self.assertEqual(
            {
                'resolver': {'driver': ['mine']},
                'resolver_mine': {'x': ['1']},
                'transport_cache': {'driver': ['lru']},
                'rpc': {'y': ['2']},
                'cell_database': {'max_pool_size': ['3']},
            },
            choosing.chosen([path], []),
        )

    def test_no_database_no_queue_and_no_cell(self) -> None:
        path = self.write(
            'a.conf',
            *('[DEFAULT]', 'transport_url = rabbit://h/'),
            *('[database]', 'connection = sqlite:////x'),
            *('[api_database]', 'connection = sqlite:////y'),
            *('slave_connection = sqlite:////z', 'max_overflow = 2'),
            *('[resolver_static]', 'cells = east', 'instances = database'),
            *('[cell_east]', 'database_connection = sqlite:////w'),
            *('[my_service]', 'resolver = 1'),
        )
        self.assertEqual(
            {
                'api_database': {'max_overflow': ['2']},
                'resolver_static': {'instances': ['database']},
            },
            choosing.chosen([path], []),
        )

    def test_later_files_win_option_by_option(self) -> None:
        first = self.write('a.conf', '[rpc]', 'x = 1', 'y = 1')
        self.write('b.conf', '[rpc]', 'y = 2')
        self.write('b.txt', '[rpc]', 'y = 3')
        self.assertEqual(
            {'rpc': {'x': ['1'], 'y': ['2']}},
            choosing.chosen([first], [str(self.folder)]),
        )

    def test_what_is_not_there_is_wrong_usage(self) -> None:
        for files, folders in ((['/no/such'], []), ([], ['/no/such'])):
            refusal = self.assertRaises(
                errors.LabUsageError, choosing.chosen, files, folders
            )
            self.assertIn('/no/such', str(refusal))


class TestWritten(ChoosingTestCase):
    """What was taken over is read again as it was meant."""

    def test_texts_are_kept_and_the_labs_own_values_win(self) -> None:
        path = self.write(
            'a.conf',
            *('[resolver_mine]', 'plain = $$5', 'other = ${plain}!'),
            *('many = 1', 'many = 2', 'long = one', '  two'),
            *('[rpc]', 'call_timeout = 3', 'connect_timeout = 4'),
        )
        with directory.opened(str(self.folder / 'lab')) as lab:
            written = lab.write_conf(
                'x.conf',
                {'rpc': {'call_timeout': '20'}},
                choosing.chosen([path], []),
            )
        conf = deployment.read_conf(written)
        conf.register_opts(
            [
                cfg.StrOpt('plain'),
                cfg.StrOpt('other'),
                cfg.MultiStrOpt('many'),
                cfg.StrOpt('long'),
            ],
            'resolver_mine',
        )
        mine = conf.resolver_mine
        self.assertEqual(
            ('$5', ['1', '2'], 'one\ntwo'), (mine.plain, mine.many, mine.long)
        )
        self.assertEqual(
            (20.0, 4.0), (conf.rpc.call_timeout, conf.rpc.connect_timeout)
        )
