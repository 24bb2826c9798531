"""Mapping all that a service has in a cell: progress, and what is in the way.

The lessons of the system that invented cells: its marker was a made-up row
in the real table, one for all cells (B 20); and what could not be mapped held
up all behind it, or was passed over without a word (B 21).
"""

from __future__ import annotations

import os
import signal
import uuid

import sqlalchemy as sa

from cellplug import exception
from cellplug import interfaces
from cellplug.cells import instance_table
from cellplug.cells import mapping_all
from tests.functional import databases
from tests.functional import helpers_deployment as helpers

SERVERS = sa.Table(
    'servers',
    sa.MetaData(),
    sa.Column('id', sa.Integer, primary_key=True),
    sa.Column('vm_uuid', sa.String(64)),
    sa.Column('tenant', sa.String(255)),
    sa.Column('owner', sa.String(255)),
    mysql_charset='utf8mb4',
)
OPTIONS = {
    'instances.table': 'servers',
    'instances.uuid_column': 'vm_uuid',
    'instances.project_column': 'tenant',
    'instances.user_column': 'owner',
}


def uuids(count, first=1):
    """In order, spread over all there are."""
    return [
        str(uuid.UUID(int=n * 2**96 + 7)) for n in range(first, first + count)
    ]


class MapAllTests:
    def setUp(self):
        super().setUp()
        self.deploy(2, options=OPTIONS)
        self.one, self.two = self.deployment.cells
        for cell in self.deployment.cells:
            with helpers.past_cellplug(cell.database_connection) as own:
                SERVERS.metadata.create_all(own)
        self.reports = []
        self.source = instance_table.TableSource(
            self.deployment.conf.instances, self.database
        )

    def fill(self, cell, rows):
        """Rows of the service: (uuid, project, user)."""
        names = ('vm_uuid', 'tenant', 'owner')
        if not rows:
            return  # SQLAlchemy would make one of defaults.
        with helpers.past_cellplug(cell.database_connection) as own:
            own.execute(
                sa.insert(SERVERS),
                [dict(zip(names, row, strict=True)) for row in rows],
            )

    def have(self, cell, count, first=1):
        """Instances that can be mapped."""
        given = uuids(count, first)
        self.fill(cell, [(one, 'p', 'u') for one in given])
        return given

    def run_it(self, cell=None, max_count=None, source=None, **options):
        run = mapping_all.MapAll(
            self.router,
            cell or self.one,
            source or self.source,
            report=lambda what, why: self.reports.append((what, why)),
            **{'batch': 10, **options},
        )
        for _ in run.run(max_count):
            pass
        return run.tally

    def mapped(self):
        """(cell, project, user) by instance, read past cellplug."""
        query = sa.text(
            'SELECT instance_uuid, cell_uuid, project_id, user_id '
            'FROM instance_mapping'
        )
        with helpers.past_cellplug(self.deployment.api_url) as connection:
            return {
                row[0]: tuple(row[1:]) for row in connection.execute(query)
            }

    def marks(self):
        """(marker, state) by cell, read past cellplug."""
        query = sa.text(
            'SELECT cell_uuid, marker, state FROM migration_state '
            "WHERE job = 'map_instances'"
        )
        with helpers.past_cellplug(self.deployment.api_url) as connection:
            return {
                row[0]: tuple(row[1:]) for row in connection.execute(query)
            }

    def of(self, given, cell=None):
        cell = cell or self.one
        return dict.fromkeys(given, (cell.uuid, 'p', 'u'))

    # -- a pass ------------------------------------------------------------

    def test_all_are_mapped(self):
        for count in (0, 1, 9, 10, 11, 25):
            given = self.have(self.one, count, first=1000 * count + 1)
            tally = self.run_it()
            self.assertEqual(
                (count, 0, False),
                (tally.mapped, tally.blocked, tally.more),
            )
            self.assertEqual(
                self.of(given), {u: self.mapped()[u] for u in given}
            )
        self.assertEqual([], self.reports)

    def test_again_changes_nothing(self):
        given = self.have(self.one, 25)
        self.run_it()
        before = self.router.instances.get_many(self.context(), given)
        tally = self.run_it()
        self.assertEqual((25, 0, 25), (
            tally.looked_at, tally.mapped, tally.already
        ))  # fmt: skip
        after = self.router.instances.get_many(self.context(), given)
        self.assertEqual(before, after)

    def test_what_the_cells_state_is_does_not_matter(self):
        """Nothing new is placed: it lives there already."""
        given = self.have(self.one, 5)
        for state in ('no_new', 'read_only'):
            self.router.cells.update(self.one, state=state)
            self.router.instances.unmap(self.context(), given)
            tally = self.run_it(self.router.cells.get(self.one.uuid))
            self.assertEqual(5, tally.mapped)

    def test_a_dry_run_writes_nothing(self):
        given = self.have(self.one, 25)
        self.router.instances.map(
            self.context(project_id='p'), given[3], 'cell2'
        )
        before = self.mapped(), self.marks()
        tally = self.run_it(dry_run=True)
        self.assertEqual(before, (self.mapped(), self.marks()))
        self.assertEqual(
            (25, 24, 0, 1),
            (tally.looked_at, tally.mapped, tally.already, tally.blocked),
        )
        self.assertEqual(given[3:4], [what[9:] for what, _ in self.reports])

    # -- progress: lesson B 20 ---------------------------------------------

    def test_a_portion_is_gone_on_behind(self):
        given = self.have(self.one, 25)
        first = self.run_it(max_count=12)
        self.assertEqual((12, True), (first.looked_at, first.more))
        self.assertEqual(self.of(given[:12]), self.mapped())
        second = self.run_it(max_count=13)
        # Exactly the end is known to be the end.
        self.assertEqual((13, False), (second.looked_at, second.more))
        self.assertEqual(self.of(given), self.mapped())

    def test_the_marker_is_no_row_among_the_mappings(self):
        """Lesson B 20: it was a made-up instance in the real table."""
        given = self.have(self.one, 25)
        self.run_it(max_count=12)
        self.assertEqual(self.of(given[:12]), self.mapped())
        self.assertEqual({self.one.uuid: (given[11], '')}, self.marks())
        self.assertEqual(
            given[:12],
            [m.instance_uuid for m in self.router.instances.iterate(
                self.context())],
        )  # fmt: skip

    def test_two_cells_at_once_do_not_disturb_each_other(self):
        """Lesson B 20: the second cell's run lost the first's progress."""
        ours = self.have(self.one, 25)
        theirs = self.have(self.two, 25, first=500)
        for most in (7, 7, 20):
            self.run_it(self.one, max_count=most)
            self.run_it(self.two, max_count=most)
        looked_at = 7 + 7 + 20
        self.assertGreater(looked_at, 25)
        self.assertEqual(
            {**self.of(ours), **self.of(theirs, self.two)}, self.mapped()
        )
        for most in (3, 3):
            tallies = [
                self.run_it(cell, max_count=most)
                for cell in (self.one, self.two)
            ]
            self.assertEqual([3, 3], [t.looked_at for t in tallies])

    def test_behind_the_end_it_begins_anew(self):
        self.have(self.one, 12)
        self.run_it()
        late = str(uuid.UUID(int=3))
        self.fill(self.one, [(late, 'p', 'u')])
        self.run_it()
        self.assertIn(late, self.mapped())

    def test_reset_begins_anew(self):
        self.have(self.one, 25)
        self.run_it(max_count=20)
        tally = self.run_it(reset=True)
        self.assertEqual((25, 5), (tally.looked_at, tally.mapped))

    def test_the_marker_need_not_exist_any_more(self):
        given = self.have(self.one, 25)
        self.run_it(max_count=12)
        with helpers.past_cellplug(self.one.database_connection) as own:
            own.execute(
                sa.delete(SERVERS).where(SERVERS.c.vm_uuid == given[11])
            )
        self.assertEqual(13, self.run_it().looked_at)
        self.assertEqual(self.of(given), self.mapped())

    def test_what_fails_on_the_way_is_gone_on_from(self):
        given = self.have(self.one, 25)
        broken = Broken(self.source, after=2)
        self.assertRaises(
            ZeroDivisionError, lambda: self.run_it(source=broken)
        )
        self.assertEqual(self.of(given[:20]), self.mapped())
        tally = self.run_it()
        self.assertEqual((5, 5), (tally.looked_at, tally.mapped))

    def test_a_batch_and_its_marker_are_written_together_or_not_at_all(self):
        """Killed at any statement, nothing is lost and nothing is done twice.

        The process dies without a word in the middle of its third batch.
        """
        given = self.have(self.one, 35)

        def die_in_the_third():
            router = self.deployment.open_router(type(self.database)())
            source = Broken(
                instance_table.TableSource(
                    self.deployment.conf.instances, router.database
                ),
                after=100,
            )
            run = mapping_all.MapAll(
                router, self.one, source, batch=10, report=print
            )
            batches = []
            take_in = router.instances.take_in

            def dying(context, cell, rows, beside):
                def last(*args):
                    beside(*args)
                    if len(batches) == 2:
                        os.kill(os.getpid(), signal.SIGKILL)

                take_in(context, cell, rows, last)
                batches.append(rows)

            router.instances.take_in = dying
            for _ in run.run():
                pass

        (code,) = databases.in_processes(die_in_the_third, ())
        self.assertEqual(-signal.SIGKILL, code)
        self.assertEqual(self.of(given[:20]), self.mapped())
        self.assertEqual((given[19], ''), self.marks()[self.one.uuid])
        tally = self.run_it()
        self.assertEqual((15, 15), (tally.looked_at, tally.mapped))

    # -- what cannot be mapped: lesson B 21 --------------------------------

    def test_what_cannot_be_mapped_holds_up_nothing(self):
        """Lesson B 21: a whole batch of them, and some everywhere."""
        given = self.have(self.one, 40)
        bad = [*given[10:20], given[25], given[39]]
        for one in bad:
            self.router.instances.map(
                self.context(project_id='q'), one, 'cell2'
            )
        tally = self.run_it()
        self.assertEqual(
            (40, 28, 0, 12),
            (tally.looked_at, tally.mapped, tally.already, tally.blocked),
        )
        self.assertEqual(
            {f'instance {one}' for one in bad},
            {what for what, _ in self.reports},
        )
        for _, why in self.reports:
            self.assertIn("cell 'cell2'", why)
        there = self.mapped()
        for one in given:
            wanted = self.two if one in bad else self.one
            self.assertEqual(wanted.uuid, there[one][0])

    def test_each_kind_of_bad_row_is_told(self):
        good = self.have(self.one, 3, first=100)
        upper = 'ABCDEF00-0000-0000-0000-000000000001'
        self.fill(
            self.one,
            [
                ('0-no-uuid', 'p', 'u'),
                (uuids(1)[0], None, 'u'),
                (uuids(1, 2)[0], '', 'u'),
                (uuids(1, 3)[0], 'p', 'x\ty'),
                (uuids(1, 4)[0], 'p', None),
                (None, 'p', 'u'),
                (None, 'p', 'u'),
                (upper, 'p', 'u'),
            ],
        )
        tally = self.run_it(batch=4)
        self.assertEqual(6, tally.blocked, self.reports)
        whys = dict(self.reports)
        self.assertIn('is no uuid', whys['instance 0-no-uuid'])
        self.assertIn('no project', whys[f'instance {uuids(1)[0]}'])
        self.assertIn('project_id', whys[f'instance {uuids(1, 2)[0]}'])
        self.assertIn('user_id', whys[f'instance {uuids(1, 3)[0]}'])
        self.assertIn('instance without a uuid', whys)
        self.assertEqual(
            {
                **self.of(good),
                uuids(1, 4)[0]: (self.one.uuid, 'p', None),
                upper.lower(): (self.one.uuid, 'p', 'u'),
            },
            self.mapped(),
        )

    def test_the_last_portion_knows_what_the_first_left_behind(self):
        given = self.have(self.one, 25)
        for one in given[:3]:
            self.router.instances.map(
                self.context(project_id='q'), one, 'cell2'
            )
        first = self.run_it(max_count=10)
        self.assertEqual((3, True), (first.left_behind, first.more))
        second = self.run_it(max_count=10)
        self.assertEqual((0, 3), (second.blocked, second.left_behind))
        last = self.run_it(max_count=10)
        self.assertEqual((3, False), (last.left_behind, last.more))
        # A new pass counts by itself.
        self.router.instances.unmap(self.context(), given[:3])
        again = self.run_it()
        self.assertEqual((3, 0), (again.mapped, again.left_behind))

    def test_two_runs_of_one_cell_at_once_are_no_trouble(self):
        """The one that begins later may go on where the other is."""
        given = self.have(self.one, 30)
        race = databases.Race(
            lambda: self.run_it(batch=30), lambda: self.run_it(batch=7)
        )
        self.assertEqual([], race.errors)
        self.assertEqual(self.of(given), self.mapped())
        one, other = [t.mapped + t.already for t in race.outcomes]
        self.assertLessEqual(max(one, other), 30)
        self.assertGreaterEqual(one + other, 30)
        self.assertEqual([0, 0], [t.left_behind for t in race.outcomes])

    # -- sources -----------------------------------------------------------

    def test_a_source_that_goes_nowhere_is_found_out(self):
        class Stuck:
            def list_after(self, context, marker, limit):
                return [interfaces.SourceInstance('1', uuids(1)[0], 'p')]

        error = self.assertRaises(
            exception.ConfigurationError, lambda: self.run_it(source=Stuck())
        )
        self.assertIn('marker', str(error))

    def test_a_table_that_is_not_there_is_one_line(self):
        for options in (
            {'table': 'no_such_table'},
            {'uuid_column': 'no_such_column'},
        ):
            error = self.assertRaises(
                exception.ConfigurationError,
                lambda options=options: self.run_it(
                    source=self.table(**options)
                ),
            )
            self.assertIn('[instances]', str(error))
            self.assertIn('no_such', str(error))
            self.assertNotIn('\n', str(error))

    def test_names_that_no_table_has_are_refused(self):
        for option, name in (
            ('table', 'a; DROP TABLE servers'),
            ('table', '.'),
            ('table', 'a.b.c '),
            ('uuid_column', '"x"'),
            ('project_column', ''),
            ('user_column', 'a b'),
        ):
            error = self.assertRaises(
                exception.ConfigurationError,
                lambda option=option, name=name: self.table(**{option: name}),
            )
            self.assertIn(f'[instances] {option}', str(error))

    def test_names_are_quoted(self):
        """As what they are: also those that SQL has a meaning for."""
        odd = sa.Table(
            'order',
            sa.MetaData(),
            sa.Column('Select', sa.String(36), primary_key=True),
            sa.Column('group', sa.String(255)),
        )
        (given,) = uuids(1)
        with helpers.past_cellplug(self.one.database_connection) as own:
            odd.metadata.create_all(own)
            own.execute(sa.insert(odd), {'Select': given, 'group': 'p'})
        source = self.table(
            table='order', uuid_column='Select', project_column='group',
            user_column=None,
        )  # fmt: skip
        self.run_it(source=source)
        self.assertEqual({given: (self.one.uuid, 'p', None)}, self.mapped())

    def test_an_instance_is_there_or_gone(self):
        (given, gone) = uuids(2)
        self.fill(self.one, [(given.upper(), 'p', 'u')])
        cctxt = self.targeted('cell1')
        self.assertTrue(self.source.has(cctxt, given))
        self.assertFalse(self.source.has(cctxt, gone))
        self.assertFalse(self.source.has(self.targeted('cell2'), given))

    def test_rows_are_counted(self):
        given = self.have(self.one, 7)
        self.fill(self.one, [(None, 'p', 'u')])
        cctxt = self.targeted('cell1')
        self.assertEqual(7, self.source.count_after(cctxt, None))
        self.assertEqual(4, self.source.count_after(cctxt, given[2]))

    def table(self, **options):
        values = {
            'table': 'servers', 'uuid_column': 'vm_uuid',
            'project_column': 'tenant', 'user_column': 'owner', **options,
        }  # fmt: skip
        return instance_table.TableSource(Options(values), self.database)


