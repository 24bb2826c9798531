"""``cellplug-manage quota``: limits, usages and reservations."""

from __future__ import annotations

import importlib.metadata
import json
import pathlib
from typing import Any

import sqlalchemy as sa

import cellplug
from tests.unit import helpers_quota_service
from tests.unit import test_cmd_base

TABLES = (
    'quotas', 'project_user_quotas', 'quota_classes', 'quota_usages',
    'reservations',
)  # fmt: skip
MAX = 2**63 - 1
TABLE = """\
+-----------+-----------+---------+--------+----------+-----------+------------+
| resource  | limit     | source  | in_use | reserved | free      | kind       |
+-----------+-----------+---------+--------+----------+-----------+------------+
| cores     | unlimited | project | 8      | 4        | unlimited | reservable |
| file_size |     10240 | default |        |          |           | absolute   |
| instances |        10 | default | 2      | 1        |         7 | reservable |
| networks  |         3 | default |        |          |           | reservable |
+-----------+-----------+---------+--------+----------+-----------+------------+
"""  # noqa: E501 (80 columns are a terminal's)


class QuotaTestCase(test_cmd_base.CommandTestCase):
    """Two cells, a service, and a way to see that nothing was written."""

    def setUp(self) -> None:
        super().setUp()
        service = helpers_quota_service.Service(self.run_command)
        self.service = self.useFixture(service)
        for name in ('cell1', 'cell2'):
            self.service.add_cell(name)

    def quota(self, *argv: str) -> Any:
        """A command that has to work; its rows."""
        return self.run_command.json('quota', *argv)

    def by_resource(self, *argv: str) -> dict[str, Any]:
        return {row.pop('resource'): row for row in self.quota(*argv)}

    def limits(self, *argv: str) -> dict[str, Any]:
        """The limits of a project or class that are not the defaults."""
        rows = self.by_resource(*argv).items()
        return {
            name: row['limit']
            for name, row in rows
            if row['source'] != 'default'
        }

    def books(self) -> dict[str, list[Any]]:
        """All that stands in the tables of quotas."""
        found = {}
        engine = sa.create_engine(self.run_command.api_url)
        with engine.begin() as connection:
            for name in TABLES:
                rows = connection.execute(
                    sa.text(f'SELECT * FROM {name} ORDER BY id')
                )
                found[name] = [tuple(row) for row in rows]
        engine.dispose()
        return found

    def assertRefusedUnwritten(
        self, *argv: str, code: int = 1, words: tuple[str, ...] = ()
    ) -> None:
        """Refused in one line with these words; the books are as before."""
        before = self.books()
        result = self.run_command('quota', *argv)
        self.assertEqual(before, self.books())
        if code == 2:
            # A usage comes before the line.
            lines = result.err.splitlines(True)
            errors = [line for line in lines if ': error: ' in line]
            self.assertEqual(1, len(errors), result.err)
            self.assertEqual(lines[-1:], errors)
            result = result._replace(err=errors[0])
        self.assertRefused(result, *words, code=code)

    def assertUnwritten(self, *argv: str) -> Any:
        """The rows of a dry run; it says so, and the books are as before."""
        before = self.books()
        result = self.run_command('quota', *argv, '--dry-run', '-f', 'json')
        self.assertEqual(0, result.code, result)
        self.assertIn('dry run: nothing was written', result.err)
        self.assertEqual(before, self.books())
        return result.json


