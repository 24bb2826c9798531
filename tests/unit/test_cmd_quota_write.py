"""Commands of ``quota`` that write: exactly that, or nothing."""

from __future__ import annotations

import pathlib

import cellplug
from tests.unit import test_cmd_quota

MAX = test_cmd_quota.MAX


class SetTest(test_cmd_quota.QuotaTestCase):
    def test_limits_of_a_project_are_set_and_removed(self) -> None:
        rows = self.quota('set', '--project', 'demo', 'instances=20',
                          'cores=unlimited')  # fmt: skip
        self.assertEqual(
            [
                {
                    'resource': 'cores', 'old': 20, 'old_source': 'default',
                    'new': -1, 'new_source': 'project',
                },
                {
                    'resource': 'instances', 'old': 10,
                    'old_source': 'default', 'new': 20,
                    'new_source': 'project',
                },
            ],
            rows,
        )  # fmt: skip
        limits = self.limits('show', '--project', 'demo')
        self.assertEqual({'cores': -1, 'instances': 20}, limits)
        self.quota('class-set', 'default', 'cores=30')
        rows = self.quota('unset', '--project', 'demo', 'instances', 'cores')
        self.assertEqual(
            [('cores', -1, 30, 'default class'),
             ('instances', 20, 10, 'default')],
            [(r['resource'], r['old'], r['new'], r['new_source'])
             for r in rows],
        )  # fmt: skip
        limits = self.limits('show', '--project', 'demo')
        self.assertEqual({'cores': 30}, limits)

    def test_limits_of_a_user_are_set_and_removed(self) -> None:
        user = ['--project', 'demo', '--user', 'alice']
        (row,) = self.quota('set', *user, 'instances=5')
        self.assertEqual(
            (10, 'default', 5, 'user'),
            (row['old'], row['old_source'], row['new'], row['new_source']),
        )
        self.assertEqual({'instances': 5}, self.limits('show', *user))
        self.assertEqual({}, self.limits('show', '--project', 'demo'))
        (row,) = self.quota('unset', *user, 'instances')
        self.assertEqual((5, 10), (row['old'], row['new']))
        self.assertEqual({}, self.limits('show', *user))

    def test_the_greatest_limit_can_be_set(self) -> None:
        set_ = ['set', '--project', 'demo']
        self.quota(*set_, f'cores=+0{MAX}', 'instances=0')
        limits = self.limits('show', '--project', 'demo')
        self.assertEqual({'cores': MAX, 'instances': 0}, limits)

    def test_a_limit_below_what_is_used_needs_force(self) -> None:
        self.service.use('demo', 'alice', instances=2)
        self.service.reserve('demo', 'alice', instances=1)
        for whose in ([], ['--user', 'alice']):
            argv = ['set', '--project', 'demo', *whose, 'cores=1',
                    'instances=2']  # fmt: skip
            for more in ([], ['--dry-run']):
                self.assertRefusedUnwritten(
                    *argv, *more,
                    words=(
                        'instances', 'at least 3: what is used', '--force',
                        'nothing was written',
                    ),
                )  # fmt: skip
            self.assertUnwritten(*argv, '--force')
            self.quota(*argv, '--force')
            show = ['show', '--project', 'demo', *whose]
            self.assertEqual({'cores': 1, 'instances': 2}, self.limits(*show))

    def test_a_user_gets_no_more_than_the_project_leaves(self) -> None:
        self.quota('set', '--project', 'demo', '--user', 'bob', 'instances=7')
        argv = ['set', '--project', 'demo', '--user', 'alice', 'instances=4']
        for more in ([], ['--dry-run']):
            self.assertRefusedUnwritten(
                *argv, *more, words=('instances', 'at most 3')
            )
        self.quota(*argv, '--force')
        # A class that leaves more.
        self.quota('class-set', 'gold', 'instances=100')
        self.quota(*argv[:-1], 'instances=90', '--class', 'gold')

    def test_what_a_project_promised_to_its_users_it_keeps(self) -> None:
        self.quota('set', '--project', 'demo', '--user', 'bob', 'instances=7')
        self.assertRefusedUnwritten(
            'set', '--project', 'demo', 'instances=6', words=('at least 7',)
        )

    def test_what_is_no_limit_is_refused(self) -> None:
        for argv in (
            ['set', '--project', 'demo'],
            ['class-set', 'gold'],
        ):
            for more in ([], ['--dry-run']):
                for limit in ('-2', str(MAX + 1), '9' * 5000, '-' + '9' * 30):
                    self.assertRefusedUnwritten(
                        *argv, *more, 'cores=1', f'instances={limit}',
                        words=('instances: a limit is at least 0', str(MAX)),
                    )  # fmt: skip
                for limit in ('ten', '', '1.5', '1_000', '٣', '0x10', 'None'):
                    self.assertRefusedUnwritten(
                        *argv, *more, 'cores=1', f'instances={limit}',
                        code=2, words=('instances: ', 'nor "unlimited"'),
                    )  # fmt: skip
                for word in ('instances', '=5', ''):
                    self.assertRefusedUnwritten(
                        *argv, *more, 'cores=1', word,
                        code=2, words=('is not RESOURCE=LIMIT',),
                    )  # fmt: skip
                self.assertRefusedUnwritten(
                    *argv, *more, 'cores=1', 'cores=2',
                    code=2, words=('cores is given two limits',),
                )  # fmt: skip

    def test_an_unknown_resource_is_refused_with_the_known_ones(self) -> None:
        for argv in (
            ['set', '--project', 'demo', 'cores=1', 'rams=1', 'disks=2'],
            ['unset', '--project', 'demo', 'cores', 'rams', 'disks'],
            ['class-set', 'gold', 'cores=1', 'rams=1', 'disks=2'],
            ['class-unset', 'gold', 'cores', 'rams', 'disks'],
            ['refresh', '--project', 'demo', 'cores', 'rams', 'disks'],
            ['reset', '--project', 'demo', 'cores', 'rams', 'disks'],
        ):
            for more in ([], ['--dry-run']):
                self.assertRefusedUnwritten(
                    *argv, *more,
                    words=(
                        'unknown resource: disks, rams;',
                        'registered are cores, file_size, instances, networks',
                        'nothing was written',
                    ),
                )  # fmt: skip

    def test_a_user_has_no_limit_where_users_have_nothing(self) -> None:
        for more in ([], ['--dry-run']):
            self.assertRefusedUnwritten(
                'set', '--project', 'demo', '--user', 'alice', 'networks=1',
                *more, words=('networks is not a resource of users',),
            )  # fmt: skip

    def test_bad_ids_are_refused(self) -> None:
        for bad in ('', 'x' * 256, 'a\nb'):
            for argv, name in (
                (['set', '--project', bad, 'cores=1'], '--project'),
                (['set', '--project', 'p', '--user', bad, 'cores=1'],
                 '--user'),
                (['set', '--project', 'p', '--class', bad, 'cores=1'],
                 '--class'),
                (['unset', '--project', bad, 'cores'], '--project'),
                (['show', '--project', bad], '--project'),
                (['usage', '--project', bad], '--project'),
                (['refresh', '--project', bad], '--project'),
                (['reset', '--project', bad], '--project'),
                (['reservations', '--project', bad], '--project'),
                (['reservations', '--user', bad], 'user'),
                (['class-set', bad, 'cores=1'], 'CLASS'),
                (['class-show', bad], 'CLASS'),
                (['class-unset', bad, 'cores'], 'CLASS'),
            ):  # fmt: skip
                self.assertRefusedUnwritten(*argv, code=2, words=(name,))

    def test_a_project_is_needed(self) -> None:
        for argv in (['show'], ['usage'], ['refresh'], ['reset'],
                     ['set', 'cores=1'], ['unset', 'cores']):  # fmt: skip
            self.assertRefusedUnwritten(*argv, code=2, words=('--project',))

    def test_a_dry_run_shows_what_would_be_shown(self) -> None:
        self.quota('set', '--project', 'demo', 'cores=30')
        for argv in (
            ['set', '--project', 'demo', 'cores=40', 'instances=1'],
            ['set', '--project', 'demo', '--user', 'u', 'cores=3'],
            ['unset', '--project', 'demo', 'cores', 'instances'],
            ['class-set', 'gold', 'cores=7'],
            ['class-unset', 'gold', 'cores', 'instances'],
            ['class-set', 'default', 'cores=8'],
            ['class-unset', 'default', 'cores'],
        ):
            tried = self.assertUnwritten(*argv)
            self.assertEqual(tried, self.quota(*argv))

    def test_to_remove_what_is_not_set_changes_nothing(self) -> None:
        self.quota('set', '--project', 'demo', 'cores=30')
        (row,) = self.quota('unset', '--project', 'demo', 'instances')
        self.assertEqual((10, 10), (row['old'], row['new']))
        self.assertEqual({'cores': 30}, self.limits('show', '--project',
                                                    'demo'))  # fmt: skip

    def test_what_was_not_counted_was_not_checked(self) -> None:
        set_ = ['quota', 'set', '--project', 'demo', 'cores=1', 'file_size=1']
        result = self.run_command(*set_)
        self.assertEqual(0, result.code)
        self.assertIn('cores: not counted yet, so not checked', result.err)
        self.assertNotIn('file_size', result.err)
        self.service.use('demo', 'alice', cores=1)
        self.assertEqual('', self.run_command(*set_).err)

    def test_to_remove_a_limit_may_leave_less_than_is_used(self) -> None:
        limit = ['--project', 'demo', 'instances']
        self.quota('set', *limit[:2], 'instances=30')
        self.service.use('demo', 'alice', instances=12)
        for more in (['--dry-run'], []):
            result = self.run_command('quota', 'unset', *limit, *more)
            self.assertIn('holds then, 10, is below what is used, 12',
                          result.err)  # fmt: skip


