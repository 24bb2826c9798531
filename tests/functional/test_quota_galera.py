"""Quotas on a cluster where every node takes writes, and one dies."""

from __future__ import annotations

import contextlib
import secrets

import fixtures as third_party
import sqlalchemy as sa
import testtools

import cellplug
from cellplug import db
from cellplug import exception
from cellplug.testing import fixtures
from cellplug.testing import services
from tests.functional import databases
from tests.functional import helpers_deployment as helpers
from tests.functional import helpers_quota_stress as stress

CONFLICTS = ('wsrep_local_cert_failures', 'wsrep_local_bf_aborts')
"""What a node counts: of the transactions that began here, those that lost
to another node's, at their COMMIT and before."""


class GaleraTestCase(testtools.TestCase):
    """One cluster for the class: it takes about ten seconds to start."""

    cluster: services.Galera

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        fixture = fixtures.ServiceFixture(services.Galera)
        fixture.setUp()
        cls.addClassCleanup(fixture.cleanUp)
        cls.cluster = fixture.service

    def setUp(self):
        super().setUp()
        self.urls = self.cluster.create_database(f'q{secrets.token_hex(4)}')
        self.folder = self.useFixture(third_party.TempDir()).path
        cellplug.sync_api_database(stress.open_conf(self.urls[0]))
        with contextlib.closing(self.books(0)) as books:
            books.set_limits()
        self.catch_up()

    def books(self, node, **options):
        return stress.RouterBooks(self.urls[node], **options)

    def catch_up(self):
        for node in self.cluster.nodes:
            node.catch_up()

    def rows(self, node):
        """The usages, and how many reservations are open."""
        with contextlib.closing(stress.connect(self.urls[node])) as raw:
            handles = 'SELECT COUNT(DISTINCT uuid) FROM reservations'
            return (
                stress.read(raw, stress.USAGES),
                stress.read(raw, handles)[0][0],
            )

    def conflicts(self):
        """How many there were at the nodes that do not die."""
        return sum(
            int(self.cluster.nodes[index].status()[name])
            for index in (0, 2)
            for name in CONFLICTS
        )


class TestAlone(testtools.TestCase):
    """A server that is no cluster, and databases that never are one."""

    def _catch_up(self, backend):
        url = self.useFixture(fixtures.DatabaseFixture(backend)).url
        engine = databases.make_engine(url)
        self.addCleanup(engine.dispose)
        asked = []
        sa.event.listen(
            engine,
            'before_cursor_execute',
            lambda connection, cursor, statement, *_: asked.append(statement),
        )
        with engine.connect() as connection:
            self.assertFalse(db.quota_queries.catch_up(connection))
            self.assertFalse(db.quota_queries.catch_up(connection))
        return asked

    def test_mariadb_is_asked_once_for_each_connection(self):
        self.assertEqual(1, len(self._catch_up('mariadb')))

    def test_other_databases_are_not_asked(self):
        for backend in ('sqlite', 'postgresql'):
            self.assertEqual([], self._catch_up(backend))


