"""The threads in which cells are asked: who gets one, and what hangs."""

from __future__ import annotations

import logging
import threading
import time
import unittest.mock
import uuid

import fixtures
import testtools

from cellplug import exception
from cellplug import objects
from cellplug.cells import bulkhead
from cellplug.cells import lanes
from cellplug.cells import results
from cellplug.cells import shares

PATIENCE = 30.0
"""Seconds after which whoever waits has failed: "does not hang"."""

SOON = 0.05
"""Seconds, of a deadline that passes in the test."""


def cell(name):
    return objects.CellMapping(
        uuid=str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        name=name,
        database_connection=f'sqlite:///{name}',
        transport_url='none:///',
    )


def cells(count):
    return [cell(f'cell{number + 1}') for number in range(count)]


def by_name(outcomes):
    """What came of each: its value, or why there is none."""
    return {
        one.cell_name: one.reason if one.failure else one.value
        for one in outcomes
    }


def poll_until(condition, message):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(message)
        time.sleep(0.005)


class Hanging:
    """A call that hangs, in cells that are named, until it is let go.

    :ivar begun: the names of the cells in which it was begun.
    """

    def __init__(self, *names):
        self._names = names
        self._over = threading.Event()
        self.begun = []

    def __call__(self, cell):
        self.begun.append(cell.name)
        if cell.name in self._names:
            self._over.wait(2 * PATIENCE)
        return results.Outcome(cell, value=cell.name.upper())

    def let_go(self):
        self._over.set()


class BulkheadCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.log = self.useFixture(
            fixtures.FakeLogger('cellplug.cells', level=logging.INFO)
        )
        # Nothing here is found out by looking again and again.
        self.look_every(10 * PATIENCE)
        self.total = 64
        self.bulkhead = self.new_bulkhead()
        self.cells = cells(4)

    def new_bulkhead(self, **options):
        made = bulkhead.Bulkhead(
            lambda: self.total, lambda: len(self.cells), **options
        )
        self.addCleanup(self.end, made)
        return made

    def end(self, made):
        """Close it, and see its threads off: all hanging is over."""
        made.close()
        pools = list(made._pools.values())
        for thread in threading.enumerate():
            if getattr(thread, 'pool', None) in pools:
                thread.join(PATIENCE)
                self.assertFalse(thread.is_alive())

    def look_every(self, seconds):
        self.useFixture(
            fixtures.MonkeyPatch('cellplug.cells.bulkhead._LOOK', seconds)
        )

    def begun(self, asked, hanging, count=1):
        """Calls of which so many hang already, and whose time then ends."""
        batch = self.begin(asked, hanging)
        poll_until(lambda: len(hanging.begun) >= count, 'nothing is begun')
        batch.deadline = bulkhead.Deadline(SOON)
        batch.deadline._end -= SOON
        return batch

    def hanging(self, *names):
        made = Hanging(*names)
        self.addCleanup(made.let_go)
        return made

    def begin(self, asked, ask=None, seconds=PATIENCE):
        """Ask; by default cells answer with their name in capitals."""
        deadline = bulkhead.Deadline(seconds)
        return self.bulkhead.begin(asked, ask or Hanging(), deadline)

    def ask(self, asked, ask=None, seconds=PATIENCE):
        return by_name(self.begin(asked, ask, seconds).outcomes())

    def threads(self, name):
        found = self.bulkhead.threads()
        return found.get(cell(name).uuid, (0, 0))

    def pool(self):
        (found,) = self.bulkhead._pools.values()
        return found

    def ours(self):
        """The bulkhead's threads."""
        return [
            thread
            for thread in threading.enumerate()
            if getattr(thread, 'pool', None) is self.pool()
        ]


