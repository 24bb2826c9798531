"""Cells and instance mappings on real databases, also against each other."""

from __future__ import annotations

import threading
import uuid as uuid_module

import sqlalchemy as sa
from oslo_db import exception as oslo_exception
from sqlalchemy import orm

from cellplug import exception
from cellplug.db import tables
from cellplug.db.api import cells
from cellplug.db.api import instances
from cellplug.db.api import models
from cellplug.objects import CellState
from cellplug.objects import InstanceMapping
from tests.functional import databases
from tests.functional.test_schema import NAMES

ROUNDS = 10
SECRET = 's3cr3t'


def new_uuid():
    return str(uuid_module.uuid4())


def cell_values(name, /, **values):
    place = name.encode().hex()
    return {
        'uuid': new_uuid(),
        'name': name,
        'database_connection': f'mysql+pymysql://u:{SECRET}@h/{place}',
        'transport_url': f'rabbit://u:{SECRET}@h/{place}',
        **values,
    }


def mapping(instance_uuid, cell, project_id='p', user_id=None):
    return InstanceMapping(
        instance_uuid=instance_uuid,
        cell_uuid=cell.uuid,
        project_id=project_id,
        user_id=user_id,
    )


class QueryTestCase:
    """A database with two cells, and each call in its own transaction."""

    tables = 'api'

    def setUp(self):
        super().setUp()
        self.one = self.do(cells.create, cell_values('one'))
        self.two = self.do(cells.create, cell_values('two'))

    def do(self, query, *args, **kwargs):
        with self.engine.begin() as connection:
            return query(connection, *args, **kwargs)

    def doing(self, query, *args, **kwargs):
        return lambda: self.do(query, *args, **kwargs)

    def refused(self, error, query, *args, **kwargs):
        """The error; the transaction it comes from stays usable."""
        with self.engine.begin() as connection:
            caught = self.assertRaises(
                error, query, connection, *args, **kwargs
            )
            connection.execute(sa.select(models.cell_mapping)).all()
        return caught


