"""Who gets a cell's database, step by step, after crashes and in races."""

from __future__ import annotations

import itertools
import uuid

import sqlalchemy as sa

from cellplug import exception
from cellplug.db.cell import identity
from cellplug.db.cell import models
from tests.functional import databases

A, B, C = (str(uuid.UUID(int=number)) for number in (10, 11, 12))


def nobody(_uuid):
    return False


def everybody(_uuid):
    return True


class IdentityContract:
    tables = 'cell'

    def do(self, step, *args):
        with self.engine.begin() as connection:
            return step(connection, *args)

    def refused(self, step, *args):
        """The mismatch; the transaction it comes from stays usable."""
        with self.engine.begin() as connection:
            error = self.assertRaises(
                exception.CellIdentityMismatch, step, connection, *args
            )
            identity.read(connection)
        return error

    def read(self):
        return self.do(identity.read)

    def test_a_fresh_database_belongs_to_nobody(self):
        self.assertIsNone(self.read())

    def test_without_tables_nothing_can_be_said(self):
        empty = self.new_engine(self.new_database())
        with empty.connect() as connection:
            self.assertRaises(
                exception.SchemaMissing, identity.read, connection
            )

    def test_a_claim_is_pending_then_final(self):
        self.assertEqual(
            (A, 'pending'), self.do(identity.begin_claim, A, nobody)
        )
        self.assertEqual((A, 'pending'), self.read())

        self.do(identity.finish_claim, A, everybody)

        self.assertEqual((A, 'claimed'), self.read())

    def test_each_step_can_be_repeated(self):
        for is_known in (nobody, everybody):
            self.do(identity.begin_claim, A, is_known)
            self.do(identity.begin_claim, A, is_known)
            self.do(identity.finish_claim, A, is_known)
            self.do(identity.finish_claim, A, is_known)
            self.assertEqual(
                (A, 'claimed'), self.do(identity.begin_claim, A, is_known)
            )
            self.assertEqual((A, 'claimed'), self.read())

    def test_finishing_needs_no_beginning(self):
        self.do(identity.finish_claim, A, everybody)

        self.assertEqual((A, 'claimed'), self.read())

    def test_a_claimed_database_is_nobody_elses(self):
        self.do(identity.begin_claim, A, nobody)
        self.do(identity.finish_claim, A, nobody)
        for step, args in (
            (identity.begin_claim, (B, nobody)),
            (identity.finish_claim, (B, nobody)),
            (identity.force_claim, (B,)),
        ):
            error = self.refused(step, *args)

            self.assertEqual((B, A), (error.cell_uuid, error.found))
        self.assertFalse(self.do(identity.release, B))
        self.assertEqual((A, 'claimed'), self.read())

    def test_a_claim_of_a_cell_that_came_to_nothing_is_taken_over(self):
        self.do(identity.begin_claim, A, nobody)

        self.do(identity.begin_claim, B, nobody)

        self.assertEqual((B, 'pending'), self.read())

    def test_a_pending_claim_of_a_known_cell_stands(self):
        self.do(identity.begin_claim, A, nobody)

        for step in (identity.begin_claim, identity.finish_claim):
            error = self.refused(step, B, [A].__contains__)
            self.assertEqual(A, error.found)
        self.assertEqual((A, 'pending'), self.read())

    def test_whoever_is_known_takes_the_database_back(self):
        self.do(identity.begin_claim, A, nobody)
        self.do(identity.begin_claim, B, nobody)

        self.do(identity.finish_claim, A, [A].__contains__)

        self.assertEqual((A, 'claimed'), self.read())
        self.refused(identity.finish_claim, B, [A].__contains__)

    def test_a_forced_claim(self):
        self.do(identity.force_claim, A)
        self.assertEqual((A, 'claimed'), self.read())
        self.do(identity.force_claim, A)
        self.do(identity.release, A)
        self.do(identity.begin_claim, B, nobody)

        self.do(identity.force_claim, A)

        self.assertEqual((A, 'claimed'), self.read())

    def test_a_claim_can_be_given_up(self):
        self.do(identity.force_claim, A)

        self.assertTrue(self.do(identity.release, A))

        self.assertIsNone(self.read())
        self.assertFalse(self.do(identity.release, A))
        self.do(identity.begin_claim, B, nobody)

    def test_no_lock_is_held_while_the_api_database_is_asked(self):
        self.do(identity.begin_claim, A, nobody)

        def is_known(uuid):
            # Would hang if the row were locked.
            if self.backend != 'sqlite':
                self.do(identity.release, uuid)
            return False

        self.do(identity.begin_claim, B, is_known)

        self.assertEqual((B, 'pending'), self.read())

    def test_times_are_kept(self):
        self.do(identity.begin_claim, A, nobody)
        self.do(identity.finish_claim, A, nobody)
        with self.engine.connect() as connection:
            row = connection.execute(sa.select(models.cell_identity)).one()

        self.assertLessEqual(row.created_at, row.updated_at)

    def test_of_cells_created_at_once_one_gets_the_database(self):
        for _ in range(10):
            known = set()

            def create(uuid, known=known):
                self.do(identity.begin_claim, uuid, known.__contains__)
                known.add(uuid)
                try:
                    self.do(identity.finish_claim, uuid, known.__contains__)
                except exception.CellIdentityMismatch:
                    known.discard(uuid)
                    raise
                return uuid

            race = databases.Race(
                *[lambda uuid=uuid: create(uuid) for uuid in (A, B, C)]
            )

            winners = [one for one in race.outcomes if isinstance(one, str)]
            self.assertEqual(1, len(winners), race.outcomes)
            self.assertEqual((winners[0], 'claimed'), self.read())
            for error in race.errors:
                self.assertIsInstance(error, exception.CellIdentityMismatch)
            self.do(identity.release, winners[0])

    def test_every_order_of_two_creations_leaves_one_owner(self):
        steps = sorted(set(itertools.permutations('AAABBB')))
        for order in steps:
            with self.subTest(order=''.join(order)):
                self._create_in_order(order)

    def _create_in_order(self, order):
        """Begin, write the API row, finish: of two cells, interleaved."""
        known, lost, won = set(), set(), set()
        stage = {'A': 0, 'B': 0}
        uuids = {'A': A, 'B': B}
        for name in order:
            if name in lost:
                continue
            uuid, step = uuids[name], stage[name]
            stage[name] += 1
            try:
                if step == 0:
                    self.do(identity.begin_claim, uuid, known.__contains__)
                elif step == 1:
                    known.add(uuid)
                else:
                    self.do(identity.finish_claim, uuid, known.__contains__)
                    won.add(name)
            except exception.CellIdentityMismatch:
                lost.add(name)
                known.discard(uuid)
        self.assertEqual(1, len(won), (order, won, lost))
        (name,) = won
        self.assertEqual((uuids[name], 'claimed'), self.read())
        self.do(identity.release, uuids[name])


class TestIdentityOnSqlite(IdentityContract, databases.OnSqlite):
    pass


class TestIdentityOnMariaDB(IdentityContract, databases.OnMariaDB):
    def test_a_race_under_repeatable_read_is_seen_as_well(self):
        engine = self.engine.execution_options(
            isolation_level='REPEATABLE READ'
        )
        with engine.begin() as connection:
            # The snapshot of this transaction.
            self.assertIsNone(identity.read(connection))
            self.do(identity.begin_claim, A, nobody)

            identity.begin_claim(connection, B, nobody)

        self.assertEqual((B, 'pending'), self.read())


class TestIdentityOnPostgreSQL(IdentityContract, databases.OnPostgreSQL):
    pass
