"""Asking many cells at once: what one bad cell does not do to the others."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import threading

from oslo_context import context as oslo_context

import cellplug
from cellplug import exception
from cellplug.cells import bulkhead
from cellplug.cells import lanes
from cellplug.cells import scatter
from tests.functional import databases
from tests.functional import helpers_deployment as helpers

SHORT = 2.0
"""Seconds for a scatter of which one cell hangs; ample for the others."""


class ScatterCase(helpers.DeploymentTestCase):
    def setUp(self):
        super().setUp()
        self.deploy(3)
        self.cell1, self.cell2, self.cell3 = self.deployment.cells

    def context(self, **values):
        return self.deployment.context(**values)

    def scatter(self, fn, *args, **options):
        return self.router.scatter_gather(self.context(), fn, *args, **options)

    def bulkhead(self):
        """Threads of the test's own: one at a time."""
        made = bulkhead.Bulkhead(lambda: 1, lambda: 1)
        self.addCleanup(made.close)
        return made

    def hang(self):
        """A function that hangs in cell2 until the test is over."""
        over = threading.Event()
        self.addCleanup(over.set)

        def work(cctxt):
            if cctxt.cell_uuid == self.cell2.uuid:
                over.wait()
            return self.words(cctxt)

        return work


class AnswerTests:
    """What comes of a scatter in which all is well."""

    def test_each_cell_answers_from_its_own_database(self):
        result = self.scatter(self.words)
        self.assertEqual(
            {c.uuid: [c.name] for c in self.deployment.cells},
            result.complete(),
        )
        self.assertEqual({}, result.failed)

    def test_arguments_are_handed_on(self):
        result = self.scatter(lambda cctxt, a, b: (a, b), 1, 'x')
        self.assertEqual({(1, 'x')}, set(result.complete().values()))

    def test_each_task_commits_its_own_transaction(self):
        """The caller's open one on the same cell is not joined."""
        context = self.context()
        with self.router.target_cell(context, self.cell1) as cctxt:
            with self.database.reader.using(cctxt):
                result = self.router.scatter_gather(
                    context, self.add, 'scattered'
                )
                result.complete()
        for cell in self.deployment.cells:
            self.assertEqual(
                [cell.name, 'scattered'],
                helpers.stored(cell.database_connection),
            )

    def test_what_a_task_did_the_request_has_done(self):
        """So nothing repeats it as if nothing had happened."""
        context = self.context()
        seen = [context._request_state.acted]
        for task in (self.words, lambda cctxt: self.add(cctxt, 'new')):
            self.router.scatter_gather(context, task).complete()
            self.assertNotIn(context._request_state.acted, seen)
            seen.append(context._request_state.acted)

    def test_a_rolled_back_caller_takes_no_task_with_it(self):
        context = self.context()
        others = [self.cell2, self.cell3]

        def outer():
            with self.router.target_cell(context, self.cell1) as cctxt:
                with self.database.writer.using(cctxt):
                    self.add(cctxt, 'mine')
                    self.router.scatter_gather(
                        cctxt, self.add, 'theirs', cells=others
                    ).complete()
                    raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, outer)
        self.assertEqual(
            ['cell1'], helpers.stored(self.cell1.database_connection)
        )
        self.assertEqual(
            ['cell2', 'theirs'],
            helpers.stored(self.cell2.database_connection),
        )


class TestAnswersOnSqlite(AnswerTests, ScatterCase):
    backend = 'sqlite'


class TestAnswersOnMariaDB(AnswerTests, ScatterCase):
    backend = 'mariadb'


class TestAnswersOnPostgreSQL(AnswerTests, ScatterCase):
    backend = 'postgresql'