class CellContract(QueryTestCase):
    def test_what_was_created_is_found_by_name_and_by_uuid(self):
        values = cell_values(
            'three',
            slave_connection='mysql+pymysql://replica/three',
            state=CellState.NO_NEW,
        )

        created = self.do(cells.create, values)

        self.assertEqual(
            values, {key: getattr(created, key) for key in values}
        )
        self.assertIsInstance(created.state, CellState)
        self.assertIsNotNone(created.created_at)
        self.assertIsNone(created.updated_at)
        for key in ('three', values['uuid'], values['uuid'].upper()):
            self.assertEqual(created, self.do(cells.get, key))

    def test_an_unknown_cell_is_not_found(self):
        for key in ('On', 'ONE', 'one ', 'one%', '', new_uuid()):
            error = self.refused(exception.CellMappingNotFound, cells.get, key)
            self.assertEqual(key, error.cell)
        for query, args in (
            (cells.update, ({'name': 'x'},)),
            (cells.update, ({},)),
            (cells.delete, ()),
            (cells.lock, ()),
        ):
            self.refused(
                exception.CellMappingNotFound, query, new_uuid(), *args
            )

    def test_names_are_told_apart_byte_for_byte(self):
        made = [self.do(cells.create, cell_values(name)) for name in NAMES]

        for cell in made:
            self.assertEqual(cell, self.do(cells.get, cell.name))

    def test_all_cells_come_in_the_order_of_their_creation(self):
        third = self.do(cells.create, cell_values('a'))

        self.assertEqual([self.one, self.two, third], self.do(cells.get_all))

    def test_cells_without_a_queue_are_many(self):
        for name in ('cell0', 'cell00'):
            self.do(cells.create, cell_values(name, transport_url='none:///'))

    def test_nothing_unique_is_had_twice(self):
        for attribute in (
            'uuid',
            'name',
            'database_connection',
            'transport_url',
        ):
            taken = {attribute: getattr(self.one, attribute)}

            error = self.refused(
                exception.CellMappingExists,
                cells.create,
                cell_values('new', **taken),
            )

            self.assertEqual(attribute, error.attribute)
            self.assertEqual('one', error.other)
            self.refused(
                exception.CellMappingExists, cells.check_unique, taken
            )
            self.do(cells.check_unique, taken, self.one.uuid)
            if attribute != 'uuid':
                error = self.refused(
                    exception.CellMappingExists,
                    cells.update,
                    self.two.uuid,
                    taken,
                )
                self.assertEqual(
                    (attribute, 'one'), (error.attribute, error.other)
                )
        self.assertEqual([self.one, self.two], self.do(cells.get_all))

    def test_another_user_of_the_same_database_is_no_other_database(self):
        url = self.one.database_connection.replace('u:', 'v:')

        error = self.refused(
            exception.CellMappingExists,
            cells.update,
            self.two.uuid,
            {'database_connection': url + '?charset=utf8mb4'},
        )

        self.assertEqual('database_connection', error.attribute)

    def test_an_update_changes_only_what_was_passed(self):
        changes = {
            'name': 'uno',
            'state': CellState.DISABLED,
            'database_connection': 'mysql+pymysql://other/database',
            'slave_connection': 'mysql+pymysql://other/replica',
            'transport_url': 'rabbit://other/',
        }
        for key, value in changes.items():
            before = self.do(cells.get, self.one.uuid)

            after = self.do(cells.update, self.one.uuid, {key: value})

            self.assertEqual(value, getattr(after, key))
            self.assertGreater(after.generation, before.generation)
            for other in set(changes) - {key}:
                self.assertEqual(getattr(before, other), getattr(after, other))
            self.assertEqual(before.created_at, after.created_at)
            self.assertIsNotNone(after.updated_at)
        self.assertEqual(self.two, self.do(cells.get, 'two'))

    def test_an_update_can_take_a_value_away(self):
        self.do(
            cells.update, self.one.uuid, {'slave_connection': 'sqlite:///x'}
        )

        after = self.do(
            cells.update, self.one.uuid, {'slave_connection': None}
        )

        self.assertIsNone(after.slave_connection)

    def test_an_update_of_nothing_is_none(self):
        self.assertEqual(self.one, self.do(cells.update, self.one.uuid, {}))
        self.assertEqual(self.one, self.do(cells.get, 'one'))

    def test_a_cell_may_be_updated_to_what_it_is(self):
        same = {
            'name': 'one',
            'database_connection': self.one.database_connection,
            'transport_url': self.one.transport_url,
        }

        self.do(cells.update, self.one.uuid, same)

    def test_digests_follow_their_urls(self):
        free = self.one.database_connection
        self.do(
            cells.update,
            self.one.uuid,
            {
                'database_connection': 'mysql+pymysql://elsewhere/db',
                'transport_url': 'none:///',
            },
        )

        self.do(
            cells.update,
            self.two.uuid,
            {
                'database_connection': free,
                'transport_url': self.one.transport_url,
            },
        )

    def test_a_deleted_cell_is_gone_and_its_things_are_free(self):
        self.do(cells.delete, self.one.uuid)

        self.refused(exception.CellMappingNotFound, cells.get, 'one')
        self.do(cells.create, cell_values('one'))

    def test_a_cell_in_use_cannot_be_deleted(self):
        for _ in range(3):
            self.do(instances.map, new_uuid(), self.one.uuid, 'p')

        error = self.refused(exception.CellInUse, cells.delete, self.one.uuid)

        self.assertEqual(3, error.instances)
        self.assertEqual('one', error.cell_name)
        self.do(cells.get, 'one')

    def test_a_generation_never_repeats(self):
        seen = [self.one.generation]
        values = cell_values('three')
        for _ in range(ROUNDS):
            seen.append(self.do(cells.create, values).generation)
            for state in CellState:
                changed = self.do(
                    cells.update, values['uuid'], {'state': state}
                )
                seen.append(changed.generation)
            self.do(cells.delete, values['uuid'])

        self.assertEqual(sorted(set(seen)), seen)

    def test_a_generation_grows_though_the_clock_stands_back(self):
        ahead = 2**60
        with self.engine.begin() as connection:
            connection.execute(
                sa.update(models.cell_mapping).values(generation=ahead)
            )

        updated = self.do(cells.update, self.one.uuid, {'name': 'uno'})

        self.assertEqual(ahead + 1, updated.generation)

    def test_of_creates_at_once_one_wins(self):
        for attribute in ('name', 'database_connection', 'transport_url'):
            for number in range(ROUNDS):
                same = cell_values(f'{attribute}{number}')[attribute]
                rivals = [
                    cell_values(f'{attribute}-{number}-{index}')
                    for index in range(4)
                ]
                race = databases.Race(
                    *[
                        self.doing(cells.create, {**one, attribute: same})
                        for one in rivals
                    ]
                )
                self._one_wins(race, attribute)

    def test_of_updates_at_once_one_wins(self):
        for number in range(ROUNDS):
            race = databases.Race(
                *[
                    self.doing(cells.update, cell.uuid, {'name': f'{number}'})
                    for cell in (self.one, self.two)
                ]
            )
            self._one_wins(race, 'name')

    def _one_wins(self, race, attribute):
        self.assertEqual(
            len(race.outcomes) - 1, len(race.errors), race.outcomes
        )
        for error in race.errors:
            self.assertIsInstance(error, exception.CellMappingExists)
            self.assertEqual(attribute, error.attribute)
            self.assertIsNotNone(error.other)

    def test_what_was_lost_is_told_by_whom(self):
        values = cell_values('three')
        with self.engine.connect() as connection:
            cells.create(connection, values)
            rival = self.doing(cells.create, cell_values('three'))
            with databases.in_background(rival) as outcome:
                databases.wait_until_one_waits(self.engine)
                connection.commit()

        (error,) = outcome
        self.assertIsInstance(error, exception.CellMappingExists)
        self.assertEqual(('name', 'three'), (error.attribute, error.other))

    def test_a_cell_cannot_vanish_under_a_mapping(self):
        with self.engine.connect() as connection:
            instances.map(connection, new_uuid(), self.one.uuid, 'p')
            delete = self.doing(cells.delete, self.one.uuid)
            with databases.in_background(delete) as outcome:
                databases.wait_until_one_waits(self.engine)
                connection.commit()

        (error,) = outcome
        self.assertIsInstance(error, exception.CellInUse)

    def test_nothing_is_mapped_to_a_cell_that_is_being_deleted(self):
        def map_it(connection):
            instances.map(connection, new_uuid(), self.one.uuid, 'p')

        def map_many(connection):
            instances.map_many(connection, [mapping(new_uuid(), self.one)])

        for query in (map_it, map_many):
            with self.engine.connect() as connection:
                cells.delete(connection, self.one.uuid)
                late = self.doing(query)
                with databases.in_background(late) as outcome:
                    databases.wait_until_one_waits(self.engine)
                    connection.commit()
            (error,) = outcome
            self.assertIsInstance(error, exception.CellMappingNotFound)
            self.one = self.do(cells.create, cell_values('one'))

    def test_deleting_against_mapping(self):
        for number in range(ROUNDS):
            cell = self.do(cells.create, cell_values(f'cell{number}'))
            uuids = [new_uuid() for _ in range(3)]
            race = databases.Race(
                self.doing(cells.delete, cell.uuid),
                *[
                    self.doing(instances.map, one, cell.uuid, 'p')
                    for one in uuids
                ],
            )

            deleted = not isinstance(race.outcomes[0], Exception)
            mapped = self.do(instances.count, cell.uuid)
            if deleted:
                self.assertEqual(0, mapped)
            self.assertEqual(0 if deleted else 3, mapped, race.outcomes)

    def test_no_message_holds_a_secret(self):
        for error in (
            self.refused(
                exception.CellMappingExists, cells.create, cell_values('one')
            ),
            self.refused(DATABASE_ERRORS, cells.create, cell_values('x' * 300))
            if self.backend != 'sqlite'
            else None,
        ):
            self.assertNotIn(SECRET, f'{error!r} {error}')