class TestCluster(GaleraTestCase):
    """A node may be behind the others, or die: nothing follows from that."""

    def open_nodes(self):
        """Two nodes' quotas, and a way to hold the second one back."""
        self.near = self._open(0)
        self.far = self._open(1)
        for number in (0, 1):
            handle = self.near.reserve(f'user{number}', {'vm': 1})
            self.near.rollback(f'user{number}', handle)
        self.raw = self._connect(0)
        self._run(self.raw, 'CREATE TABLE pad (n INT PRIMARY KEY)')
        self.catch_up()
        self.holder = self._connect(1)

    def _open(self, node, **options):
        books = self.books(node, **options)
        self.addCleanup(books.close)
        return books

    def _connect(self, node):
        connection = stress.connect(self.urls[node])
        self.addCleanup(connection.close)
        return connection

    def _run(self, connection, *statements):
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    @contextlib.contextmanager
    def far_behind(self):
        """The far node gets nothing that is committed in the block.

        It applies what is committed elsewhere one by one, and the first
        of it waits for a table that is locked there.
        """
        self.hold_back()
        try:
            yield
        finally:
            self.let_go()

    def hold_back(self):
        self._run(self.holder, 'LOCK TABLES pad READ')
        self._run(self.raw, 'INSERT INTO pad VALUES (1)')

    def let_go(self):
        self._run(self.holder, 'UNLOCK TABLES')

    def while_behind(self, call, is_behind=lambda: True):
        """What a call on the far node comes to that has to wait for it.

        The node catches up once the call waits, or when it has ended.

        :param is_behind: whether the node is behind already.
        """
        background = helpers.Background(call)
        with background:
            databases.poll_until(
                lambda: background.ended or (is_behind() and self._waits()),
                'the call neither ends nor waits',
            )
            self.let_go()
        return background.join()

    def _waits(self):
        """Whether a statement waits at the far node."""
        waiting = (
            'SELECT COUNT(*) FROM information_schema.processlist WHERE '
            "db = DATABASE() AND id <> CONNECTION_ID() AND command = 'Query'"
        )
        return stress.read(self.holder, waiting)[0][0] > 0

    def totals(self, node=0):
        return {
            name: (in_use, reserved)
            for user, name, in_use, reserved in self.rows(node)[0]
            if user == ''
        }

    def test_the_far_node_is_behind(self):
        self.open_nodes()
        with self.far_behind():
            self.assertTrue(self.near.reserve('user0', {'vm': 1}))
            self.assertEqual((0, 1), self.totals(0)['vm'])
            self.assertEqual((0, 0), self.totals(1)['vm'])

    def test_a_reservation_of_another_node_is_committed(self):
        self.open_nodes()
        with self.far_behind():
            handle = self.near.reserve('user0', {'vm': 1})
            done = self.while_behind(lambda: self.far.commit('user0', handle))
        self.assertTrue(done)
        self.assertEqual((1, 0), self.totals(1)['vm'])

    def test_a_reservation_of_another_node_is_rolled_back(self):
        self.open_nodes()
        with self.far_behind():
            handle = self.near.reserve('user0', {'vm': 1})
            self.while_behind(lambda: self.far.rollback('user0', handle))
        self.assertEqual((0, 0), self.totals(1)['vm'])

    def test_nobody_is_refused_what_was_given_back_at_another_node(self):
        self.open_nodes()
        # By another user: so neither can lean on rows of its own.
        full = self.near.reserve('user2', {'vm': 6})
        self.near.commit('user2', full)
        self.catch_up()
        with self.far_behind():
            given = self.near.reserve('user2', {'vm': -6})
            self.near.commit('user2', given)
            handle = self.while_behind(
                lambda: self.far.reserve('user0', {'vm': 1})
            )
        self.assertIsNotNone(handle)
        self.assertEqual((0, 1), self.totals(0)['vm'])

    def test_the_last_place_is_given_once(self):
        self.open_nodes()
        self.near.commit('user2', self.near.reserve('user2', {'vm': 5}))
        self.catch_up()
        with self.far_behind():
            self.assertTrue(self.near.reserve('user2', {'vm': 1}))
            self.assertEqual((5, 0), self.totals(1)['vm'])
            # The far node sees room, and loses in the end.
            handle = self.while_behind(
                lambda: self.far.reserve('user3', {'vm': 1})
            )
        self.assertIsNone(handle)
        self.catch_up()
        self.assertEqual((5, 1), self.totals(1)['vm'])

    def test_a_count_is_not_stored_over_what_another_node_did_meanwhile(self):
        self.open_nodes()
        counted = []

        def count(context, project_id, user_id):
            if not counted:
                # It looked, and saw that nothing was open.
                self.hold_back()
                handle = self.near.reserve('user0', {'vm': 1})
                self.near.commit('user0', handle)
            counted.append(user_id)
            return dict.fromkeys(stress.LIMITS, 0)

        refreshing = self._open(1, sync=count)
        skipped = self.while_behind(refreshing.refresh, lambda: bool(counted))
        self.assertIn('vm', skipped)
        self.assertEqual((1, 0), self.totals(1)['vm'])

    def test_first_reservations_at_all_nodes_make_one_row_each(self):
        self.open_nodes()
        everywhere = [self.near, self.far, self._open(2)]
        race = databases.Race(
            *[
                lambda books=books: books.reserve('user7', {'ram': 8})
                for books in everywhere
            ]
        )
        self.assertEqual([], race.errors)
        self.assertNotIn(None, race.outcomes)
        self.catch_up()
        for node in range(3):
            ram = [row for row in self.rows(node)[0] if row[1] == 'ram']
            self.assertEqual(
                [('', 'ram', 0, 24), ('user7', 'ram', 0, 24)], ram
            )

    def test_a_node_that_serves_nobody_is_unavailable(self):
        self.open_nodes()
        with contextlib.closing(stress.connect(self.urls[1])) as raw:
            self._run(raw, 'SET GLOBAL wsrep_reject_queries = ALL')
            try:
                self.assertRaises(
                    exception.DatabaseUnavailable,
                    self.far.reserve,
                    'user0',
                    {'vm': 1},
                )
            finally:
                self._run(raw, 'SET GLOBAL wsrep_reject_queries = NONE')
        self.assertTrue(self.far.reserve('user0', {'vm': 1}))

    def test_limits_hold_while_a_node_dies_and_comes_back(self):
        duration = stress.seconds(10)
        before = self.conflicts()
        run = stress.Stress(
            self.folder, self.urls, stress.RouterBooks, workers=6
        )
        outcome = run.run(
            duration,
            kill_every=0.7,
            events=[
                (duration / 4, self._kill),
                (duration / 3, self._mend),
                # Its workers had gone on elsewhere, and come back, too.
                (duration / 3, lambda: run.replace(1)),
            ],
        )

        self.assertEqual([], outcome.errors)
        for sampling in outcome.samplings:
            self.assertEqual([], sampling.faults)
            self.assertGreater(sampling.samples, 100)
        # It was a stress: limits were reached, and the nodes in conflict.
        self.assertEqual(stress.LIMITS, outcome.samplings[0].peaks)
        self.assertGreater(self.conflicts() - before, 10)
        for step in stress.ENDS:
            self.assertGreater(outcome.steps[step], 10, step)
        # Who worked at the node that died went on elsewhere, nobody else.
        journeys = [one.journey for one in outcome.accounts.values()]
        lost = [stop for one in journeys for stop in one if stop[0] == 'lost']
        self.assertEqual({1}, {node for _, node, _ in lost}, journeys)
        last = outcome.accounts['user1'].journey[-1]
        self.assertEqual(('at', 1, None), last, journeys)
        self.catch_up()
        self._check_books(outcome)

    def _kill(self):
        self.cluster.kill(1)
        self.cluster.wait_synced()

    def _mend(self):
        self.cluster.start(1)

    def _check_books(self, outcome):
        """Nothing over, nothing lost, and the same at every node."""
        with contextlib.closing(self.books(1, ahead=3 * 86400)) as books:
            books.expire()
        self.catch_up()
        for node in range(3):
            usages, reservations = self.rows(node)
            self.assertEqual(0, reservations)
            self.assertEqual([], [row for row in usages if row[3]])
            in_use = {(user, name): n for user, name, n, _ in usages if n}
            self.assertEqual(outcome.in_use(), in_use)
