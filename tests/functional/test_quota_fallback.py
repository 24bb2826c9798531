"""Limits that still stand in cells: read, hidden, removed; never lost."""

from __future__ import annotations

from unittest import mock

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

import cellplug
from cellplug import exception
from cellplug.db import limit_tables
from cellplug.db.api import models
from cellplug.db.cell import legacy_quotas
from cellplug.testing import deployment
from tests.functional import databases
from tests.functional import helpers_deployment
from tests.functional import helpers_legacy

_UUID = '0b1c8a66-6b1d-4a43-8f0e-6d6d6b0b9f10'


def _count_none(context, project_id, user_id):
    return {'cores': 0}


def values(limits):
    """{resource: (limit, source)} of what a reader returned."""
    return {
        name: (limit.limit, limit.source) for name, limit in limits.items()
    }


class FallbackTests(helpers_legacy.LegacyTestCase):
    def get(self, project='p', user=None, quota_class=None):
        found = self.limits.get_limits(
            self.context(),
            project_id=project,
            user_id=user,
            quota_class=quota_class,
        )
        return values(found)

    def set(self, limits, project='p', user=None):
        self.limits.set_limits(
            self.context(), limits, project_id=project, user_id=user
        )

    # -- what is read where -------------------------------------------------

    def test_per_item_the_api_database_comes_first(self):
        first, _ = self.deploy_legacy()
        first.add('quotas', 'p', 'cores', 10)
        first.add('quotas', 'p', 'ram', 20)
        self.set({'cores': 5})
        self.assertEqual(
            {'cores': (5, 'project'), 'ram': (20, 'project')}, self.get()
        )

    def test_the_first_cell_that_has_a_limit_wins(self):
        first, second = self.deploy_legacy()
        second.add('quotas', 'p', 'cores', 2)
        second.add('quotas', 'p', 'ram', 2)
        first.add('quotas', 'p', 'cores', 1)
        self.assertEqual(
            {'cores': (1, 'project'), 'ram': (2, 'project')}, self.get()
        )

    def test_the_order_of_the_option_counts(self):
        first, second = self.deploy_legacy(fallback=['cell2', 'cell1'])
        first.add('quotas', 'p', 'cores', 1)
        second.add('quotas', 'p', 'cores', 2)
        self.assertEqual({'cores': (2, 'project')}, self.get())

    def test_cells_are_named_by_uuid_as_well(self):
        (first,) = self.deploy_legacy(1)
        first.add('quotas', 'p', 'cores', 1)
        uuid = self.deployment.cells[0].uuid
        self.limits = self.new_limits([uuid.upper()])
        self.assertEqual({'cores': (1, 'project')}, self.get())

    def test_a_level_in_a_cell_comes_before_the_next_in_the_api(self):
        first, _ = self.deploy_legacy()
        first.add('project_user_quotas', ('p', 'u'), 'cores', 3)
        first.add('quota_classes', 'gold', 'ram', 4)
        first.add('quota_classes', 'gold', 'cores', 400)
        self.set({'cores': 30})
        self.limits.set_class_limits(
            self.context(), {'ram': 40, 'disk': 50}, quota_class='default'
        )
        self.assertEqual(
            {
                'cores': (3, 'user'),
                'ram': (4, 'class'),
                'disk': (50, 'default class'),
            },
            self.get(user='u', quota_class='gold'),
        )
        resolved = self.limits.resolve(self.context(), 'p', 'u', 'gold')
        self.assertEqual((30, 'project'), values(resolved.project)['cores'])
        self.assertEqual((3, 'user'), values(resolved.user)['cores'])

    def test_the_default_class_is_read_in_cells_too(self):
        """There, its fallback was dead code."""
        _, second = self.deploy_legacy()
        second.add('quota_classes', 'default', 'cores', 7)
        self.assertEqual({'cores': (7, 'default class')}, self.get())
        self.assertEqual(
            {'cores': (7, 'default class')},
            values(self.limits.get_class_limits(self.context(), 'default')),
        )
        self.limits.set_class_limits(
            self.context(), {'ram': 8}, quota_class='default'
        )
        self.assertEqual(
            {'cores': (7, 'default class'), 'ram': (8, 'default class')},
            self.get(quota_class='default'),
        )

    def test_limits_of_users_are_counted_once(self):
        """There, a list held those of both databases."""
        first, second = self.deploy_legacy()
        first.add('project_user_quotas', ('p', 'u'), 'cores', 3)
        second.add('project_user_quotas', ('p', 'u'), 'cores', 4)
        second.add('project_user_quotas', ('p', 'v'), 'cores', 5)
        self.set({'cores': 6, 'ram': 9}, user='u')
        found = self.limits.get_users_limits(self.context(), 'p')
        self.assertEqual(
            {
                'u': {'cores': (6, 'user'), 'ram': (9, 'user')},
                'v': {'cores': (5, 'user')},
            },
            {user: values(limits) for user, limits in found.items()},
        )

    def test_a_null_limit_is_unlimited_and_a_negative_one_too(self):
        first, _ = self.deploy_legacy()
        first.add('quotas', 'p', 'cores', None)
        first.add('quotas', 'p', 'ram', -7)
        self.assertEqual(
            {'cores': (-1, 'project'), 'ram': (-1, 'project')}, self.get()
        )

    def test_a_limit_that_is_none_is_an_error_that_says_where(self):
        first, _ = self.deploy_legacy(limit=sa.String(20))
        row = first.add('quotas', 'p', 'cores', 'a few')
        error = self.assertRaises(exception.ConfigurationError, self.get)
        for word in ('quotas', 'cell1', f'row {row}', 'a few'):
            self.assertIn(word, str(error))

    def test_strings_match_exactly(self):
        """MariaDB's old tables take these for one project."""
        first, _ = self.deploy_legacy()
        first.add('quotas', 'P', 'cores', 1)
        first.add('quotas', 'p ', 'cores', 2)
        self.assertEqual({}, self.get())
        self.set({'cores': None})
        self.assertEqual(2, len(first.rows('quotas')))

    def test_it_does_not_matter_where_the_request_is_aimed(self):
        """There, the fallback read whatever database that was."""
        first, second = self.deploy_legacy(fallback=['cell1'])
        first.add('quotas', 'p', 'cores', 1)
        second.add('quotas', 'p', 'cores', 2)
        for cell in ('cell1', 'cell2'):
            found = self.limits.get_limits(self.targeted(cell), project_id='p')
            self.assertEqual({'cores': (1, 'project')}, values(found))

    def test_without_fallback_cells_no_cell_is_read(self):
        first, _ = self.deploy_legacy(fallback=[])
        first.add('quotas', 'p', 'cores', 1)
        self.assertEqual({}, self.get())

    def test_an_unknown_cell_is_an_error_that_names_the_option(self):
        self.deploy_legacy()
        self.limits = self.new_limits(['cell1', 'cell9'])
        error = self.assertRaises(exception.ConfigurationError, self.get)
        self.assertIn("fallback_cells: cell 'cell9'", str(error))

    def test_in_an_open_transaction_it_reads_as_well(self):
        first, _ = self.deploy_legacy()
        first.add('quotas', 'p', 'cores', 1)
        context = self.context()
        with self.database.api.reader.using(context):
            found = self.limits.get_limits(context, project_id='p')
        self.assertEqual({'cores': (1, 'project')}, values(found))
        self.assertEqual(set(), self.marks())

    # -- soft deletes -------------------------------------------------------

    def test_rows_deleted_softly_do_not_count(self):
        first, _ = self.deploy_legacy()
        gone = first.add('quotas', 'p', 'cores', 1, deleted=5)
        self.assertEqual({}, self.get())
        self.assertIn(('quotas', 'cell1'), self.marks())
        self.assertEqual([gone], [*first.rows('quotas', deleted=True)])

    def test_deleted_may_be_a_truth_value(self):
        first, _ = self.deploy_legacy(deleted=sa.Boolean, live=False)
        first.add('quotas', 'p', 'cores', 1, deleted=True)
        first.add('quotas', 'p', 'ram', 2)
        self.assertEqual({'ram': (2, 'project')}, self.get())
        self.assertNotIn(('quotas', 'cell1'), self.marks())
        self.assertIn(('quotas', 'cell2'), self.marks())

    def test_deleted_may_be_missing(self):
        first, _ = self.deploy_legacy(deleted=None)
        first.add('quotas', 'p', 'cores', 1)
        self.assertEqual({'cores': (1, 'project')}, self.get())
        self.assertEqual({}, self.get('q'))
        self.assertNotIn(('quotas', 'cell1'), self.marks())
        self.assertIn(('quotas', 'cell2'), self.marks())

    def test_deleted_may_be_a_string_or_null(self):
        first, _ = self.deploy_legacy(deleted=sa.String(36), live='')
        first.add('quotas', 'p', 'cores', 1, deleted=_UUID)
        first.add('quotas', 'p', 'ram', 2)
        first.add('quotas', 'p', 'disk', 3, deleted=None)
        self.assertEqual(
            {'ram': (2, 'project'), 'disk': (3, 'project')}, self.get()
        )

    def test_what_is_read_as_live_is_not_taken_for_empty(self):
        """However ``deleted`` is spelt, whichever project is asked for."""
        self.deploy_legacy(1)
        (cell,) = self.deployment.cells
        for type_, live, dead in self.spellings():
            with self.subTest(type=str(type_), live=live):
                first = self.replace_legacy(cell, deleted=type_, live=live)
                for gone in dead:
                    first.add('quotas', 'p', 'ram', 9, deleted=gone)
                row = first.add('quotas', 'p', 'cores', 5)
                for _ in range(2):
                    self.assertEqual({}, self.get('other'))
                    self.assertEqual({'cores': (5, 'project')}, self.get())
                self.assertNotIn(('quotas', 'cell1'), self.marks())
                first.execute(f'DELETE FROM quotas WHERE id = {row}')
                self.assertEqual({}, self.get())
                self.assertIn(('quotas', 'cell1'), self.marks())

    def replace_legacy(self, cell, **tables):
        """Other old tables in a cell, and all that is known of it forgotten.

        That is much cheaper than a deployment for each shape of them.
        """
        (former,) = self.legacy
        with helpers_deployment.past_cellplug(former.url) as connection:
            former.metadata.drop_all(connection)
        with helpers_deployment.past_cellplug(
            self.deployment.api_url
        ) as connection:
            connection.execute(sa.delete(models.migration_state))
        self.legacy = [helpers_legacy.Legacy(former.url, **tables)]
        # PostgreSQL's connections have prepared what reads the former ones.
        self.router._registry.engines(cell.uuid).drop_idle()
        self.limits = self.new_limits([cell.name])
        return self.legacy[0]

    def spellings(self):
        """(type, what a row that lives has, what others have)."""
        return [
            (sa.Integer, 0, [1, 77]),
            (sa.Numeric(5, 2), 0, [1, 2.5]),
            (sa.Float, 0.0, [1.0]),
            (sa.Boolean, False, [True]),
            *(
                (sa.String(36), live, ['1', 'true', 'T', _UUID, '1'])
                for live in ('0', 'False', ' 0', 'FALSE', 'f', '', 'perhaps')
            ),
            (sa.CHAR(36), '0', ['1', _UUID]),
            (sa.Integer, None, [1]),
        ]

    def test_many_rows_deleted_softly_hide_none_that_lives(self):
        first, _ = self.deploy_legacy(deleted=sa.String(9))
        rows = first.metadata.tables['quotas']
        with helpers_deployment.past_cellplug(first.url) as connection:
            connection.execute(
                sa.insert(rows),
                [
                    {'project_id': 'q', 'resource': 'r', 'deleted': '7 '}
                    for _ in range(450)
                ],
            )
        first.add('quotas', 'p', 'cores', 1, deleted=' 0')
        self.assertEqual({}, self.get('q'))
        self.assertEqual({'cores': (1, 'project')}, self.get())
        self.assertNotIn(('quotas', 'cell1'), self.marks())

    # -- another table of that name -----------------------------------------

    def test_a_table_of_another_shape_is_an_error_that_says_where(self):
        self.deploy_legacy(1)
        (first,) = self.legacy
        for columns in (
            'id INTEGER, tenant INTEGER, resource INTEGER, hard_limit INTEGER',
            'id INTEGER, project_id VARCHAR(9), resource VARCHAR(9)',
            'project_id VARCHAR(9), resource VARCHAR(9), hard_limit INTEGER',
        ):
            first.drop('quotas')
            first.execute(f'CREATE TABLE quotas ({columns})')
            for call in (self.get, lambda: self.set({'cores': None})):
                error = self.assertRaises(exception.ConfigurationError, call)
                for word in ("cell 'cell1'", 'table quotas', 'hard_limit'):
                    self.assertIn(word, str(error))
                self.assertNotIn('SELECT', str(error))
            self.assertNotIn(('quotas', 'cell1'), self.marks())

    # -- marks --------------------------------------------------------------

    def test_a_table_that_answers_empty_is_marked(self):
        first, _ = self.deploy_legacy()
        first.add('quotas', 'somebody else', 'cores', 1)
        self.get(user='u')
        self.assertEqual(
            {
                ('quotas', 'cell2'),
                ('project_user_quotas', 'cell1'),
                ('project_user_quotas', 'cell2'),
                ('quota_classes', 'cell1'),
                ('quota_classes', 'cell2'),
            },
            self.marks(),
        )

    def test_a_table_that_does_not_exist_is_empty(self):
        first, second = self.deploy_legacy()
        for table in limit_tables.OWNERS:
            first.drop(table)
        second.add('quotas', 'p', 'cores', 1)
        self.assertEqual({'cores': (1, 'project')}, self.get())
        self.assertIn(('quotas', 'cell1'), self.marks())

    def test_while_all_is_marked_no_cell_is_asked(self):
        """One query, as without a fallback; so the cells may be gone."""
        self.deploy_legacy()
        self.get(user='u')
        self.set({'cores': 3})
        for cell in ('cell1', 'cell2'):
            self.break_cell(cell)
        self.assertEqual({'cores': (3, 'project')}, self.get(user='u'))
        self.assertEqual({}, self.limits.get_users_limits(self.context(), 'p'))
        self.assertEqual(
            {}, self.limits.get_class_limits(self.context(), 'gold')
        )
        self.set({'cores': None}, user='u')
        self.set({'cores': None})
        self.assertEqual({}, self.get(user='u'))

    def test_a_marked_cell_beside_one_that_is_not(self):
        _, second = self.deploy_legacy()
        second.add('quotas', 'p', 'cores', 1)
        self.get()
        self.break_cell('cell1')
        self.assertEqual({'cores': (1, 'project')}, self.get())

    # -- a cell that is down ------------------------------------------------

    def test_a_cell_that_is_down_is_an_error_that_names_it(self):
        self.deploy_legacy()
        self.break_cell('cell2')
        for call in (
            self.get,
            lambda: self.limits.get_users_limits(self.context(), 'p'),
            lambda: self.limits.get_class_limits(self.context(), 'gold'),
        ):
            error = self.assertRaises(exception.CellUnavailable, call)
            self.assertEqual('cell2', error.cell_name)

    def test_a_cell_that_is_down_is_never_marked(self):
        self.deploy_legacy()
        down = self.break_cell('cell2')
        self.assertRaises(exception.CellUnavailable, self.get, user='u')
        self.assertEqual(
            {(table, 'cell1') for table in limit_tables.OWNERS}, self.marks()
        )
        self.mend_cell(down)
        self.legacy[1].add('quotas', 'p', 'cores', 1)
        self.assertEqual({'cores': (1, 'project')}, self.get())

    def test_what_is_settled_needs_no_cell_that_is_down(self):
        first, _ = self.deploy_legacy()
        first.add('quotas', 'p', 'ram', 2)
        self.set({'cores': 1})
        self.break_cell('cell2')

        def resolve(user, *resources):
            return self.limits.resolve(
                self.context(), 'p', user, None, resources
            )

        found = resolve(None, 'cores', 'ram').project
        self.assertEqual(
            {'cores': (1, 'project'), 'ram': (2, 'project')}, values(found)
        )
        # The user may have one of his own there, and disk anybody.
        self.assertRaises(exception.CellUnavailable, resolve, 'u', 'cores')
        self.assertRaises(exception.CellUnavailable, resolve, None, 'disk')
        self.set({'cores': 1}, user='u')
        self.assertEqual(
            {'cores': (1, 'user')},
            {
                name: limit
                for name, limit in values(resolve('u', 'cores').user).items()
                if name == 'cores'
            },
        )

    def test_a_later_cell_does_not_answer_for_one_that_is_down(self):
        _, second = self.deploy_legacy()
        second.add('quotas', 'p', 'cores', 1)
        self.break_cell('cell1')
        error = self.assertRaises(
            exception.CellUnavailable,
            self.limits.resolve,
            self.context(),
            'p',
            None,
            None,
            ['cores'],
        )
        self.assertEqual('cell1', error.cell_name)

    def test_getters_ask_for_what_the_caller_needs(self):
        self.deploy_legacy(1)
        for limits in ({'cores': 1}, {'disk': 3}):
            self.set(limits)
        self.set({'ram': 2}, user='u')
        self.break_cell('cell1')

        def get(user, *resources):
            return self.limits.get_limits(
                self.context(),
                project_id='p',
                user_id=user,
                resources=resources,
            )

        found = get(None, 'cores', 'disk')
        self.assertEqual(1, found['cores'].limit)
        # The project may have some of ram; the user's own stand before.
        self.assertEqual(2, get('u', 'ram')['ram'].limit)
        for user, name in ((None, 'ram'), ('u', 'cores')):
            self.assertRaises(exception.CellUnavailable, get, user, name)
        self.assertRaises(exception.CellUnavailable, self.get)

    def test_services_and_operators_need_no_cell_for_what_is_settled(self):
        quotas = self.engine()
        context = self.context()
        quotas.set_limits(
            context, files=5, cores=5, project_id='p', force=True
        )
        quotas.set_limits(
            context, files=5, cores=5, project_id='p', user_id='u', force=True
        )
        self.break_cell('cell1')
        context = self.context(project_id='p', user_id='u')
        quotas.limit_check(context, files=4)
        self.assertRaises(
            exception.OverQuota, quotas.limit_check, context, files=6
        )
        handle = quotas.reserve(context, cores=1)
        quotas.rollback(context, handle)
        settled = ('cores', 'files')
        found = quotas.get_project_quotas(context, 'p', settled)
        self.assertEqual(5, found['files'].limit)
        found = quotas.get_user_quotas(context, 'p', 'u', settled)
        self.assertEqual(5, found['cores'].limit)
        quotas.set_limits(context, cores=6, project_id='p', force=True)
        self.assertEqual(
            {('p', 'cores'), ('p', 'files')}, {*self.api_rows('quotas')}
        )
        # What nobody has answered for yet, and the sum of users' limits.
        for call in (
            lambda: quotas.get_project_quotas(context, 'p'),
            lambda: quotas.limit_check(context, keys=1),
            lambda: quotas.set_limits(context, cores=7, project_id='p'),
        ):
            self.assertRaises(exception.CellUnavailable, call)

    # -- set and remove -----------------------------------------------------

    def test_what_is_removed_does_not_rise_again(self):
        """There, it was removed in the cell only if the API had none."""
        first, second = self.deploy_legacy()
        first.add('quotas', 'p', 'cores', 1)
        first.add('quotas', 'p', 'ram', 1)
        second.add('quotas', 'p', 'cores', 2)
        self.set({'cores': 3})
        self.set({'cores': None})
        self.assertEqual({'ram': (1, 'project')}, self.get())
        self.assertEqual({}, second.rows('quotas', deleted=True))

    def test_users_and_classes_too(self):
        first, _ = self.deploy_legacy()
        first.add('project_user_quotas', ('p', 'u'), 'cores', 1)
        first.add('project_user_quotas', ('p', 'v'), 'cores', 1)
        first.add('quota_classes', 'gold', 'cores', 1)
        self.set({'cores': None}, user='u')
        self.limits.set_class_limits(
            self.context(), {'cores': None}, quota_class='gold'
        )
        self.assertEqual({}, self.get(user='u', quota_class='gold'))
        self.assertEqual({'cores': (1, 'user')}, self.get(user='v'))

    def test_setting_touches_no_cell(self):
        first, _ = self.deploy_legacy()
        first.add('quotas', 'p', 'cores', 1)
        self.break_cell('cell1')
        self.set({'cores': 3})
        self.assertEqual(1, len(first.rows('quotas')))
        self.assertEqual({('p', 'cores'): 3}, self.api_rows('quotas'))

    def test_nothing_is_removed_while_a_cell_is_down(self):
        first, _ = self.deploy_legacy()
        first.add('quotas', 'p', 'cores', 1)
        self.set({'cores': 3})
        self.break_cell('cell2')
        error = self.assertRaises(
            exception.CellUnavailable, self.set, {'cores': None, 'ram': 9}
        )
        self.assertEqual('cell2', error.cell_name)
        self.assertEqual({('p', 'cores'): 3}, self.api_rows('quotas'))
        self.assertEqual(1, len(first.rows('quotas')))

    def test_removing_where_the_tables_are_missing(self):
        first, second = self.deploy_legacy()
        first.drop('quotas')
        second.add('quotas', 'p', 'cores', 1)
        self.set({'cores': None})
        self.assertEqual({}, second.rows('quotas'))

    def test_in_a_transaction_of_the_request_nothing_is_set(self):
        first, _ = self.deploy_legacy()
        first.add('quotas', 'p', 'cores', 1)
        context = self.context()
        with self.database.api.writer.using(context):
            for limits in ({'cores': 1}, {'cores': None}):
                self.assertRaises(
                    exception.TransactionInProgress,
                    self.limits.set_limits,
                    context,
                    limits,
                    project_id='p',
                )
        self.assertEqual(1, len(first.rows('quotas')))
        self.assertEqual({}, self.api_rows('quotas'))

    def test_a_transaction_in_a_cell_does_not_matter(self):
        first, _ = self.deploy_legacy()
        first.add('quotas', 'p', 'cores', 1)
        cctxt = self.targeted('cell2')
        with self.database.writer.using(cctxt):
            self.limits.set_limits(cctxt, {'ram': 2}, project_id='p')
            found = self.limits.get_limits(cctxt, project_id='p')
        self.assertEqual(
            {'cores': (1, 'project'), 'ram': (2, 'project')}, values(found)
        )

    def test_reservations_are_held_to_limits_in_cells(self):
        quotas = self.engine()
        self.legacy[0].add('quotas', 'p', 'cores', 5)
        context = self.context()
        handle = quotas.reserve(context, cores=4)
        error = self.assertRaises(
            exception.OverQuota, quotas.reserve, context, cores=2
        )
        self.assertEqual({'cores': 1}, error.headroom)
        quotas.commit(context, handle)
        self.break_cell('cell1')
        error = self.assertRaises(
            exception.CellUnavailable, quotas.reserve, context, cores=1
        )
        self.assertEqual('cell1', error.cell_name)

    def engine(self):
        """Quotas of a router of its own, with one cell to be asked."""
        self.deploy_legacy(1)
        for table, owner in (
            ('quotas', 'x'),
            ('project_user_quotas', ('x', 'y')),
            ('quota_classes', 'x'),
        ):
            self.legacy[0].add(table, owner, 'cores', 1)
        (cell,) = self.deployment.cells
        made = self.useFixture(
            deployment.ConfFixture(
                {
                    'api_database.connection': self.deployment.api_url,
                    'quota_database.fallback_cells': [cell.name],
                }
            )
        )
        self.router.close()
        router = cellplug.CellRouter.from_conf(made.conf)
        self.addCleanup(router.close)
        router.quotas.register_resources(
            [
                cellplug.ReservableResource('cores', sync=_count_none),
                cellplug.AbsoluteResource('files', default=10),
                cellplug.AbsoluteResource('keys', default=10),
            ]
        )
        return router.quotas

    def test_setters_at_the_same_moment(self):
        self.deploy_legacy(1, fallback=[])

        def put(limit):
            def call():
                names = {f'r{n}': limit for n in range(6)}
                order = [*names.items()]
                if limit % 2:
                    order.reverse()
                for _ in range(5):
                    self.set(dict(order))
                return True

            return call

        race = databases.Race(*(put(n) for n in range(4)))
        self.assertEqual([True] * 4, race.outcomes)
        (one,) = {limit for limit, _ in self.get().values()}
        self.assertIn(one, range(4))


