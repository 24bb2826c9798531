"""One cell that hangs: a thousand scatters leave the process as it was."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import threading

from tests.functional import databases
from tests.functional import helpers_deployment as helpers
from tests.functional import helpers_silent

TIMES = 1000
SHORT = 2.0
"""Seconds of a scatter's time; ample for the cells that are well."""

AT_LEAST = 300.0
"""Seconds for which the hung cell's driver would wait by itself."""


def sockets():
    """How many sockets the process has open."""
    count = 0
    for entry in pathlib.Path('/proc/self/fd').iterdir():
        try:
            count += os.readlink(entry).startswith('socket:')
        except OSError:
            continue
    return count


class HungCase(helpers.DeploymentTestCase):
    """Of three cells, cell2 accepts connections and never says a word."""

    threshold = 5

    def setUp(self):
        super().setUp()
        self.server = helpers_silent.SilentServer()
        self.server.setUp()
        self.addCleanup(self.break_)
        self.deploy(
            3,
            options={
                'cell_database.connect_timeout': AT_LEAST,
                'cell_database.read_timeout': AT_LEAST,
                'cells.breaker_threshold': self.threshold,
            },
        )
        self.cell1, self.cell2, self.cell3 = self.deployment.cells
        hung = dataclasses.replace(
            self.cell2,
            generation=self.cell2.generation + 1,
            database_connection='mysql+pymysql://u:secret@127.0.0.1:'
            f'{self.server.port}/x',
        )
        self.asked = [self.cell1, hung, self.cell3]

    def scatter(self):
        return self.router.scatter_gather(
            self.context(), self.words, cells=self.asked, timeout=SHORT
        )

    def assertOthersAnswer(self, result):
        self.assertEqual(
            {self.cell1.uuid: ['cell1'], self.cell3.uuid: ['cell3']},
            result.partial(min_cells=2),
        )
        self.assertEqual([self.cell2.uuid], list(result.failed))
        self.assertNotIn('secret', repr(result.failed))

    def a_thousand(self):
        """The numbers of threads and sockets, over the course of them."""
        threads, open_ = set(), set()
        for number in range(TIMES):
            self.assertOthersAnswer(self.scatter())
            if number >= 20:  # whoever is needed is there by then
                threads.add(threading.active_count())
                open_.add(sockets())
        return threads, open_

    def break_(self):
        """The hung cell's connections break."""
        server, self.server = self.server, None
        if server is not None:
            server.cleanUp()

    def end(self):
        """They do, and what hung there has ended."""
        self.break_()
        databases.poll_until(
            lambda: not any(
                overdue
                for _, overdue in self.router._parts.bulkhead.threads()
                .values()
            ),
            'a call still hangs',
        )  # fmt: skip


class TestThatHangsForGood(HungCase):
    """Nothing but the threads' own bounds holds it."""

    threshold = 0

    def test_a_thousand_scatters_keep_threads_and_sockets_steady(self):
        at_first = threading.active_count(), sockets()
        threads, open_ = self.a_thousand()
        # The hung one, and those that ask the others.
        self.assertLessEqual(max(threads), at_first[0] + 1 + 3)
        self.assertLessEqual(max(open_) - min(open_), 1)
        self.assertLessEqual(max(open_), at_first[1] + 3)
        self.assertEqual(1, self.server.accepted)

    def test_it_is_asked_again_once_it_ended(self):
        for _ in range(3):
            self.assertOthersAnswer(self.scatter())
        self.end()
        error = self.scatter().failed[self.cell2.uuid].error
        self.assertIsNotNone(error)

    def test_the_router_closes_while_it_hangs(self):
        self.assertOthersAnswer(self.scatter())
        with helpers.Background(self.router.close) as closing:
            closing.join()
        databases.poll_until(
            lambda: (
                len(
                    [
                        thread
                        for thread in threading.enumerate()
                        if thread.name == 'cellplug-scatter'
                    ]
                )
                == 1
            ),
            'more than the thread that hangs are left',
        )


class TestThatHangsBehindABreaker(HungCase):
    """As it is configured by default."""

    def test_a_thousand_scatters_keep_threads_and_sockets_steady(self):
        at_first = threading.active_count(), sockets()
        threads, open_ = self.a_thousand()
        self.assertLessEqual(max(threads), at_first[0] + 1 + 3 + 1)
        self.assertLessEqual(max(open_), at_first[1] + 4)