class ClassTest(test_cmd_quota.QuotaTestCase):
    def test_a_class_is_set_shown_and_removed(self) -> None:
        self.quota('class-set', 'default', 'cores=30')
        rows = self.quota('class-set', 'gold', 'cores=400', 'instances=-1')
        self.assertEqual(
            [('cores', 30, 'default class', 400, 'class'),
             ('instances', 10, 'default', -1, 'class')],
            [tuple(row.values()) for row in rows],
        )  # fmt: skip
        shown = self.by_resource('class-show', 'gold')
        self.assertEqual({'limit': 400, 'source': 'class'}, shown['cores'])
        self.assertEqual({'limit': 3, 'source': 'default'}, shown['networks'])
        rows = self.quota('class-unset', 'gold', 'cores', 'instances')
        self.assertEqual(
            [('cores', 400, 'class', 30, 'default class'),
             ('instances', -1, 'class', 10, 'default')],
            [tuple(row.values()) for row in rows],
        )  # fmt: skip
        self.assertRefusedUnwritten('class-show', 'gold', words=("'gold'",))

    def test_an_unknown_class_is_refused(self) -> None:
        self.quota('class-set', 'gold', 'cores=1')
        for argv in (
            ['class-show', 'Gold'],
            ['class-unset', 'Gold', 'cores'],
            ['class-unset', 'Gold', 'cores', '--dry-run'],
        ):
            self.assertRefusedUnwritten(
                *argv, words=("quota class 'Gold' is unknown",)
            )

    def test_the_default_class_is_always_there(self) -> None:
        shown = self.by_resource('class-show', 'default')
        self.assertEqual({'limit': 20, 'source': 'default'}, shown['cores'])
        self.quota('class-unset', 'default', 'cores')