class TestContexts(ScatterCase):
    def test_the_callers_context_stays_as_it_was(self):
        context = self.context(overwrite=True)
        self.router.set_target_cell(context, self.cell3)
        before = dict(context.__dict__)
        self.router.scatter_gather(context, self.words).complete()
        self.assertEqual(before, context.__dict__)
        self.assertIs(context, oslo_context.get_current())

    def test_a_thread_that_has_no_current_context_gets_none(self):
        context = self.context()

        def call():
            self.router.scatter_gather(context, self.words).complete()
            return oslo_context.get_current()

        self.assertIsNone(helpers.in_thread(call))

    def test_tasks_keep_class_and_attributes_of_the_context(self):
        class Special(cellplug.RequestContext):
            pass

        context = Special(user_id='u', project_id='p')
        context.colour = 'red'
        seen = self.router.scatter_gather(
            context, lambda cctxt: (type(cctxt), cctxt.colour)
        )
        self.assertEqual({(Special, 'red')}, set(seen.complete().values()))

    def test_log_lines_of_tasks_name_the_request(self):
        context = self.context(overwrite=False)

        def current(cctxt):
            return oslo_context.get_current().request_id

        seen = self.router.scatter_gather(context, current)
        self.assertEqual({context.request_id}, set(seen.complete().values()))

    def test_a_task_that_is_late_sees_the_context_as_it_was(self):
        gone_on, seen, found = threading.Event(), threading.Event(), []

        def slow_target(context, cell):
            gone_on.wait(helpers.PATIENCE)
            return self.router.target_cell(context, cell)

        def late(cctxt):
            found.append(cctxt.colour)
            seen.set()

        context = self.context()
        context.colour = 'red'
        result = scatter.gather(
            self.bulkhead(),
            scatter.Call(slow_target, context, late, ()),
            [self.cell1],
            lanes.Deadline(1),
        )
        self.assertEqual([self.cell1.uuid], list(result.failed))
        context.colour = 'blue'
        gone_on.set()
        self.assertTrue(seen.wait(helpers.PATIENCE))
        self.assertEqual(['red'], found)

    def test_something_else_is_no_context(self):
        self.assertRaises(
            exception.InvalidInput,
            self.router.scatter_gather,
            {'user': 'u'},
            self.words,
        )


class TestWhichCells(ScatterCase):
    def asked(self, **options):
        found = self.scatter(lambda cctxt: None, **options)
        names = {c.uuid: c.name for c in self.router.cells.list()}
        return [names[uuid] for uuid in found.complete()]

    def test_all_in_the_order_of_their_creation(self):
        self.assertEqual(['cell1', 'cell2', 'cell3'], self.asked())

    def test_cell0_is_one_of_all_and_can_be_left_out(self):
        self.deployment.add_cell(
            'cell0', uuid=cellplug.CELL0_UUID, transport_url='none:///'
        )
        self.assertIn('cell0', self.asked())
        self.assertNotIn('cell0', self.asked(skip_cell0=True))
        named = self.asked(cells=['cell0', 'cell1'], skip_cell0=True)
        self.assertEqual(['cell1'], named)

    def test_a_cell_is_asked_unless_it_is_disabled(self):
        states = ('no_new', 'read_only', 'disabled')
        for cell, state in zip(self.deployment.cells, states, strict=True):
            self.router.cells.update(cell, state=state)
        asked = []

        def work(cctxt):
            asked.append(cctxt.cell_uuid)
            return self.words(cctxt)

        result = self.scatter(work)
        self.assertEqual(
            {self.cell1.uuid: ['cell1'], self.cell2.uuid: ['cell2']},
            result.partial(),
        )
        failure = result.failed[self.cell3.uuid]
        self.assertEqual(
            f"cell 'cell3' ({self.cell3.uuid}) is disabled: it is not asked",
            failure.reason,
        )
        self.assertIsInstance(failure.error, exception.CellStateForbids)
        self.assertFalse(failure.targeted)
        self.assertEqual({self.cell1.uuid, self.cell2.uuid}, set(asked))
        self.assertRaises(exception.CellsFailed, result.complete)

    def test_the_newest_state_counts_that_the_process_has_seen(self):
        """Not that of a mapping which the caller has kept."""
        self.router.cells.update(self.cell1, state='disabled')
        result = self.scatter(self.words, cells=[self.cell1, self.cell2])
        self.assertEqual([self.cell1.uuid], list(result.failed))
        self.router.cells.update(self.cell1, state='enabled')
        self.scatter(self.words, cells=[self.cell1, self.cell2]).complete()

    def test_some_by_name_uuid_and_mapping_each_once(self):
        some = ['cell3', self.cell1.uuid.upper(), self.cell3, self.cell1]
        self.assertEqual(['cell3', 'cell1'], self.asked(cells=some))

    def test_a_name_that_no_cell_has_is_found_out_before_any_is_asked(self):
        asked = []
        error = self.assertRaises(
            exception.CellMappingNotFound,
            self.scatter,
            asked.append,
            cells=['cell1', 'cell10'],
        )
        self.assertEqual(('cell10', []), (error.cell, asked))

    def test_one_cell_is_no_list_of_cells(self):
        for one in ('cell1', self.cell1):
            error = self.assertRaises(
                exception.InvalidInput, self.scatter, self.words, cells=one
            )
            self.assertEqual('cells', error.name)

    def test_no_cells_at_all_are_a_complete_answer(self):
        result = self.scatter(self.words, cells=[])
        self.assertEqual({}, result.complete())
        self.assertEqual({}, result.partial())

    def test_what_is_no_time_is_refused(self):
        for timeout in (0, -1, True, '5', float('inf'), float('nan')):
            error = self.assertRaises(
                exception.InvalidInput,
                self.scatter,
                self.words,
                timeout=timeout,
            )
            self.assertEqual('timeout', error.name)