class ShowTest(QuotaTestCase):
    def test_a_table_shows_limit_use_and_what_is_free(self) -> None:
        self.service.use('demo', 'alice', instances=2, cores=8)
        self.service.reserve('demo', 'alice', instances=1, cores=4)
        self.quota('set', '--project', 'demo', 'cores=unlimited')
        result = self.run_command('quota', 'show', '--project', 'demo')
        self.assertEqual(TABLE, result.out)
        self.assertIn('before the first reservation: networks', result.err)

    def test_machines_get_numbers_and_nulls(self) -> None:
        self.service.use('demo', 'alice', instances=2)
        self.quota('set', '--project', 'demo', 'cores=-1')
        shown = self.by_resource('show', '--project', 'demo')
        self.assertEqual(
            {
                'limit': 10,
                'source': 'default',
                'in_use': 2,
                'reserved': 0,
                'free': 8,
                'kind': 'reservable',
            },
            shown['instances'],
        )
        self.assertEqual(-1, shown['cores']['limit'])
        self.assertEqual(-1, shown['cores']['free'])
        self.assertIsNone(shown['cores']['in_use'])
        self.assertIsNone(shown['file_size']['free'])
        result = self.run_command('quota', 'show', '--project', 'demo',
                                  '-f', 'value', '-c', 'limit')  # fmt: skip
        self.assertEqual('-1\n10240\n10\n3\n', result.out)

    def test_a_table_fits_80_columns(self) -> None:
        self.service.use('demo', 'alice', instances=2, cores=8)
        self.service.reserve('demo', 'alice', instances=1, cores=4)
        self.quota('class-set', 'default', 'cores=1000')
        for argv in (
            ['show', '--project', 'demo'],
            ['usage', '--project', 'demo'],
            ['reservations', '--max-width', '80'],
            ['refresh', '--project', 'demo', '--user', 'alice'],
            ['reset', '--project', 'demo'],
            ['set', '--project', 'demo', 'instances=100'],
            ['class-show', 'default'],
        ):
            result = self.run_command('quota', *argv)
            widths = [len(line) for line in result.out.splitlines()]
            self.assertGreaterEqual(80, max(widths), result.out)

    def test_what_is_free_for_a_user_is_free_in_the_project_too(self) -> None:
        self.service.use('demo', 'bob', instances=8)
        self.service.use('demo', 'alice', instances=1)
        self.quota('set', '--project', 'demo', '--user', 'alice', '--force',
                   'instances=5')  # fmt: skip
        shown = self.by_resource('show', '--project', 'demo',
                                 '--user', 'alice')  # fmt: skip
        self.assertEqual('user', shown['instances']['source'])
        self.assertEqual(5, shown['instances']['limit'])
        self.assertEqual(1, shown['instances']['in_use'])
        self.assertEqual(1, shown['instances']['free'])
        # Users have nothing of their own in it.
        self.assertNotIn('networks', shown)

    def test_nothing_is_free_below_what_is_used(self) -> None:
        self.service.use('demo', 'alice', instances=4)
        self.quota('set', '--project', 'demo', '--force', 'instances=2')
        shown = self.by_resource('show', '--project', 'demo')
        self.assertEqual(0, shown['instances']['free'])

    def test_a_project_that_nobody_recorded_has_the_defaults(self) -> None:
        result = self.run_command('quota', 'show', '--project', 'new',
                                  '-f', 'json')  # fmt: skip
        self.assertEqual(0, result.code)
        self.assertEqual(1, result.err.count('\n'))
        self.assertIn("nothing is recorded of project 'new'", result.err)
        self.assertEqual({'default'}, {row['source'] for row in result.json})

    def test_the_class_is_the_one_that_is_passed(self) -> None:
        self.quota('class-set', 'gold', 'instances=100')
        self.quota('class-set', 'default', 'instances=15', 'cores=30')
        show = ['show', '--project', 'p']
        self.assertEqual({'instances': 15, 'cores': 30}, self.limits(*show))
        self.assertEqual(
            {'instances': 100, 'cores': 30},
            self.limits(*show, '--class', 'gold'),
        )
        shown = self.by_resource(*show, '--class', 'gold')
        self.assertEqual('class', shown['instances']['source'])
        self.assertEqual('default class', shown['cores']['source'])

    def test_a_default_is_what_the_service_is_configured_for(self) -> None:
        self.run_command.write(
            {
                'api_database': [f'connection = {self.run_command.api_url}'],
                'quota_service': ['quota_cores = 44'],
            }
        )
        shown = self.by_resource('show', '--project', 'demo')
        self.assertEqual(44, shown['cores']['limit'])
        self.assertEqual('default', shown['cores']['source'])
        (row,) = self.assertUnwritten('class-set', 'default', 'cores=1')
        self.assertEqual(44, row['old'])

    def test_a_limit_whose_service_is_gone_is_marked(self) -> None:
        with self.service.router() as router:
            router.quotas.driver.set_limits(
                cellplug.RequestContext(), {'floppies': 7}, project_id='demo'
            )
        shown = self.by_resource('show', '--project', 'demo')
        self.assertEqual('unregistered', shown['floppies']['kind'])
        self.assertEqual(7, shown['floppies']['limit'])
        self.assertEqual('project', shown['floppies']['source'])
        self.assertEqual('reservable', shown['cores']['kind'])
        # It can be removed, and not be set.
        self.assertRefusedUnwritten(
            'set', '--project', 'demo', 'floppies=8', words=('floppies',)
        )
        (row,) = self.quota('unset', '--project', 'demo', 'floppies')
        self.assertEqual((7, None), (row['old'], row['new']))
        self.assertNotIn('floppies', self.by_resource('show', '--project',
                                                      'demo'))  # fmt: skip

    def test_nothing_is_counted(self) -> None:
        self.service.use('demo', 'alice', instances=2)
        for name in ('cell1', 'cell2'):
            url = getattr(self.service, name)
            pathlib.Path(url.removeprefix('sqlite:///')).unlink()
        shown = self.by_resource('show', '--project', 'demo')
        self.assertEqual(2, shown['instances']['in_use'])
        self.assertEqual(2, self.by_resource('usage', '--project', 'demo')
                         ['instances']['in_use'])  # fmt: skip

    def test_a_class_that_sets_nothing_is_told(self) -> None:
        self.quota('class-set', 'gold', 'cores=1')
        show = ['quota', 'show', '--project', 'demo', '--class']
        said = "the quota class 'Gold' sets no limit"
        self.assertIn(said, self.run_command(*show, 'Gold').err)
        self.assertNotIn('class', self.run_command(*show, 'gold').err)

    def test_plain_text_has_nothing_where_there_is_nothing(self) -> None:
        show = ['quota', 'show', '--project', 'p', '-c', 'resource', '-c',
                'in_use', '--sort-column', 'resource', '-f']  # fmt: skip
        for name, first in (('value', 'cores '), ('csv', '"cores",')):
            lines = self.run_command(*show, name).out.splitlines()
            self.assertIn(first, [line.rstrip('"') for line in lines])

    def test_an_unknown_column_is_refused_beside_known_ones(self) -> None:
        result = self.run_command('quota', 'show', '--project', 'p', '-c',
                                  'limit', '-c', 'price')  # fmt: skip
        self.assertEqual(2, result.code)
        self.assertIn('no column is called price; columns are', result.err)