DATABASE_ERRORS = (sa.exc.DBAPIError, oslo_exception.DBError)


class InstanceContract(QueryTestCase):
    def test_a_mapping_is_found_with_its_cell(self):
        uuid = new_uuid()

        made = self.do(instances.map, uuid, self.one.uuid, 'p', 'u')

        found = self.do(instances.get, uuid)
        self.assertEqual(made, found)
        for one in (made, found):
            self.assertEqual(self.one, one.cell)
            self.assertEqual(
                (uuid, self.one.uuid, 'p', 'u'),
                (
                    one.instance_uuid,
                    one.cell_uuid,
                    one.project_id,
                    one.user_id,
                ),
            )
        self.assertIsNotNone(made.created_at)

    def test_a_session_will_do_as_well(self):
        uuid = new_uuid()
        with orm.Session(self.engine) as session, session.begin():
            instances.map(session, uuid, self.one.uuid, 'p')
            instances.map_many(
                session, [mapping(new_uuid(), self.two) for _ in range(3)]
            )
            self.assertRaises(
                exception.InstanceAlreadyMapped,
                instances.map,
                session,
                uuid,
                self.two.uuid,
                'p',
            )
            found = instances.get(session, uuid)
            cells.update(session, self.one.uuid, {'name': 'uno'})

        self.assertEqual(found, self.do(instances.get, uuid))

    def test_the_look_up_is_one_statement(self):
        uuid = new_uuid()
        self.do(instances.map, uuid, self.one.uuid, 'p')
        with self.engine.connect() as connection:
            statements = []
            sa.event.listen(
                connection,
                'before_cursor_execute',
                lambda *args: statements.append(args[2][:6]),
            )
            instances.get(connection, uuid)
            instances.get_many(connection, [new_uuid()] * 10 + [uuid])

        self.assertEqual(2, statements.count('SELECT'), statements)

    def test_a_mapping_whose_cell_was_lost_is_still_found(self):
        uuid = new_uuid()
        self.do(instances.map, uuid, self.one.uuid, 'p')
        with self.engine.begin() as connection:
            connection.execute(sa.delete(models.cell_mapping))

        for found in (
            self.do(instances.get, uuid),
            self.do(instances.get_many, [uuid])[uuid],
        ):
            self.assertEqual(self.one.uuid, found.cell_uuid)
            self.assertIsNone(found.cell)

    def test_what_is_not_mapped_is_not_found(self):
        uuid = new_uuid()

        error = self.refused(
            exception.InstanceMappingNotFound, instances.get, uuid
        )

        self.assertEqual(uuid, error.instance_uuid)
        self.refused(
            exception.InstanceMappingNotFound,
            instances.move,
            uuid,
            self.one.uuid,
            1,
        )

    def test_mapping_again_to_the_same_cell_changes_nothing(self):
        uuid = new_uuid()
        first = self.do(instances.map, uuid, self.one.uuid, 'p', 'u')

        again = self.do(instances.map, uuid, self.one.uuid, 'q', 'v')

        self.assertEqual(first, again)
        self.assertEqual(first, self.do(instances.get, uuid))

    def test_a_mapping_never_jumps(self):
        uuid = new_uuid()
        first = self.do(instances.map, uuid, self.one.uuid, 'p')

        error = self.refused(
            exception.InstanceAlreadyMapped,
            instances.map,
            uuid,
            self.two.uuid,
            'p',
        )

        self.assertEqual(
            (uuid, self.one.uuid, self.two.uuid),
            (error.instance_uuid, error.cell_uuid, error.requested),
        )
        self.assertEqual(first, self.do(instances.get, uuid))

    def test_nothing_is_mapped_to_an_unknown_cell(self):
        uuid, nowhere = new_uuid(), new_uuid()
        known = self.do(instances.map, new_uuid(), self.one.uuid, 'p')
        for query, args in (
            (instances.map, (uuid, nowhere, 'p')),
            (
                instances.move,
                (known.instance_uuid, nowhere, known.generation),
            ),
        ):
            error = self.refused(exception.CellMappingNotFound, query, *args)
            self.assertEqual(nowhere, error.cell)
        self.assertEqual([known], self.do(instances.list_, project_id='p'))

    def test_many_are_found_at_once(self):
        uuids = sorted(new_uuid() for _ in range(instances.BATCH * 2 + 1))
        self.do(
            instances.map_many, [mapping(uuid, self.one) for uuid in uuids]
        )

        found = self.do(instances.get_many, [*uuids, *uuids[:7], new_uuid()])

        self.assertEqual(uuids, sorted(found))
        for uuid, one in found.items():
            self.assertEqual(uuid, one.instance_uuid)
            self.assertEqual(self.one, one.cell)
        self.assertEqual({}, self.do(instances.get_many, []))

    def test_many_are_mapped_in_the_order_asked_for(self):
        old = self.do(instances.map, new_uuid(), self.one.uuid, 'p', 'u')
        asked = [
            mapping(new_uuid(), cell, f'p{index}', 'u')
            for index in range(instances.BATCH + 10)
            for cell in (self.one, self.two)
        ]
        asked.insert(3, mapping(old.instance_uuid, self.one, 'other'))
        asked.append(asked[0])

        done = self.do(instances.map_many, asked)

        self.assertEqual(
            [one.instance_uuid for one in asked],
            [one.instance_uuid for one in done],
        )
        self.assertEqual(old, done[3])
        for wanted, one in zip(asked, done, strict=True):
            self.assertEqual(wanted.cell_uuid, one.cell_uuid)
            self.assertGreater(one.generation, 0)
        self.assertEqual(len(asked) - 1, len(self.do(instances.list_)))
        self.assertEqual([], self.do(instances.map_many, []))

    def test_many_are_mapped_all_or_none(self):
        taken = self.do(instances.map, new_uuid(), self.two.uuid, 'p')
        good = [
            mapping(new_uuid(), self.one) for _ in range(instances.BATCH * 2)
        ]
        for bad, error in (
            (
                mapping(taken.instance_uuid, self.one),
                exception.InstanceAlreadyMapped,
            ),
            (
                InstanceMapping(
                    instance_uuid=new_uuid(),
                    cell_uuid=new_uuid(),
                    project_id='p',
                ),
                exception.CellMappingNotFound,
            ),
            (
                mapping(good[0].instance_uuid, self.two),
                exception.InstanceAlreadyMapped,
            ),
        ):
            caught = self.refused(error, instances.map_many, [*good, bad])

            self.assertEqual([taken], self.do(instances.list_))
            if error is exception.InstanceAlreadyMapped:
                self.assertEqual(bad.instance_uuid, caught.instance_uuid)

    def test_a_list_is_read_in_pages(self):
        uuids = sorted(new_uuid() for _ in range(7))
        for index, uuid in enumerate(uuids):
            cell = (self.one, self.two)[index % 2]
            self.do(instances.map, uuid, cell.uuid, f'p{index % 3}')

        def listed(**how):
            return [
                one.instance_uuid for one in self.do(instances.list_, **how)
            ]

        self.assertEqual(uuids, listed())
        self.assertEqual(uuids[:3], listed(limit=3))
        self.assertEqual(uuids[3:5], listed(limit=2, marker=uuids[2]))
        self.assertEqual([], listed(marker=uuids[-1]))
        self.assertEqual([], listed(limit=0))
        self.assertEqual(uuids[::3], listed(project_id='p0'))
        self.assertEqual(uuids[1::2], listed(cell_uuid=self.two.uuid))
        self.assertEqual(
            [uuids[3]], listed(cell_uuid=self.two.uuid, project_id='p0')
        )
        self.assertEqual([], listed(project_id='P0'))
        self.do(instances.unmap, [uuids[2]])
        self.assertEqual(uuids[3:5], listed(limit=2, marker=uuids[2]))

    def test_the_mappings_of_a_cell_are_counted(self):
        self.assertEqual(0, self.do(instances.count, self.one.uuid))
        for _ in range(3):
            self.do(instances.map, new_uuid(), self.one.uuid, 'p')

        self.assertEqual(3, self.do(instances.count, self.one.uuid))
        self.assertEqual(0, self.do(instances.count, self.two.uuid))

    def test_unmapping_tells_how_many_there_were(self):
        uuids = [new_uuid() for _ in range(instances.BATCH + 1)]
        self.do(
            instances.map_many, [mapping(uuid, self.one) for uuid in uuids]
        )
        kept = self.do(instances.map, new_uuid(), self.one.uuid, 'p')

        count = self.do(instances.unmap, [*uuids, uuids[0], new_uuid()])

        self.assertEqual(len(uuids), count)
        self.assertEqual([kept], self.do(instances.list_))
        self.assertEqual(0, self.do(instances.unmap, []))

    def test_a_move_is_compare_and_set(self):
        uuid = new_uuid()
        first = self.do(instances.map, uuid, self.one.uuid, 'p', 'u')

        moved = self.do(instances.move, uuid, self.two.uuid, first.generation)

        self.assertEqual(self.two, moved.cell)
        self.assertEqual(('p', 'u'), (moved.project_id, moved.user_id))
        self.assertGreater(moved.generation, first.generation)
        error = self.refused(
            exception.StaleRoute,
            instances.move,
            uuid,
            self.one.uuid,
            first.generation,
        )
        self.assertEqual(
            (first.generation, moved.generation),
            (error.expected, error.actual),
        )
        self.assertEqual(moved, self.do(instances.get, uuid))

    def test_a_generation_never_repeats(self):
        uuid, seen = new_uuid(), []
        for _ in range(ROUNDS):
            last = self.do(instances.map, uuid, self.one.uuid, 'p')
            seen.append(last.generation)
            for cell in (self.two, self.one, self.one):
                last = self.do(
                    instances.move, uuid, cell.uuid, last.generation
                )
                seen.append(last.generation)
            self.do(instances.unmap, [uuid])

        self.assertEqual(sorted(set(seen)), seen)

    def test_a_generation_grows_though_the_clock_stands_back(self):
        uuid, ahead = new_uuid(), 2**60
        self.do(instances.map, uuid, self.one.uuid, 'p')
        with self.engine.begin() as connection:
            connection.execute(
                sa.update(models.instance_mapping).values(generation=ahead)
            )

        moved = self.do(instances.move, uuid, self.two.uuid, ahead)

        self.assertEqual(ahead + 1, moved.generation)

    def test_of_two_cells_at_once_one_gets_the_instance(self):
        for number in range(ROUNDS * 2):
            uuid = new_uuid()
            wanted = [self.one, self.two] * 2
            calls = [
                self.doing(instances.map_many, [mapping(uuid, cell)])
                if number % 2
                else self.doing(instances.map, uuid, cell.uuid, 'p')
                for cell in wanted
            ]

            race = databases.Race(*calls)

            winner = self.do(instances.get, uuid)
            for cell, outcome in zip(wanted, race.outcomes, strict=True):
                if cell.uuid == winner.cell_uuid:
                    self.assertIn(winner, (outcome, *aslist(outcome)))
                else:
                    self.assertIsInstance(
                        outcome, exception.InstanceAlreadyMapped
                    )

    def test_a_lost_race_is_seen_when_the_winner_commits(self):
        uuid = new_uuid()
        with self.engine.connect() as connection:
            first = instances.map(connection, uuid, self.one.uuid, 'p')
            same = self.doing(instances.map, uuid, self.one.uuid, 'q')
            other = self.doing(instances.map, uuid, self.two.uuid, 'p')
            with (
                databases.in_background(same) as same,
                databases.in_background(other) as other,
            ):
                databases.wait_until_one_waits(self.engine)
                connection.commit()

        self.assertEqual([first], same)
        self.assertIsInstance(other[0], exception.InstanceAlreadyMapped)

    def test_overlapping_many_at_once(self):
        for _ in range(3):
            uuids = [new_uuid() for _ in range(60)]
            slices = (uuids[:40], uuids[20:], list(reversed(uuids)))

            race = databases.Race(
                *[
                    self.doing(
                        instances.map_many,
                        [mapping(uuid, self.one) for uuid in part],
                    )
                    for part in slices
                ]
            )

            self.assertEqual([], race.errors)
            found = self.do(instances.get_many, uuids)
            self.assertEqual(sorted(uuids), sorted(found))
            for part, outcome in zip(slices, race.outcomes, strict=True):
                self.assertEqual([found[uuid] for uuid in part], outcome)

    def test_of_moves_at_once_one_wins(self):
        for _ in range(ROUNDS):
            first = self.do(instances.map, new_uuid(), self.one.uuid, 'p')
            move = self.doing(
                instances.move,
                first.instance_uuid,
                self.two.uuid,
                first.generation,
            )

            race = databases.Race(*[move] * 4)

            self.assertEqual(3, len(race.errors), race.outcomes)
            for error in race.errors:
                self.assertIsInstance(error, exception.StaleRoute)