class TestBadCells(ScatterCase):
    def test_a_cell_that_hangs_is_not_waited_for(self):
        result = self.scatter(self.hang(), timeout=SHORT)
        self.assertEqual(
            {self.cell1.uuid: ['cell1'], self.cell3.uuid: ['cell3']},
            result.partial(),
        )
        failure = result.failed[self.cell2.uuid]
        self.assertEqual('cell2', failure.cell_name)
        self.assertEqual('no answer within 2 s', failure.reason)
        self.assertIsNone(failure.error)

    def test_the_configured_time_holds_where_none_is_named(self):
        self.deployment.conf.set_override('scatter_timeout', SHORT, 'cells')
        result = self.scatter(self.hang())
        self.assertEqual([self.cell2.uuid], list(result.failed))

    def test_a_late_answer_is_dropped(self):
        go_on, done = threading.Event(), threading.Event()

        def late(cctxt):
            go_on.wait(helpers.PATIENCE)
            threading.Timer(0, done.set).start()
            return 'late'

        result = self.scatter(late, timeout=1)
        self.assertEqual(3, len(result.failed))
        go_on.set()
        self.assertTrue(done.wait(helpers.PATIENCE))
        self.assertEqual(3, len(result.failed))
        self.assertRaises(exception.CellsFailed, result.partial)

    def test_a_hung_cell_costs_the_next_scatters_nothing(self):
        hang = self.hang()
        for _ in range(5):
            result = self.scatter(hang, timeout=0.2, cells=['cell2'])
            self.assertEqual([self.cell2.uuid], list(result.failed))
        self.deployment.conf.set_override('scatter_threads', 1, 'cells')
        others = [self.cell1, self.cell3]
        self.assertEqual(2, len(self.scatter(hang, cells=others).complete()))

    def test_a_cell_that_cannot_be_targeted_fails_alone(self):
        gone = dataclasses.replace(
            self.cell2,
            uuid='11111111-1111-1111-1111-111111111111',
            database_connection='no-such-thing://u:secret@nowhere/x',
        )
        cells = [self.cell1, gone, self.cell3]
        result = self.scatter(self.words, cells=cells)
        self.assertEqual([gone.uuid], list(result.failed))
        self.assertEqual(2, len(result.partial()))
        self.assertNotIn('secret', result.failed[gone.uuid].reason)
        error = self.assertRaises(exception.CellsFailed, result.complete)
        self.assertNotIn('secret', str(error))

    def test_whatever_is_raised_is_the_failure_of_its_cell(self):
        for kind in (ZeroDivisionError, KeyboardInterrupt, SystemExit):
            mishap = kind('at //u:secret@host')

            def work(cctxt, mishap=mishap):
                if cctxt.cell_uuid == self.cell2.uuid:
                    raise mishap
                return 'fine'

            result = self.scatter(work)
            self.assertEqual([self.cell2.uuid], list(result.failed))
            failure = result.failed[self.cell2.uuid]
            self.assertIs(mishap, failure.error)
            self.assertEqual(kind.__name__, failure.reason)
            error = self.assertRaises(exception.CellsFailed, result.complete)
            self.assertIs(mishap, error.__cause__)
            self.assertNotIn('secret', str(error))

    def test_an_error_of_cellplug_gives_its_message_as_the_reason(self):
        def work(cctxt):
            raise exception.NotSupported('this cell\ncannot do that')

        failed = self.scatter(work).failed
        self.assertEqual(
            {'this cell cannot do that'}, {f.reason for f in failed.values()}
        )

    def test_an_exception_that_is_returned_is_a_value(self):
        mishap = ZeroDivisionError()
        result = self.scatter(lambda cctxt: mishap)
        self.assertEqual({}, result.failed)
        self.assertEqual([mishap] * 3, list(result.complete().values()))

    def test_none_is_a_value(self):
        result = self.scatter(lambda cctxt: None)
        self.assertEqual([None] * 3, list(result.complete().values()))

    def test_a_down_database_names_its_cell(self):
        down = dataclasses.replace(
            self.cell2,
            generation=self.cell2.generation + 1,
            database_connection='postgresql+psycopg://u:secret@127.0.0.1:1/x',
        )
        result = self.scatter(self.words, cells=[self.cell1, down])
        self.assertIn("cell 'cell2'", result.failed[down.uuid].reason)
        self.assertNotIn('secret', repr(result.failed))