class TestAnswers(BulkheadCase):
    def test_each_cell_is_asked_once(self):
        hanging = self.hanging()
        found = self.ask([*self.cells, self.cells[0]], hanging)
        self.assertEqual(
            {'cell1': 'CELL1', 'cell2': 'CELL2', 'cell3': 'CELL3',
             'cell4': 'CELL4'},
            found,
        )  # fmt: skip
        self.assertEqual(4, len(hanging.begun))

    def test_no_cells_have_no_outcomes(self):
        self.assertEqual({}, self.ask([]))

    def test_outcomes_come_as_they_arrive_and_end(self):
        hanging = self.hanging('cell1')
        batch = self.begin(self.cells[:2], hanging)
        self.assertEqual('cell2', batch.outcome().cell_name)
        self.assertFalse(batch.done)
        hanging.let_go()
        self.assertEqual('cell1', batch.outcome().cell_name)
        self.assertTrue(batch.done)
        self.assertRaises(LookupError, batch.outcome)

    def test_one_cell_is_waited_for_by_its_ticket(self):
        deadline = bulkhead.Deadline(PATIENCE)
        ticket = self.bulkhead.submit(self.cells[0], Hanging(), deadline)
        self.assertEqual('CELL1', ticket.outcome().value)

    def test_cells_are_asked_at_the_same_time(self):
        together = threading.Barrier(4, timeout=PATIENCE)

        def ask(one):
            together.wait()
            return results.Outcome(one, value=1)

        self.assertEqual({1}, set(self.ask(self.cells, ask).values()))

    def test_an_answer_just_as_the_waiting_ends_leaves_the_gate_shut(self):
        """Else the next answer would open what is open, and break."""
        hanging = self.hanging('cell1', 'cell2')
        batch = self.begin(self.cells[:2], hanging)
        gate = batch._gate

        class EndsJustThen:
            def acquire(self, timeout=None):
                if timeout is None:
                    return gate.acquire()
                hanging.let_go()
                poll_until(lambda: batch.done, 'no answer')
                return False

            locked, release = gate.locked, gate.release

        batch._gate = EndsJustThen()
        batch.outcome()
        self.assertTrue(gate.locked())
        batch.outcome()

    def test_ctrl_c_while_it_waits_costs_no_thread(self):
        """The gate may be open when the next one comes to wait at it."""
        first, second = self.hanging('cell1'), self.hanging('cell2')

        def ask(cell):
            return (first if cell.name == 'cell1' else second)(cell)

        batch = self.begin(self.cells[:2], ask)
        gate = batch._gate

        class Interrupted:
            locked, release = gate.locked, gate.release

            def acquire(self, timeout=None):
                batch._gate = AnswersJustThen()
                raise KeyboardInterrupt

        class AnswersJustThen:
            locked, release = gate.locked, gate.release

            def acquire(self, timeout=None):
                second.let_go()
                poll_until(lambda: batch.done, 'no answer')
                return gate.acquire(timeout=timeout)

        batch._gate = Interrupted()
        self.assertRaises(KeyboardInterrupt, batch.outcome)
        first.let_go()
        poll_until(lambda: batch.done, 'no answer')
        self.assertEqual('cell1', batch.outcome().cell_name)
        self.assertEqual('cell2', batch.outcome().cell_name)
        poll_until(
            lambda: len(self.pool()._idle) == self.pool()._threads,
            'a thread is neither at work nor idle',
        )

    def test_a_late_answer_is_dropped(self):
        hanging = self.hanging('cell1')
        batch = self.begun(self.cells[:1], hanging)
        self.assertEqual('no answer within 0.05 s', batch.outcome().reason)
        hanging.let_go()
        poll_until(lambda: self.threads('cell1') == (0, 0), 'it hangs')
        self.assertRaises(LookupError, batch.outcome)
        self.assertEqual([], batch.outcomes())