class UsageTest(QuotaTestCase):
    def test_it_is_the_projects_or_the_users(self) -> None:
        self.service.use('demo', 'alice', instances=2)
        self.service.use('demo', 'bob', instances=1)
        self.service.reserve('demo', 'bob', instances=3)
        expected = {
            'in_use': 3, 'reserved': 3, 'used': 6, 'refresh_due': False,
        }  # fmt: skip
        usage = ['usage', '--project', 'demo']
        self.assertEqual({'instances': expected}, self.by_resource(*usage))
        expected.update(in_use=1, used=4)
        self.assertEqual(
            {'instances': expected}, self.by_resource(*usage, '--user', 'bob')
        )

    def test_one_that_was_only_given_limits_has_none(self) -> None:
        self.quota('set', '--project', 'demo', 'cores=1')
        result = self.run_command('quota', 'usage', '--project', 'demo',
                                  '-f', 'json')  # fmt: skip
        self.assertEqual([], result.json)
        self.assertIn("nothing was reserved by project 'demo'", result.err)

    def test_who_is_unknown_is_refused(self) -> None:
        self.service.use('demo', 'alice', instances=1)
        for argv in (['usage'], ['refresh'], ['reset'], ['reservations'],
                     ['unset', 'cores'], ['refresh', '--dry-run'],
                     ['unset', 'cores', '--dry-run']):  # fmt: skip
            self.assertRefusedUnwritten(
                *argv, '--project', 'dem', words=("project 'dem' is unknown",)
            )
            self.assertRefusedUnwritten(
                *argv, '--project', 'demo', '--user', 'ALICE',
                words=("user 'ALICE' in project 'demo' is unknown",),
            )  # fmt: skip

    def test_a_limit_or_a_users_limit_makes_a_project_known(self) -> None:
        self.quota('set', '--project', 'one', 'cores=1')
        self.quota('set', '--project', 'two', '--user', 'u', 'cores=1')
        self.assertEqual([], self.quota('reservations', '--project', 'one'))
        self.assertEqual([], self.quota('reservations', '--project', 'two'))


class ReservationsTest(QuotaTestCase):
    def test_they_are_listed_by_project_and_user(self) -> None:
        late = self.service.reserve('demo', 'alice', cores=4, instances=1)
        soon = self.service.reserve('demo', 'bob', expire=60, cores=1)
        other = self.service.reserve('other', None, expire=600, networks=1)
        listed = self.quota('reservations')
        self.assertEqual([soon, other, late], [r['handle'] for r in listed])
        self.assertEqual(
            ['project_id', 'user_id', 'deltas', 'expire', 'handle'],
            list(listed[0]),
        )
        self.assertEqual({'cores': 4, 'instances': 1}, listed[2]['deltas'])
        self.assertRegex(
            listed[2]['expire'], r'\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z'
        )
        self.assertIsNone(listed[1]['user_id'])
        for argv, handles in (
            (['--project', 'demo'], [soon, late]),
            (['--project', 'demo', '--user', 'bob'], [soon]),
            (['--user', 'alice'], [late]),
        ):
            listed = self.quota('reservations', *argv)
            self.assertEqual(handles, [row['handle'] for row in listed])

    def test_people_get_a_line_for_each_resource(self) -> None:
        self.service.reserve('demo', 'alice', cores=4, instances=1)
        result = self.run_command('quota', 'reservations')
        self.assertRegex(result.out, r'\| cores=4 .*\n.*\| instances=1 ')