class TestResults(ScatterCase):
    def fail_in(self, *cells):
        bad = [cell.uuid for cell in cells]

        def work(cctxt):
            if cctxt.cell_uuid in bad:
                raise exception.NotSupported('not here')
            return 1

        return self.scatter(work)

    def test_complete_names_each_missing_cell_and_why(self):
        result = self.fail_in(self.cell1, self.cell3)
        error = self.assertRaises(exception.CellsFailed, result.complete)
        self.assertEqual(
            {'cell1': 'not here', 'cell3': 'not here'}, error.missing
        )
        self.assertEqual({self.cell1.uuid, self.cell3.uuid}, set(error.failed))
        self.assertEqual(1, error.answered)
        self.assertIn(f"'cell3' ({self.cell3.uuid}): not here", str(error))

    def test_partial_needs_as_many_cells_as_it_is_told(self):
        result = self.fail_in(self.cell2)
        wanted = {self.cell1.uuid: 1, self.cell3.uuid: 1}
        self.assertEqual(wanted, result.partial())
        self.assertEqual(wanted, result.partial(min_cells=2))
        self.assertRaises(exception.CellsFailed, result.partial, 3)

    def test_no_answer_at_all_is_no_partial_answer(self):
        result = self.fail_in(*self.deployment.cells)
        self.assertRaises(exception.CellsFailed, result.complete)
        self.assertRaises(exception.CellsFailed, result.partial)
        self.assertRaises(exception.CellsFailed, result.partial, 0)
        self.assertRaises(exception.CellsFailed, result.partial, -1)

    def test_it_cannot_be_iterated_or_searched(self):
        result = self.fail_in(self.cell2)
        self.assertRaises(TypeError, iter, result)
        self.assertRaises(TypeError, list, result)
        self.assertRaises(TypeError, lambda: self.cell1.uuid in result)

    def test_it_says_in_short_what_came_of_it(self):
        self.assertEqual(
            '<ScatterResult: 2 cells answered, 1 failed>',
            repr(self.fail_in(self.cell2)),
        )