class TestThreads(BulkheadCase):
    def test_they_are_used_again(self):
        seen = set()

        def ask(one):
            seen.add(threading.current_thread())
            return results.Outcome(one)

        for _ in range(50):
            self.ask(self.cells[:1], ask)
        self.assertEqual(1, len(seen))

    def test_cells_that_answer_at_once_need_few(self):
        """The one before wakes the next, unless there is nothing to do."""
        self.cells = cells(64)
        for _ in range(20):
            self.ask(self.cells)
        self.assertLess(len(self.ours()), 32)

    def test_idle_ones_end(self):
        self.bulkhead = self.new_bulkhead(idle=0.01)
        self.ask(self.cells)
        poll_until(lambda: not self.ours(), 'an idle thread does not end')
        self.assertEqual(4, len(self.ask(self.cells)))

    def test_one_that_ends_and_one_that_is_woken_miss_nothing(self):
        """A thread whose time is over just as it is woken takes the work."""
        self.bulkhead = self.new_bulkhead(idle=0.0005)
        for number in range(300):
            time.sleep(0.0001 * (number % 10))
            self.assertEqual(4, len(self.ask(self.cells)))

    def test_nothing_is_kept_of_what_was_served(self):
        """Neither the call nor its answer, by a thread that idles."""
        self.ask(self.cells)
        poll_until(
            lambda: all(thread.task is None for thread in self.ours()),
            'a thread keeps its last task',
        )

    def test_a_system_that_gives_none_is_an_error(self):
        hanging = self.hanging()
        with unittest.mock.patch.object(
            threading.Thread, 'start', side_effect=RuntimeError
        ):
            self.assertRaises(RuntimeError, self.begin, self.cells, hanging)
        self.assertEqual(4, len(self.ask(self.cells)))
        self.assertEqual([], hanging.begun)

    def test_a_system_that_gives_one_gets_by_with_it(self):
        self.ask(self.cells[:1])
        poll_until(lambda: self.pool()._idle, 'the thread does not idle')
        with unittest.mock.patch.object(
            threading.Thread, 'start', side_effect=RuntimeError
        ):
            self.assertEqual(4, len(self.ask(self.cells)))

    def test_ctrl_c_while_one_is_started_loses_none(self):
        """As it waits for the first, the second is still to be started."""
        self.bulkhead = self.new_bulkhead(idle=0.01)
        start = threading.Thread.start

        def interrupted(thread):
            start(thread)
            if threading.current_thread() is threading.main_thread():
                raise KeyboardInterrupt

        for _ in range(2):
            with unittest.mock.patch.object(
                threading.Thread, 'start', interrupted
            ):
                self.assertRaises(KeyboardInterrupt, self.begin, self.cells)
            poll_until(lambda: not self.ours(), 'a thread does not end')
        self.assertEqual(0, self.pool()._threads)
        self.assertEqual(4, len(self.ask(self.cells)))

    def test_close_ends_them_and_refuses_more(self):
        self.ask(self.cells)
        self.bulkhead.close()
        poll_until(lambda: not self.ours(), 'a thread does not end')
        self.assertRaises(exception.RouterClosed, self.begin, self.cells)

    def test_close_does_not_wait_for_what_hangs(self):
        hanging = self.hanging('cell1')
        batch = self.begin(self.cells, hanging)
        for _ in range(3):
            batch.outcome()
        self.bulkhead.close()
        self.assertEqual(
            1, len([t for t in self.ours() if t.task is not None])
        )
        hanging.let_go()
        poll_until(lambda: not self.ours(), 'a thread does not end')

    def test_what_was_begun_before_close_has_its_outcome(self):
        self.total = 1
        hanging = self.hanging('cell1')
        batch = self.begin(self.cells, hanging)
        poll_until(lambda: hanging.begun, 'nothing is begun')
        self.bulkhead.close()
        hanging.let_go()
        self.assertEqual(4, len(by_name(batch.outcomes())))