class RefreshTest(test_cmd_quota.QuotaTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.service.use('demo', 'alice', instances=2, cores=4)
        # One of them went away without a reservation, two of bob's came.
        self.service.create(
            'cell1', {'project_id': 'demo', 'user_id': 'alice', 'cores': 2}
        )
        self.service.create(
            'cell2',
            {'project_id': 'demo', 'user_id': 'bob', 'cores': 8},
            {'project_id': 'demo', 'user_id': 'bob', 'cores': 8},
        )

    def refresh(self, *argv: str) -> list[str]:
        return ['refresh', '--project', 'demo', *argv]

    def test_what_is_counted_is_shown_and_stored(self) -> None:
        expected = [
            ('cores', None, 4, 18, 'corrected'),
            ('cores', 'alice', 4, 2, 'corrected'),
            ('instances', None, 2, 3, 'corrected'),
            ('instances', 'alice', 2, 1, 'corrected'),
            ('networks', None, None, 0, 'added'),
        ]
        argv = self.refresh('--user', 'alice')
        tried = self.assertUnwritten(*argv)
        self.assertEqual(expected, [tuple(row.values()) for row in tried])
        self.assertEqual(tried, self.quota(*argv))
        usage = self.by_resource('usage', '--project', 'demo')
        self.assertEqual(18, usage['cores']['in_use'])
        for row in self.quota(*argv):
            self.assertEqual('unchanged', row['result'])

    def test_without_a_user_all_who_have_a_usage_are_shown(self) -> None:
        self.service.use('demo', 'bob', instances=1)
        expected = [
            ('instances', None, 3, 3, 'unchanged'),
            ('instances', 'alice', 2, 1, 'corrected'),
            ('instances', 'bob', 3, 2, 'corrected'),
        ]
        tried = self.assertUnwritten(*self.refresh('instances'))
        self.assertEqual(expected, [tuple(row.values()) for row in tried])
        self.assertEqual(tried, self.quota(*self.refresh('instances')))
        usage = self.by_resource('usage', '--project', 'demo',
                                 '--user', 'alice')  # fmt: skip
        self.assertEqual(1, usage['instances']['in_use'])
        self.assertEqual(4, usage['cores']['in_use'])

    def test_what_is_reserved_is_kept(self) -> None:
        handle = self.service.reserve('demo', 'bob', instances=1)
        tried = self.assertUnwritten(*self.refresh())
        result = self.run_command('quota', *self.refresh(), '-f', 'json')
        self.assertEqual(
            [('cores', None, 4, 18, 'corrected'),
             ('cores', 'alice', 4, 2, 'corrected'),
             ('instances', None, 2, None, 'kept'),
             ('instances', 'alice', 2, 1, 'corrected'),
             ('instances', 'bob', 2, None, 'kept'),
             ('networks', None, None, 0, 'added')],
            [tuple(row.values()) for row in result.json],
        )  # fmt: skip
        self.assertEqual(tried, result.json)
        (held,) = self.quota('reservations')
        self.assertIn(
            'kept: instances: a reservation is open on it until '
            f'{held["expire"]}; see "quota reservations"',
            result.err,
        )
        with self.service.router() as router:
            router.quotas.rollback(cellplug.RequestContext(), handle)
        rows = self.quota(*self.refresh('instances'))
        self.assertEqual(
            {None: 'corrected', 'alice': 'unchanged', 'bob': 'unchanged'},
            {row['user_id']: row['result'] for row in rows},
        )

    def test_a_reservation_past_its_time_keeps_nothing(self) -> None:
        self.service.reserve('demo', 'bob', expire=60, ago=120, instances=1)
        tried = self.assertUnwritten(*self.refresh('instances'))
        self.assertEqual('corrected', tried[0]['result'])
        self.assertEqual(tried, self.quota(*self.refresh('instances')))
        self.assertEqual([], self.quota('reservations'))

    def test_while_a_cell_does_not_answer_nothing_is_stored(self) -> None:
        path = self.service.cell2.removeprefix('sqlite:///')
        pathlib.Path(path).unlink()
        for more in ([], ['--dry-run']):
            self.assertRefusedUnwritten(
                *self.refresh(*more), words=('cell2', 'cannot be counted')
            )

    def test_what_has_no_usage_is_refused(self) -> None:
        for command in ('refresh', 'reset'):
            for more in ([], ['--dry-run']):
                self.assertRefusedUnwritten(
                    command, '--project', 'demo', 'cores', 'file_size', *more,
                    words=('file_size is not reservable',),
                )  # fmt: skip

    def test_what_was_never_counted_is_counted(self) -> None:
        row = {'project_id': 'old', 'user_id': 'eve', 'cores': 30}
        self.service.create('cell1', row, row)
        argv = ['refresh', '--project', 'old', '--user', 'eve']
        expected = [
            ('cores', None, None, 60, 'added'),
            ('cores', 'eve', None, 60, 'added'),
            ('instances', None, None, 2, 'added'),
            ('instances', 'eve', None, 2, 'added'),
            ('networks', None, None, 0, 'added'),
        ]
        tried = self.assertUnwritten(*argv)
        self.assertEqual(expected, [tuple(row.values()) for row in tried])
        self.assertEqual(tried, self.quota(*argv))
        self.assertEqual([], self.quota('reservations'))
        usage = self.by_resource('usage', '--project', 'old')
        # More than the limit: what exists is counted all the same.
        self.assertEqual((60, 0), (usage['cores']['in_use'],
                                   usage['cores']['reserved']))  # fmt: skip
        self.assertRefusedUnwritten(
            'set', '--project', 'old', 'cores=59', words=('at least 60',)
        )

    def test_a_reset_has_the_next_reservation_count(self) -> None:
        argv = ['reset', '--project', 'demo', 'instances']
        (tried,) = self.assertUnwritten(*argv)
        self.assertEqual(
            {
                'resource': 'instances', 'in_use': 2, 'reserved': 0,
                'was_due': False, 'refresh_due': True,
            },
            tried,
        )  # fmt: skip
        self.assertEqual([tried], self.quota(*argv))
        usage = self.by_resource('usage', '--project', 'demo')
        self.assertTrue(usage['instances']['refresh_due'])
        self.assertFalse(usage['cores']['refresh_due'])
        self.service.reserve('demo', 'bob', instances=1)
        usage = self.by_resource('usage', '--project', 'demo')
        self.assertEqual(3, usage['instances']['in_use'])


class RollbackTest(test_cmd_quota.QuotaTestCase):
    def test_a_dead_reservation_is_ended_by_its_handle(self) -> None:
        dead = self.service.reserve('demo', 'alice', cores=2)
        left = self.service.reserve('demo', 'alice', cores=1)
        tried = self.assertUnwritten('rollback', dead)
        self.assertEqual([dead], [row['handle'] for row in tried])
        self.assertEqual(tried, self.quota('rollback', dead))
        rows = self.quota('reservations')
        self.assertEqual([left], [row['handle'] for row in rows])
        usage = self.by_resource('usage', '--project', 'demo')
        self.assertEqual(
            {'in_use': 0, 'reserved': 1, 'used': 1, 'refresh_due': True},
            usage['cores'],
        )
        for more in ([], ['--dry-run']):
            self.assertRefusedUnwritten(
                'rollback', dead, *more, words=('no reservation', dead)
            )


class ExpireTest(test_cmd_quota.QuotaTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.open = self.service.reserve('demo', 'alice', cores=1)
        self.late = self.service.reserve(
            'demo', 'alice', expire=60, ago=120, cores=2, instances=1
        )

    def test_what_is_past_its_time_ends(self) -> None:
        tried = self.assertUnwritten('expire')
        self.assertEqual([self.late], [row['handle'] for row in tried])
        self.assertEqual(tried, self.quota('expire'))
        left = self.quota('reservations')
        self.assertEqual([self.open], [row['handle'] for row in left])
        usage = self.by_resource('usage', '--project', 'demo')
        self.assertEqual(
            {'in_use': 0, 'reserved': 1, 'used': 1, 'refresh_due': True},
            usage['cores'],
        )
        result = self.run_command('quota', 'expire', '-f', 'json')
        self.assertEqual([], result.json)
        self.assertIn('no reservation is past its time', result.err)
