"""No request ever reaches another cell than its own.

Every cell's database has a marker, the cell's uuid. Threads and forked
children target cells at random, nested and joined, while others edit URLs,
drop engines and move instances. Whoever reads checks the marker; every row
that is written names the cell it is meant for.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import uuid

import sqlalchemy as sa

from cellplug import exception
from tests.functional import databases
from tests.functional import helpers_deployment as helpers

CELLS = 16
THREADS = 16
ROUNDS = 40
CHILDREN = 2
SEED = 20261120


class Requests:
    """What one thread does, from its own random numbers.

    :ivar wrong: what was read or met in a wrong cell; must stay empty.
    :ivar done: how many times a cell was used.
    """

    def __init__(self, deployment, instances, seed):
        self.deployment = deployment
        self.router = deployment.router
        self.database = deployment.database
        self.instances = instances
        self.random = random.Random(seed)
        self.wrong = []
        self.done = 0
        self.written = 0
        self.read = self.database.reader(self._marker)
        self.read_alone = self.database.reader.single(self._marker)
        self.write = self.database.writer(self._write)

    def _marker(self, context):
        words = context.session.scalars(
            sa.select(helpers.NOTE.c.word).where(helpers.NOTE.c.id == 1)
        )
        return words.one()

    def _write(self, context):
        helpers.add(context, context.cell_uuid)
        self.check(context, self._marker(context))

    def check(self, context, marker):
        self.done += 1
        if marker != context.cell_uuid:
            self.wrong.append((context.cell_uuid, marker))

    def target(self, context):
        cell = self.random.choice(self.deployment.cells)
        how = self.random.randrange(4)
        if how == 0:
            return self.router.target_cell(context, cell)
        if how == 1:
            return self.router.target_cell(context, cell.uuid)
        if how == 2:
            return self.router.target_cell(context, cell.name)
        instance = self.random.choice(self.instances)
        return self.router.target_instance(context, instance)

    def use(self, cctxt, depth=0):
        """One of many ways to work with the cell, at times inside another."""
        how = self.random.randrange(6)
        if how == 0:
            self.check(cctxt, self.read(cctxt))
        elif how == 1:
            self.check(cctxt, self.read_alone(cctxt))
        elif how == 2:
            # Refused where the request reads this cell further out.
            with contextlib.suppress(exception.ReadOnlyTransaction):
                self.write(cctxt)
                self.written += 1
        elif how == 3:
            with self.database.get_session(cctxt) as session:
                words = session.scalars(sa.select(helpers.NOTE.c.word))
                self.check(cctxt, words.first())
        elif depth < 2:
            access = self.database.writer if how == 4 else self.database.reader
            with access.using(cctxt) as session:
                self.check(cctxt, self.read(cctxt))
                with self.target(cctxt) as other:
                    if other.cell_uuid != cctxt.cell_uuid:
                        self.use(other, depth + 1)
                    with self.router.target_cell(
                        other, cctxt.cell_uuid
                    ) as again:
                        self.check(again, self.read(again))
                self.check(cctxt, self.read_alone(cctxt))
                if cctxt.session is not session:
                    self.wrong.append(('session', cctxt.cell_uuid))

    def run(self, rounds):
        kept = []
        for _ in range(rounds):
            context = self.deployment.context(overwrite=False)
            with self.target(context) as cctxt:
                self.use(cctxt)
            kept = [*kept[-5:], cctxt]
            old = self.random.choice(kept)
            self.check(old, self.read(old))


class WrongCellTests:
    def setUp(self):
        super().setUp()
        self.deploy(
            CELLS,
            options={
                # Few connections, so that they change hands all the time;
                # nested requests may hold some of each cell.
                'cell_database.max_pool_size': 2,
                'cell_database.max_overflow': 30,
                'cell_database.idle_timeout': 1,
                'api_database.max_overflow': 30,
            },
        )
        for cell in self.deployment.cells:
            with helpers.past_cellplug(cell.database_connection) as direct:
                direct.execute(sa.update(helpers.NOTE).values(word=cell.uuid))
        context = self.context()
        self.instances = [str(uuid.uuid4()) for _ in range(2 * CELLS)]
        for number, instance in enumerate(self.instances):
            cell = self.deployment.cells[number % CELLS]
            self.router.instances.map(context, instance, cell)
        self.dice = random.Random(SEED)
        self.done = threading.Event()

    # -- what goes on meanwhile --------------------------------------------

    def _until_done(self, act):
        """Act again and again, at the pace of a busy operator."""
        dice = random.Random(self.dice.random())
        while not self.done.wait(0.01):
            act(dice)

    def _edit(self, dice):
        """The same database at a URL that differs."""
        cell = dice.choice(self.deployment.cells)
        url = cell.database_connection.partition('?')[0]
        seconds = dice.randrange(5, 9)
        self.router.cells.update(
            cell,
            database_connection=f'{url}?connect_timeout={seconds}',
        )

    def _drop(self, dice):
        registry = self.router._registry
        for cell in dice.sample(self.deployment.cells, 4):
            registry.engines(cell.uuid)._used_at -= 2
        registry.drop_idle()

    def _move(self, dice):
        instance = dice.choice(self.instances)
        context = self.deployment.context(overwrite=False)
        with contextlib.suppress(exception.StaleRoute):
            self.router.instances.move(
                context,
                instance,
                dice.choice(self.deployment.cells),
                expected_generation=self.router.instances.get(
                    context, instance
                ).generation,
            )

    def _work(self, count, rounds):
        """The requests of many threads, ended."""
        requests = [
            Requests(self.deployment, self.instances, self.dice.random())
            for _ in range(count)
        ]
        with contextlib.ExitStack() as threads:
            started = [
                threads.enter_context(helpers.Background(one.run, rounds))
                for one in requests
            ]
            for one in started:
                one._thread.join(5 * helpers.PATIENCE)
        return requests

    def _fork(self):
        """A child that does the same; it ends with 0 if nothing was wrong."""
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            requests = self._work(4, ROUNDS // 2)
            if not any(one.wrong for one in requests):
                status = 0
        except BaseException as exc:
            # The runner's output is the parent's: a line of our own.
            os.write(2, f'in a child: {exc!r}\n'.encode())
        finally:
            os._exit(status)

    # -- the test ----------------------------------------------------------

    def test_no_request_reaches_another_cell(self):
        with contextlib.ExitStack() as meanwhile:
            for act in (self._edit, self._drop, self._move):
                meanwhile.enter_context(
                    helpers.Background(self._until_done, act)
                )
            meanwhile.callback(self.done.set)
            self._work(4, 5)
            children = [self._fork() for _ in range(CHILDREN)]
            requests = self._work(THREADS, ROUNDS)
            ends = [os.waitpid(pid, 0)[1] for pid in children]
        self.assertEqual([], [w for one in requests for w in one.wrong])
        self.assertEqual([0] * CHILDREN, ends)
        self.assertGreaterEqual(
            sum(one.done for one in requests), THREADS * ROUNDS
        )
        self.assertGreater(sum(one.written for one in requests), THREADS)
        for cell in self.deployment.cells:
            self.assertEqual(
                {cell.uuid}, set(helpers.stored(cell.database_connection))
            )
        self._assert_nothing_leaks()

    def _assert_nothing_leaks(self):
        registry = self.router._registry
        for cell in self.deployment.cells:
            self.assertEqual(0, registry.engines(cell.uuid)._leases)
        self.router.close()
        urls = [c.database_connection for c in self.deployment.cells]
        databases.poll_until(
            lambda: not any(helpers.connections(url) for url in urls),
            'connections stay open',
        )


class TestWrongCellOnMariaDB(WrongCellTests, helpers.DeploymentTestCase):
    backend = 'mariadb'


class TestWrongCellOnPostgreSQL(WrongCellTests, helpers.DeploymentTestCase):
    backend = 'postgresql'