class Options(dict):
    """As much of a group of options as is looked at."""

    def __getattr__(self, name):
        return self[name]


class Broken:
    """A source that fails when it is asked for the batch behind some."""

    def __init__(self, source, after):
        self._source = source
        self._left = after

    def list_after(self, *args):
        self._left -= 1
        if self._left < 0:
            raise ZeroDivisionError
        return self._source.list_after(*args)


class TestMapAllOnSqlite(MapAllTests, helpers.DeploymentTestCase):
    pass


class TestMapAllOnMariaDB(MapAllTests, helpers.DeploymentTestCase):
    backend = 'mariadb'


class TestMapAllOnPostgreSQL(MapAllTests, helpers.DeploymentTestCase):
    backend = 'postgresql'

    def test_a_column_may_be_of_the_type_uuid(self):
        given = uuids(25)
        with helpers.past_cellplug(self.one.database_connection) as own:
            own.execute(sa.text('CREATE SCHEMA app'))
            own.execute(
                sa.text('CREATE TABLE app.vms (id uuid PRIMARY KEY, p text)')
            )
            own.execute(
                sa.text("INSERT INTO app.vms VALUES (CAST(:id AS uuid), 'p')"),
                [{'id': one} for one in given],
            )
        source = self.table(
            table='app.vms', uuid_column='id', project_column='p',
            user_column=None,
        )  # fmt: skip
        self.assertEqual(25, self.run_it(source=source).mapped)
        self.assertTrue(source.has(self.targeted('cell1'), given[3]))
        self.assertEqual(
            15, source.count_after(self.targeted('cell1'), given[9])
        )