class OddDeploymentTest(test_cmd_base.CommandTestCase):
    """What is missing is said in one line."""

    WRITES = (
        ['set', '--project', 'p', 'cores=1'],
        ['unset', '--project', 'p', 'cores'],
        ['class-set', 'gold', 'cores=1'],
        ['class-unset', 'gold', 'cores'],
    )
    USAGES = (
        ['usage', '--project', 'p'],
        ['refresh', '--project', 'p'],
        ['reset', '--project', 'p'],
        ['reservations'],
    )

    def test_without_a_service_no_resource_is_known(self) -> None:
        for argv in (
            ['show', '--project', 'p'],
            ['class-show', 'default'],
        ):
            result = self.run_command('quota', *argv, '-f', 'json')
            self.assertEqual((0, []), (result.code, result.json))
            self.assertIn('no installed service registers', result.err)
            self.assertIn('cellplug.quota_resource', result.err)
        for argv in (*self.WRITES, ['refresh', '--project', 'p', 'cores']):
            result = self.run_command('quota', *argv)
            self.assertRefused(
                result, 'unknown resource: cores',
                'no installed service registers',
            )  # fmt: skip

    def test_a_broken_service_is_named(self) -> None:
        self.useFixture(
            helpers_quota_service.Installed(
                broken='tests.unit.helpers_absent:x'
            )
        )
        for argv in (['show', '--project', 'p'], *self.WRITES):
            result = self.run_command('quota', *argv)
            self.assertRefused(result, 'broken', 'tests.unit.helpers_absent')
        for argv in (['expire'], ['reservations']):
            self.assertEqual([], self.run_command.json('quota', *argv))
        self.assertRefused(
            self.run_command('quota', 'rollback', 'x'), 'no reservation'
        )

    def test_a_driver_that_limits_nothing_says_so(self) -> None:
        self.useFixture(helpers_quota_service.Service(self.run_command))
        self.run_command.write(
            {
                'api_database': [f'connection = {self.run_command.api_url}'],
                'quota': ['driver = noop'],
            }
        )
        result = self.run_command('quota', 'show', '--project', 'p')
        self.assertEqual(0, result.code)
        self.assertIn('limits nothing', result.err)
        for argv in self.WRITES:
            for more in ([], ['--dry-run']):
                result = self.run_command('quota', *argv, *more)
                self.assertRefused(result, 'keeps no limits')
        for argv in self.USAGES:
            result = self.run_command('quota', *argv)
            self.assertRefused(result, 'keeps no usages')
        self.assertEqual(0, self.run_command('quota', 'expire').code)

    def test_without_an_api_database_it_says_where_to_name_it(self) -> None:
        self.useFixture(helpers_quota_service.Service(self.run_command))
        self.run_command.write({})
        for argv in (*self.WRITES, *self.USAGES, ['expire'],
                     ['show', '--project', 'p']):  # fmt: skip
            result = self.run_command('quota', *argv)
            self.assertRefused(result, '[api_database]')

    def test_an_api_database_without_tables_is_told(self) -> None:
        self.useFixture(helpers_quota_service.Service(self.run_command))
        url = self.run_command.fresh_database()
        self.run_command.write({'api_database': [f'connection = {url}']})
        for argv in (*self.WRITES, *self.USAGES, ['expire'],
                     ['show', '--project', 'p']):  # fmt: skip
            result = self.run_command('quota', *argv)
            self.assertRefused(result, 'cellplug-manage api-db sync')

    def test_every_command_is_documented(self) -> None:
        page = pathlib.Path(__file__).parents[2] / 'doc/source/cli.rst'
        text = page.read_text()
        for point in importlib.metadata.entry_points(group='cellplug.manage'):
            if point.name.startswith('quota_'):
                name = point.name.replace('_', ' ')
                self.assertIn(f'\n{name} ', text)

    def test_machines_read_every_listing_that_is_empty(self) -> None:
        self.useFixture(helpers_quota_service.Service(self.run_command))
        for argv in (['reservations'], ['expire'], ['expire', '--dry-run']):
            result = self.run_command('quota', *argv, '-f', 'json')
            self.assertEqual([], json.loads(result.out))
            self.assertIn('no reservation is', result.err)