class TestFallbackOnSqlite(FallbackTests):
    def test_while_all_is_marked_it_is_one_query(self):
        """Seen where nothing goes past SQLAlchemy's events."""
        self.deploy_legacy()
        self.get(user='u', quota_class='gold')
        statements = []
        engines = self.database.binding.registry.engines('api')
        sa.event.listen(
            engines.manager(single=True).engine,
            'before_cursor_execute',
            lambda *event: statements.append(event[2]),
        )
        self.get(user='u', quota_class='gold')
        (one,) = (text for text in statements if text.startswith('SELECT'))
        self.assertIn('UNION ALL', one)


class ServerTests(FallbackTests):
    """Where connections can be killed."""

    def test_a_cell_lost_at_its_commit_lets_no_other_limit_rise(self):
        """In either order of the uuids, and whichever of the cells."""
        for lost in (0, 1):
            for order in (['cell1', 'cell2'], ['cell2', 'cell1']):
                self._remove_and_lose(order, order[lost])

    def _remove_and_lose(self, order, lost):
        legacy = dict(
            zip(['cell1', 'cell2'], self.deploy_legacy(), strict=True)
        )
        legacy[order[0]].add('quotas', 'p', 'cores', 3)
        legacy[order[1]].add('quotas', 'p', 'cores', 10)
        self.limits = self.new_limits(order)
        delete = legacy_quotas.delete
        deleted = []

        def delete_and_lose(*arguments):
            deleted.append(delete(*arguments))
            if len(deleted) == 2:
                helpers_deployment.kill_connections(legacy[lost].url)
            return deleted[-1]

        with mock.patch.object(legacy_quotas, 'delete', delete_and_lose):
            error = self.assertRaises(
                exception.CellUnavailable, self.set, {'cores': None}
            )
        self.assertEqual(lost, error.cell_name)
        self.assertEqual({'cores': (3, 'project')}, self.get())
        self.set({'cores': None})
        self.assertEqual({}, self.get())


class TestFallbackOnMariaDB(ServerTests):
    backend = 'mariadb'

    def spellings(self):
        return [
            *super().spellings(),
            (mysql.BIT(1), 0, [1]),
            (mysql.BIT(8), 0, [1, 2]),
            (sa.LargeBinary(9), b'0', [b'1']),
        ]


class TestFallbackOnPostgreSQL(ServerTests):
    backend = 'postgresql'


del FallbackTests, ServerTests
