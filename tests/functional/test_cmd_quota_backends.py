"""``cellplug-manage quota`` on MariaDB and PostgreSQL."""

from __future__ import annotations

import concurrent.futures
from typing import Any

import sqlalchemy as sa

from tests.unit import test_cmd_quota

MAX = test_cmd_quota.MAX


class QuotaMixin:
    """What depends on the database: ranges, names, types, two at once."""

    def test_a_quota_from_its_first_limit_to_its_last(self: Any) -> None:
        demo = ['--project', 'demo']
        self.quota('class-set', 'default', 'instances=7')
        self.quota('class-set', 'gold', 'instances=70')
        self.quota('set', *demo, 'instances=5', f'cores={MAX}')
        self.quota('set', *demo, '--user', 'alice', 'instances=3')
        self.service.use('demo', 'alice', instances=2, cores=8)
        held = self.service.reserve('demo', 'bob', instances=1)
        shown = self.by_resource('show', *demo, '--user', 'alice')
        self.assertEqual(
            {
                'limit': 3, 'source': 'user', 'in_use': 2, 'reserved': 0,
                'free': 1, 'kind': 'reservable',
            },
            shown['instances'],
        )  # fmt: skip
        self.assertEqual(MAX - 8, shown['cores']['free'])
        (row,) = self.quota('reservations', *demo)
        self.assertEqual(held, row['handle'])
        usage = self.by_resource('usage', *demo)
        self.assertIs(False, usage['instances']['refresh_due'])
        self.assertRefusedUnwritten(
            'set', *demo, 'instances=2', words=('at least 3',)
        )
        rows = self.quota('unset', *demo, 'instances', '--class', 'gold')
        self.assertEqual([70], [row['new'] for row in rows])
        self.quota('unset', *demo, '--user', 'alice', 'instances')
        self.quota('class-unset', 'default', 'instances')
        self.assertEqual(
            {'cores': MAX}, self.limits('show', *demo, '--user', 'alice')
        )

    def test_a_refresh_finds_the_truth_in_all_cells(self: Any) -> None:
        self.service.use('demo', 'alice', instances=1, cores=1)
        row = {'project_id': 'demo', 'user_id': 'bob', 'cores': 8}
        self.service.create('cell1', row)
        self.service.create('cell2', row, row)
        argv = ['refresh', '--project', 'demo', '--user', 'alice']
        tried = self.assertUnwritten(*argv)
        self.assertEqual(
            [('cores', None, 1, 24), ('cores', 'alice', 1, 0),
             ('instances', None, 1, 3), ('instances', 'alice', 1, 0),
             ('networks', None, None, 0)],
            [tuple(row.values())[:4] for row in tried],
        )  # fmt: skip
        self.assertEqual(tried, self.quota(*argv))

    def test_what_is_refused_writes_nothing(self: Any) -> None:
        self.service.use('demo', 'alice', instances=2)
        for argv in (
            ['set', '--project', 'demo', 'cores=9', f'instances={MAX + 1}'],
            ['set', '--project', 'demo', 'cores=9', 'instances=1'],
            ['set', '--project', 'demo', 'cores=9', 'rams=1'],
            ['class-set', 'gold', 'cores=9', f'instances={MAX + 1}'],
            ['class-set', 'gold', 'cores=9', 'rams=1'],
        ):
            self.assertRefusedUnwritten(*argv)
            self.assertRefusedUnwritten(*argv, '--dry-run')
        for argv in (
            ['set', '--project', 'demo', '--force', 'cores=9', 'instances=1'],
            ['class-set', 'gold', 'cores=9'],
            ['reset', '--project', 'demo'],
            ['expire'],
        ):
            self.assertUnwritten(*argv)

    def test_names_match_exactly(self: Any) -> None:
        self.quota('set', '--project', 'demo', 'cores=1')
        self.quota('class-set', 'gold', 'cores=1')
        for name in ('Demo', 'demo ', 'démo'):
            self.assertRefusedUnwritten(
                'unset', '--project', name, 'cores', words=('is unknown',)
            )
        for name in ('Gold', 'gold ', 'göld'):
            self.assertRefusedUnwritten('class-show', name)
            self.assertRefusedUnwritten('class-unset', name, 'cores')
        self.quota('set', '--project', 'Demo', 'cores=2')
        limits = self.limits('show', '--project', 'demo')
        self.assertEqual({'cores': 1}, limits)

    def test_an_expiry_ends_each_reservation_once(self: Any) -> None:
        for _ in range(6):
            self.service.reserve('demo', 'alice', expire=60, ago=120, cores=1)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            runs = [
                pool.submit(self.run_command, 'quota', 'expire')
                for _ in range(4)
            ]
            for run in runs:
                self.assertEqual(0, run.result().code, run.result())
        usage = self.by_resource('usage', '--project', 'demo')
        self.assertEqual(
            {'in_use': 0, 'reserved': 0, 'used': 0, 'refresh_due': True},
            usage['cores'],
        )
        self.assertEqual([], self.quota('reservations'))

    def test_a_count_without_a_cell_is_refused(self: Any) -> None:
        self.service.use('demo', 'alice', instances=1)
        engine = sa.create_engine(self.service.cell2)
        with engine.begin() as connection:
            connection.execute(sa.text('DROP TABLE instances'))
        engine.dispose()
        for more in ([], ['--dry-run']):
            self.assertRefusedUnwritten(
                'refresh', '--project', 'demo', *more, words=('cell2',)
            )


class MariaDBTest(QuotaMixin, test_cmd_quota.QuotaTestCase):
    backend = 'mariadb'


class PostgreSQLTest(QuotaMixin, test_cmd_quota.QuotaTestCase):
    backend = 'postgresql'
