"""Answers of many cells, one by one as they arrive."""

from __future__ import annotations

import gc
import threading

from cellplug import exception
from tests.functional import databases
from tests.functional import helpers_deployment as helpers


class TestStream(helpers.DeploymentTestCase):
    def setUp(self):
        super().setUp()
        self.deploy(3)
        self.cell1, self.cell2, self.cell3 = self.deployment.cells

    def stream(self, fn, *args, **options):
        return self.router.scatter_stream(self.context(), fn, *args, **options)

    def hang(self, *cells):
        """A function that hangs in some cells; what was begun; let go."""
        over, begun = threading.Event(), []
        self.addCleanup(over.set)
        bad = [cell.uuid for cell in cells]

        def work(cctxt):
            begun.append(cctxt.cell_uuid)
            if cctxt.cell_uuid in bad:
                over.wait(helpers.PATIENCE)
            return self.words(cctxt)

        return work, begun, over.set

    def one_thread(self):
        self.deployment.conf.set_override('scatter_threads', 1, 'cells')

    def test_each_cell_has_its_outcome_once(self):
        found = [(one.cell.uuid, one.value) for one in self.stream(self.words)]
        self.assertEqual(
            sorted((c.uuid, [c.name]) for c in self.deployment.cells),
            sorted(found),
        )

    def test_an_answer_is_there_before_the_others(self):
        work, _, let_go = self.hang(self.cell1, self.cell3)
        stream = self.stream(work)
        self.assertEqual('cell2', next(stream).cell_name)
        let_go()
        self.assertEqual({'cell1', 'cell3'}, {one.cell_name for one in stream})
        self.assertEqual([], list(stream))

    def test_it_ends_at_the_deadline_with_those_that_are_missing(self):
        work, _, _ = self.hang(self.cell2)
        found = {
            one.cell_name: one.reason for one in self.stream(work, timeout=5)
        }
        self.assertEqual(
            {
                'cell1': None,
                'cell2': 'no answer within 5 s',
                'cell3': None,
            },
            found,
        )

    def test_what_arrived_in_time_is_given_to_one_who_asks_late(self):
        answered = threading.Barrier(3, timeout=helpers.PATIENCE)

        def work(cctxt):
            if cctxt.cell_uuid != self.cell3.uuid:
                answered.wait()
                return self.words(cctxt)
            answered.wait()
            late.wait(helpers.PATIENCE)
            return None

        late = threading.Event()
        self.addCleanup(late.set)
        stream = self.stream(work, timeout=5)
        databases.poll_until(
            lambda: stream._batch.deadline.over, 'the deadline does not pass'
        )
        found = [one.cell_name for one in stream if one.failure is None]
        self.assertEqual({'cell1', 'cell2'}, set(found))

    def test_a_cell_that_fails_is_an_outcome(self):
        def work(cctxt):
            raise ZeroDivisionError

        for one in self.stream(work):
            self.assertIsInstance(one.raised, ZeroDivisionError)
            self.assertEqual('ZeroDivisionError', one.reason)

    def test_a_disabled_cell_is_one_too_and_is_not_asked(self):
        self.router.cells.update(self.cell2, state='disabled')
        work, begun, _ = self.hang()
        found = {one.cell_name: one.reason for one in self.stream(work)}
        self.assertIn('is disabled', found['cell2'])
        self.assertNotIn(self.cell2.uuid, begun)

    def test_some_cells_and_no_cells(self):
        named = self.stream(self.words, cells=['cell3'], skip_cell0=True)
        self.assertEqual(['cell3'], [one.cell_name for one in named])
        self.assertEqual([], list(self.stream(self.words, cells=[])))

    def test_a_bad_argument_is_refused_before_anything_is_asked(self):
        work, begun, _ = self.hang()
        for options in ({'timeout': 0}, {'cells': 'cell1'}):
            self.assertRaises(
                exception.InvalidInput, self.stream, work, **options
            )
        self.assertRaises(
            exception.CellMappingNotFound, self.stream, work, cells=['cell10']
        )
        self.assertEqual([], begun)

    def assertOnlyFirstBegun(self, begun, let_go):
        let_go()
        self.router.scatter_gather(self.context(), self.words).complete()
        self.assertEqual([self.cell1.uuid], begun)

    def test_closing_it_early_withdraws_what_was_not_begun(self):
        self.one_thread()
        work, begun, let_go = self.hang(self.cell1)
        with self.stream(work) as stream:
            databases.poll_until(lambda: begun, 'nothing is begun')
        self.assertEqual([], list(stream))
        self.assertOnlyFirstBegun(begun, let_go)

    def test_forgetting_it_does_so_as_well(self):
        self.one_thread()
        work, begun, let_go = self.hang(self.cell1)
        stream = self.stream(work)
        databases.poll_until(lambda: begun, 'nothing is begun')
        del stream
        gc.collect()
        self.assertOnlyFirstBegun(begun, let_go)

    def test_a_child_of_a_fork_gets_no_answers_of_its_parents(self):
        work, _, let_go = self.hang(*self.deployment.cells)
        stream = self.stream(work)

        def child():
            reasons = {one.reason for one in stream}
            stream.close()
            if reasons != {'the process forked; its parent gets the answer'}:
                raise SystemExit(3)

        self.assertEqual([0], databases.in_processes(child, ()))
        let_go()
        self.assertEqual({None}, {one.reason for one in stream})