def aslist(outcome):
    return outcome if isinstance(outcome, list) else ()


class ServerContract:
    """What only servers with many writers can show."""

    def test_a_deadlock_is_told_as_one(self):
        barrier = threading.Barrier(2, timeout=databases.PATIENCE)

        def update(first, second):
            with self.engine.begin() as connection:
                cells.update(connection, first.uuid, {'state': 'no_new'})
                barrier.wait()
                cells.update(connection, second.uuid, {'state': 'no_new'})

        race = databases.Race(
            lambda: update(self.one, self.two),
            lambda: update(self.two, self.one),
        )

        (error,) = race.errors
        self.assertIsInstance(error, oslo_exception.DBDeadlock)

    def test_without_returning_many_are_mapped_as_well(self):
        asked = [mapping(new_uuid(), self.one) for _ in range(20)]
        self.engine.dialect.insert_executemany_returning = False

        self.do(instances.map_many, asked)

        self.assertEqual(20, self.do(instances.count, self.one.uuid))

    def test_the_clock_is_the_same_in_every_time_zone(self):
        zone = {
            'mysql': "SET time_zone = '+09:00'",
            'postgresql': "SET TIME ZONE 'Asia/Tokyo'",
        }[self.engine.dialect.name]
        with self.engine.connect() as connection:
            before = connection.scalar(sa.select(tables.clock()))
            connection.exec_driver_sql(zone)
            after = connection.scalar(sa.select(tables.clock()))

        self.assertLess(before, after)
        self.assertLess(after - before, 10_000_000)
        self.assertLess(abs(after - tables._microseconds()), 10_000_000)


class TestCellsOnSqlite(CellContract, databases.OnSqlite):
    pass


class TestCellsOnMariaDB(CellContract, ServerContract, databases.OnMariaDB):
    pass


class TestCellsOnPostgreSQL(
    CellContract, ServerContract, databases.OnPostgreSQL
):
    pass


class TestInstancesOnSqlite(InstanceContract, databases.OnSqlite):
    pass


class TestInstancesOnMariaDB(InstanceContract, databases.OnMariaDB):
    pass


class TestInstancesOnPostgreSQL(InstanceContract, databases.OnPostgreSQL):
    pass