class TestShares(BulkheadCase):
    def test_no_more_at_a_time_than_the_total(self):
        self.total = 2
        running, most, lock = [], [], threading.Lock()
        together = threading.Barrier(2, timeout=PATIENCE)

        def ask(one):
            with lock:
                running.append(one)
                most.append(len(running))
            together.wait()
            with lock:
                running.remove(one)
            return results.Outcome(one)

        self.ask(self.cells, ask)
        self.assertEqual(2, max(most))

    def test_one_cell_gets_its_share_and_no_more(self):
        self.total = 8  # of 4 cells: 2 each
        hanging = self.hanging('cell1')
        for _ in range(20):
            self.begin(self.cells[:1], hanging)
        poll_until(lambda: len(hanging.begun) == 2, 'not both are begun')
        self.assertEqual(3, len(self.ask(self.cells[1:])))
        self.assertEqual(['cell1'] * 2, hanging.begun)

    def test_what_waits_is_begun_in_its_order(self):
        self.total = 1
        first, order = self.hanging('cell1'), []

        def noting(number):
            def ask(one):
                order.append(number)
                return results.Outcome(one)

            return ask

        batches = [self.begin(self.cells[:1], first)]
        batches += [
            self.begin(self.cells[:1], noting(number)) for number in range(5)
        ]
        first.let_go()
        for batch in batches:
            batch.outcomes()
        self.assertEqual([0, 1, 2, 3, 4], order)

    def test_each_cell_gets_its_turn_among_its_shares(self):
        one, two = self.cells[:2]
        made = shares.Shares()
        for asked in ([one], [one], [one], [two], [two]):
            batch = bulkhead.Batch(None, asked, Hanging(), lanes.Deadline(9))
            made.enter(list(batch._open.values()), total=8, cells=2)
        begun = []
        while (task := made.take()) is not None:
            begun.append(task.cell.name)
        self.assertEqual(['cell1', 'cell2', 'cell1', 'cell2', 'cell1'], begun)

    def test_each_cell_gets_its_turn(self):
        """One cell's long queue does not hold the others up."""
        self.total = 1
        first = self.hanging('cell4')
        holding = self.begin(self.cells[3:], first)
        poll_until(lambda: first.begun, 'nothing is begun')
        order = self.hanging()
        batches = [self.begin(self.cells[:1], order) for _ in range(3)]
        batches += [self.begin(self.cells[1:2], order)]
        first.let_go()
        for batch in [holding, *batches]:
            batch.outcomes()
        self.assertEqual(['cell1', 'cell2', 'cell1', 'cell1'], order.begun)

    def test_what_cannot_be_begun_in_time_says_why(self):
        self.total = 1
        hanging = self.hanging('cell1')
        waiting = self.begin(self.cells[:1], hanging)
        poll_until(lambda: hanging.begun, 'nothing is begun')
        self.assertEqual(
            {
                'cell1': 'not asked: earlier calls took its share of the '
                'threads, 1, for 0.05 s',
                'cell2': 'not asked: no thread was free within 0.05 s',
            },
            self.ask(self.cells[:2], hanging, SOON),
        )
        hanging.let_go()
        waiting.outcomes()
        self.assertEqual(['cell1'], hanging.begun)

    def test_cells_that_are_asked_no_more_take_no_share(self):
        self.ask(self.cells)
        found = self.pool().shares
        for lane in found._lanes.values():
            lane.used_at -= 3600
        self.cells = [cell('another')]
        self.ask(self.cells)
        self.assertEqual(64, found.share)

    def test_many_callers_keep_within_total_and_share(self):
        """Each gets all of its answers; nobody is asked twice."""
        self.total = 16
        self.cells = cells(8)
        lock, running, over = threading.Lock(), {}, []

        def ask(one):
            with lock:
                running[one.name] = running.get(one.name, 0) + 1
                if running[one.name] > 2 or sum(running.values()) > 16:
                    over.append(dict(running))
            time.sleep(0)
            with lock:
                running[one.name] -= 1
            return results.Outcome(one, value=one.name)

        def call():
            for _ in range(100):
                found = self.ask(self.cells, ask)
                if set(found.values()) != {one.name for one in self.cells}:
                    over.append(found)

        callers = [threading.Thread(target=call) for _ in range(12)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(PATIENCE)
        self.assertEqual([], over)
        self.assertEqual({(0, 0)}, set(self.bulkhead.threads().values()))


class TestOverdue(BulkheadCase):
    def hang_in_cell1(self):
        """A call hangs whose time is over."""
        hanging = self.hanging('cell1')
        self.assertEqual(
            {'cell1': 'no answer within 0.05 s'},
            by_name(self.begun(self.cells[:1], hanging).outcomes()),
        )
        return hanging

    def test_it_takes_nothing_from_other_cells(self):
        self.total = 1
        self.hang_in_cell1()
        self.assertEqual(3, len(self.ask(self.cells[1:])))

    def test_its_cell_gets_no_other_thread(self):
        hanging = self.hang_in_cell1()
        lane = self.pool().shares._lanes[self.cells[0].uuid]
        poll_until(lambda: lane.stuck_for > 1, 'time does not pass')
        for _ in range(100):
            found = self.ask(self.cells, hanging, 1)
            self.assertIn('a call that began', found.pop('cell1'))
            self.assertEqual(
                {'cell2': 'CELL2', 'cell3': 'CELL3', 'cell4': 'CELL4'}, found
            )
        self.assertEqual(1, hanging.begun.count('cell1'))
        self.assertEqual((1, 1), self.threads('cell1'))

    def test_who_has_more_time_waits_for_its_end(self):
        hanging = self.hang_in_cell1()
        batch = self.begin(self.cells[:1])
        self.assertFalse(batch.done)
        hanging.let_go()
        self.assertEqual({'cell1': 'CELL1'}, by_name(batch.outcomes()))

    def test_who_waits_for_its_end_in_vain_is_told(self):
        self.hang_in_cell1()
        (age,) = (
            task.age for task in self.pool().shares._lanes[
                self.cells[0].uuid
            ].overdue
        )  # fmt: skip
        batch = self.begin(self.cells[:1], seconds=age + 0.5)
        found = by_name(batch.outcomes())
        self.assertStartsWith(found['cell1'], 'not asked: a call that began')
        self.assertFalse(self.pool().shares._lanes[self.cells[0].uuid].queue)

    def assertStartsWith(self, text, start):
        self.assertEqual(start, text[: len(start)])

    def test_once_it_ended_all_is_as_before(self):
        hanging = self.hang_in_cell1()
        hanging.let_go()
        poll_until(lambda: self.threads('cell1') == (0, 0), 'it hangs')
        self.assertEqual({'cell1': 'CELL1'}, self.ask(self.cells[:1]))

    def test_it_is_reported_once_and_again_when_it_ends(self):
        hanging = self.hang_in_cell1()
        for _ in range(10):
            self.ask(self.cells, hanging, SOON)
        (line,) = self.log.output.splitlines()
        self.assertIn('cell1', line)
        self.assertIn(self.cells[0].uuid, line)
        hanging.let_go()
        poll_until(lambda: len(self.log.output.splitlines()) == 2, 'no line')
        self.assertIn('is asked again', self.log.output)

    def test_several_of_one_cell_are_reported_as_one(self):
        hanging = self.hanging('cell1')
        batches = [self.begin(self.cells[:1], hanging) for _ in range(2)]
        poll_until(lambda: len(hanging.begun) == 2, 'not both are begun')
        for batch in batches:
            batch.deadline = bulkhead.Deadline(0)
        for batch in batches:
            batch.outcomes()
        self.assertEqual((2, 2), self.threads('cell1'))
        self.assertEqual(1, len(self.log.output.splitlines()))
        hanging.let_go()
        poll_until(lambda: self.threads('cell1') == (0, 0), 'it hangs')
        self.assertEqual(2, len(self.log.output.splitlines()))

    def test_what_waited_for_its_thread_is_begun(self):
        """Whether or not anybody asks for its answer yet."""
        self.total = 1
        hanging = self.hanging('cell1')
        first = self.begun(self.cells[:1], hanging)
        second = self.begin(self.cells[1:2])
        first.outcomes()
        poll_until(lambda: second.done, 'what waits is not begun')

    def test_threads_are_bounded_whatever_hangs(self):
        """Total and, for each cell, a share."""
        self.total = 8
        hanging = self.hanging(*[one.name for one in self.cells])
        for _ in range(50):
            batches = [
                self.begin(self.cells, hanging, SOON / 10) for _ in range(8)
            ]
            for batch in batches:
                batch.outcomes()
        self.assertLessEqual(len(self.ours()), 8 + 4 * 2)
        self.assertLessEqual(len(hanging.begun), 4 * 2)

    def test_one_whose_caller_went_away_is_found_all_the_same(self):
        self.look_every(0.01)
        self.total = 1
        hanging = self.hanging('cell1')
        self.begun(self.cells[:1], hanging).close()
        self.assertEqual(3, len(self.ask(self.cells[1:])))
        self.assertEqual((1, 1), self.threads('cell1'))

    def test_or_when_its_cell_is_asked_again(self):
        hanging = self.hanging('cell1')
        self.begun(self.cells[:1], hanging).close()
        lane = self.pool().shares._lanes[self.cells[0].uuid]
        (task,) = lane.running
        poll_until(lambda: task.age > SOON, 'time does not pass')
        found = self.ask(self.cells[:1], hanging, SOON)
        self.assertIn('a call that began', found['cell1'])
        self.assertEqual(['cell1'], hanging.begun)


class TestLeaving(BulkheadCase):
    def busy(self):
        """The only thread is busy in cell4."""
        self.total = 1
        hanging = self.hanging('cell4')
        batch = self.begin(self.cells[3:], hanging)
        poll_until(lambda: hanging.begun, 'nothing is begun')
        return hanging, batch

    def test_what_was_not_begun_is_not_begun(self):
        hanging, first = self.busy()
        batch = self.begin(self.cells[:3], hanging)
        batch.close()
        hanging.let_go()
        first.outcomes()
        self.assertEqual([], batch.outcomes())
        self.ask(self.cells)
        self.assertEqual(['cell4'], hanging.begun)

    def test_gone_is_enough(self):
        """Which takes no lock: a collected object may say it, anywhere."""
        hanging, first = self.busy()
        batch = self.begin(self.cells[:3], hanging)
        with self.pool().lock:
            batch.gone = True
        hanging.let_go()
        first.outcomes()
        self.ask(self.cells)
        self.assertEqual(['cell4'], hanging.begun)

    def test_nothing_of_it_stays_in_the_queue_of_a_cell_that_hangs(self):
        hanging = self.hanging('cell1')
        self.begun(self.cells[:1], hanging).outcomes()
        for _ in range(100):
            self.begin(self.cells[:1]).gone = True
        lane = self.pool().shares._lanes[self.cells[0].uuid]
        self.assertLessEqual(len(lane.queue), 1)


class TestNested(BulkheadCase):
    def test_a_call_that_asks_cells_lends_its_thread(self):
        self.total = 1

        def outer(one):
            found = self.ask(self.cells)
            return results.Outcome(one, value=len(found))

        found = self.ask(self.cells, outer)
        self.assertEqual({one.name: 4 for one in self.cells}, found)
        self.assertEqual({(0, 0)}, set(self.bulkhead.threads().values()))

    def test_one_that_is_overdue_meanwhile_counts_as_such(self):
        self.total = 1
        inner = self.hanging('cell2')

        def outer(one):
            return results.Outcome(one, value=self.ask(self.cells[1:2], inner))

        batch = self.begin(self.cells[:1], outer)
        poll_until(lambda: inner.begun, 'nothing is begun')
        batch.deadline = bulkhead.Deadline(0)
        batch.outcomes()
        self.assertEqual((1, 1), self.threads('cell1'))
        inner.let_go()
        poll_until(lambda: self.threads('cell1') == (0, 0), 'it hangs')
        self.assertEqual(4, len(self.ask(self.cells)))


class TestDeadline(testtools.TestCase):
    def test_it_passes_and_never_is_too_long_to_wait_for(self):
        self.assertTrue(lanes.Deadline(0).over)
        self.assertEqual(0, lanes.Deadline(0).left)
        self.assertFalse(lanes.Deadline(PATIENCE).over)
        self.assertEqual(threading.TIMEOUT_MAX, lanes.Deadline(1e300).left)