class TestThreads(ScatterCase):
    def test_cells_are_asked_at_the_same_time(self):
        together = threading.Barrier(3, timeout=helpers.PATIENCE)
        self.scatter(lambda cctxt: together.wait()).complete()

    def test_no_more_cells_at_a_time_than_configured(self):
        self.deployment.conf.set_override('scatter_threads', 2, 'cells')
        together = threading.Barrier(2)
        lock, running, most = threading.Lock(), [], []

        def work(cctxt):
            with lock:
                running.append(cctxt.cell_uuid)
                most.append(len(running))
            try:
                # Two meet here; the third would wait for ever.
                if len(most) <= 2:
                    together.wait(helpers.PATIENCE)
            finally:
                with lock:
                    running.remove(cctxt.cell_uuid)

        self.assertEqual(3, len(self.scatter(work).complete()))
        self.assertEqual(2, max(most))

    def test_cells_that_still_wait_when_the_time_is_over_are_not_asked(self):
        self.deployment.conf.set_override('scatter_threads', 1, 'cells')
        over, asked = threading.Event(), []

        def work(cctxt):
            asked.append(cctxt.cell_uuid)
            over.wait(helpers.PATIENCE)

        result = self.scatter(work, timeout=SHORT)
        self.assertEqual(
            {
                'cell1': 'no answer within 2 s',
                'cell2': 'not asked: no thread was free within 2 s',
                'cell3': 'not asked: no thread was free within 2 s',
            },
            {f.cell_name: f.reason for f in result.failed.values()},
        )
        over.set()
        self.scatter(self.words).complete()
        self.assertEqual([self.cell1.uuid], asked)

    def test_a_caller_that_is_interrupted_leaves_nobody_to_begin(self):
        """By Ctrl-C, in the main thread."""
        self.deployment.conf.set_override('scatter_threads', 1, 'cells')
        former = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, former)
        over, asked = threading.Event(), []

        def work(cctxt):
            asked.append(cctxt.cell_uuid)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            over.wait(helpers.PATIENCE)

        self.assertRaises(KeyboardInterrupt, self.scatter, work)
        over.set()
        self.scatter(self.words).complete()
        self.assertEqual([self.cell1.uuid], asked)

    def test_no_thread_outlives_the_router(self):
        self.scatter(self.words).complete()
        self.router.close()
        databases.poll_until(
            lambda: (
                not any(
                    thread.name == 'cellplug-scatter'
                    for thread in threading.enumerate()
                )
            ),
            'a thread of a scatter still runs',
        )
        error = self.assertRaises(
            exception.RouterClosed, self.scatter, id, cells=[self.cell1]
        )
        self.assertIn('closed', str(error))

    def test_a_call_that_asks_all_cells_itself_gets_its_answers(self):
        """Though its own thread is the only one."""
        self.deployment.conf.set_override('scatter_threads', 1, 'cells')

        def outer(cctxt):
            found = self.router.scatter_gather(cctxt, self.words).complete()
            return sorted(found.values())

        words = [['cell1'], ['cell2'], ['cell3']]
        self.assertEqual(
            [words] * 3, list(self.scatter(outer).complete().values())
        )

    def test_many_callers_at_once_get_their_own_answers(self):
        def call(number):
            result = self.scatter(lambda cctxt: (number, self.words(cctxt)))
            return result.complete()

        race = databases.Race(*[lambda n=n: call(n) for n in range(8)])
        wanted = {c.uuid: [c.name] for c in self.deployment.cells}
        self.assertEqual(
            [{u: (n, w) for u, w in wanted.items()} for n in range(8)],
            race.outcomes,
        )

    def test_it_works_in_a_child_after_a_fork(self):
        self.scatter(self.words).complete()

        names = [cell.name for cell in self.deployment.cells]

        def child():
            found = self.scatter(self.words).complete()
            if [word for (word,) in found.values()] != names:
                raise SystemExit(3)

        self.assertEqual([0, 0], databases.in_processes(child, (), ()))

    def test_a_child_has_threads_of_its_own_while_the_parents_hang(self):
        self.deployment.conf.set_override('scatter_threads', 1, 'cells')
        hang = self.hang()
        self.scatter(hang, cells=['cell2'], timeout=0.1)

        def child():
            self.scatter(self.words).complete()
            self.router.close()

        self.assertEqual([0, 0], databases.in_processes(child, (), ()))
        result = self.scatter(hang, timeout=SHORT)
        self.assertEqual([self.cell2.uuid], list(result.failed))

    def test_a_call_that_forks_leaves_the_pool_to_its_parent(self):
        def fork(cctxt):
            child = os.fork()
            if not child:
                try:
                    self.scatter(self.words).complete()
                except BaseException:
                    os._exit(3)
                os._exit(0)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

        found = self.scatter(fork, cells=['cell1']).complete()
        self.assertEqual({self.cell1.uuid: 0}, found)

    def test_a_hung_cell_does_not_keep_the_process_from_ending(self):
        program = f"""
            import threading
            import cellplug
            from oslo_config import cfg

            conf = cfg.ConfigOpts()
            cellplug.register_opts(conf)
            conf([], project='cellplug', default_config_files=[])
            conf.set_override(
                'connection', {self.deployment.api_url!r}, 'api_database'
            )
            router = cellplug.CellRouter.from_conf(conf)
            result = router.scatter_gather(
                cellplug.RequestContext(),
                lambda cctxt: threading.Event().wait(),
                timeout=0.2,
            )
            print(len(result.failed))
            router.close()
        """
        done = subprocess.run(
            [sys.executable, '-c', textwrap.dedent(program)],
            capture_output=True,
            text=True,
            timeout=helpers.PATIENCE,
        )
        self.assertEqual(('3\n', 0), (done.stdout, done.returncode))
