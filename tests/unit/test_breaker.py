"""Circuits and guards, with a clock and a die of the test's own."""

from __future__ import annotations

import logging
import os
import threading

import fixtures
import testtools

from cellplug import exception
from cellplug.cells import breaker
from cellplug.cells import guard
from cellplug.objects import health
from cellplug.objects import mappings
from tests.functional import databases

SETTINGS = breaker.Settings(threshold=3, retry=4, retry_max=10)
DOWN = exception.CellUnavailable('uuid', 'cell1', 'connection refused')


class Clock:
    """Seconds, which pass when the test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def mapping(**values):
    return mappings.CellMapping(
        **{
            'uuid': 'uuid',
            'name': 'cell1',
            'database_connection': 'sqlite:///one',
            'transport_url': 'fake://one/',
            'generation': 1,
            **values,
        }
    )


class CircuitTestCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = Clock()
        self.die = 0.5
        self.opened = []
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.INFO))
        self.circuit = self.new_circuit()

    def new_circuit(self, settings=SETTINGS, part=breaker.DATABASE):
        return breaker.Circuit(
            'uuid',
            'cell1',
            part,
            settings,
            opened=self.opened.append,
            clock=self.clock,
            now=lambda: 5e8,
            rng=lambda: self.die,
        )

    def fail(self, times=1):
        for _ in range(times):
            self.circuit.failed(DOWN)

    def probe(self, error=None):
        number = self.circuit.begin_probe()
        self.assertIsNotNone(number)
        self.circuit.end_probe(number, error, 0.25)

    @property
    def state(self):
        return str(self.circuit.health().state)


class TestOpening(CircuitTestCase):
    def test_closed_refuses_nothing(self):
        self.circuit.check()
        self.assertFalse(self.circuit.is_open)
        self.assertIsNone(self.circuit.due_in())

    def test_it_opens_at_the_threshold_and_not_before(self):
        self.fail(2)
        self.circuit.check()
        self.assertEqual([], self.opened)
        self.fail()
        self.assertRaises(exception.CellUnavailable, self.circuit.check)
        self.assertTrue(self.circuit.is_open)
        self.assertEqual([self.circuit], self.opened)

    def test_a_success_between_begins_the_count_anew(self):
        for _ in range(5):
            self.fail(2)
            self.circuit.succeeded(0.1)
        self.circuit.check()
        self.assertEqual(0, self.circuit.health().failures)

    def test_the_refusal_says_it_all(self):
        self.fail(3)
        self.clock.now += 1.5
        error = self.assertRaises(
            exception.CellUnavailable, self.circuit.check
        )
        self.assertEqual(
            "the database of cell 'cell1' (uuid) is unavailable: refused "
            'without asking: the last 3 attempts failed (connection '
            'refused); it is probed again in 3 s',
            str(error),
        )
        self.assertEqual('database', error.part)
        self.assertTrue(error.before_first_statement)
        self.assertTrue(error.refused)

    def test_a_queue_is_named_as_such(self):
        circuit = self.new_circuit(part=breaker.QUEUE)
        for _ in range(3):
            circuit.failed(DOWN)
        error = self.assertRaises(exception.CellUnavailable, circuit.check)
        self.assertEqual('message queue', error.part)
        self.assertIn("the message queue of cell 'cell1'", str(error))

    def test_no_threshold_never_opens(self):
        self.circuit = self.new_circuit(breaker.Settings(0, 4, 10))
        self.fail(100)
        self.circuit.check()
        self.assertEqual(100, self.circuit.health().failures)

    def test_threads_together_open_it_once(self):
        race = databases.Race(*[self.fail] * 16)
        self.assertEqual([], race.errors)
        self.assertEqual([self.circuit], self.opened)
        self.assertEqual(1, self.log.output.count('not asked any more'))

    def test_what_strangers_say_is_not_repeated(self):
        self.circuit.failed(ValueError('mysql://user:hunter2@host/x'))
        self.assertEqual('ValueError', self.circuit.health().last_error)

    def test_what_is_said_is_on_one_line(self):
        self.circuit.failed(exception.CellUnavailable('u', 'c', 'one\n two'))
        self.assertEqual('one two', self.circuit.health().last_error)


class TestProbing(CircuitTestCase):
    def setUp(self):
        super().setUp()
        self.fail(3)

    def test_a_probe_is_due_after_the_wait(self):
        self.assertEqual(4, self.circuit.due_in())
        self.assertIsNone(self.circuit.begin_probe())
        self.clock.now += 4
        self.assertEqual(0, self.circuit.due_in())
        self.assertIsNotNone(self.circuit.begin_probe())

    def test_the_wait_differs_by_a_quarter_either_way(self):
        waits = []
        for self.die in (0.0, 1.0):
            self.circuit = self.new_circuit()
            self.fail(3)
            waits.append(self.circuit.due_in())
        self.assertEqual([3, 5], waits)

    def test_the_wait_doubles_up_to_the_longest(self):
        waits = []
        for _ in range(4):
            waits.append(self.circuit.due_in())
            self.clock.now += 100
            self.probe(DOWN)
        self.assertEqual([4, 8, 10, 10], waits)

    def test_half_open_refuses_all_but_the_one_probe(self):
        self.clock.now += 4
        self.circuit.begin_probe()
        self.assertEqual('half-open', self.state)
        self.assertTrue(self.circuit.is_open)
        error = self.assertRaises(
            exception.CellUnavailable, self.circuit.check
        )
        self.assertIn('probed again just now', str(error))
        self.assertIsNone(self.circuit.begin_probe())
        self.assertIsNone(self.circuit.begin_probe(early=True))
        self.assertIsNone(self.circuit.due_in())

    def test_a_probe_that_is_answered_closes_it(self):
        self.clock.now += 4
        self.probe()
        self.circuit.check()
        self.assertEqual('closed', self.state)
        self.assertEqual(0, self.circuit.health().failures)

    def test_closed_again_it_takes_as_many_failures_as_ever(self):
        self.clock.now += 4
        self.probe()
        self.fail(2)
        self.circuit.check()
        self.fail()
        self.assertTrue(self.circuit.is_open)
        self.assertEqual(4, self.circuit.due_in())

    def test_a_probe_that_fails_opens_it_for_longer(self):
        self.clock.now += 4
        self.probe(exception.CellUnavailable('uuid', 'cell1', 'still down'))
        self.assertEqual('open', self.state)
        self.assertEqual('still down', self.circuit.health().last_error)
        self.assertEqual(8, self.circuit.due_in())

    def test_requests_from_before_change_nothing(self):
        self.circuit.succeeded(0.1)
        self.assertEqual('open', self.state)
        self.clock.now += 4
        self.circuit.begin_probe()
        self.circuit.failed(DOWN)
        self.circuit.succeeded(0.1)
        self.assertEqual('half-open', self.state)
        self.assertEqual(3, self.circuit.health().failures)

    def test_what_hung_before_it_was_closed_does_not_open_it(self):
        self.clock.now += 4
        self.probe()
        self.clock.now += 50
        for _ in range(3):
            self.circuit.failed(DOWN, 51.0)
        self.assertEqual('closed', self.state)
        self.assertEqual(0, self.circuit.health().failures)
        for _ in range(3):
            self.circuit.failed(DOWN, 49.0)
        self.assertEqual('open', self.state)

    def test_a_probe_of_what_it_was_before_means_nothing(self):
        self.clock.now += 4
        number = self.circuit.begin_probe()
        self.circuit.reset()
        self.assertFalse(self.circuit.is_probed(number))
        self.fail(3)
        self.clock.now += 4
        self.circuit.begin_probe()
        self.circuit.end_probe(number, None, 0.1)
        self.assertEqual('half-open', self.state)

    def test_one_line_when_it_opens_and_one_when_it_closes(self):
        for _ in range(3):
            self.clock.now += 100
            self.probe(DOWN)
            self.assertRaises(exception.CellUnavailable, self.circuit.check)
        self.clock.now += 100
        self.probe()
        what = "The database of cell 'cell1' (uuid)"
        why = 'the last 3 attempts failed (connection refused)'
        self.assertEqual(
            [
                f'{what} is not asked any more: {why}; it is probed in 4 s',
                f'{what} is asked again; for 400 s it was not',
            ],
            self.log.output.splitlines(),
        )

    def test_a_refusal_after_the_time_reminds_whoever_probes(self):
        self.assertRaises(exception.CellUnavailable, self.circuit.check)
        self.assertEqual(1, len(self.opened))
        self.clock.now += 4
        self.assertRaises(exception.CellUnavailable, self.circuit.check)
        self.assertEqual(2, len(self.opened))


class TestHealth(CircuitTestCase):
    def test_nothing_happened(self):
        self.assertEqual(
            health.CircuitHealth(state=health.CircuitState.CLOSED),
            self.circuit.health(),
        )
        self.assertTrue(self.circuit.health().healthy)

    def test_percentiles_are_nearest_ranks(self):
        for number in range(100, 0, -1):
            self.circuit.succeeded(number)
        found = self.circuit.health()
        self.assertEqual(
            (50, 95, 99, 100),
            (
                found.latency_p50,
                found.latency_p95,
                found.latency_p99,
                found.requests,
            ),
        )

    def test_old_latencies_are_forgotten(self):
        for seconds in [9.0] * 50 + [1.0] * 1000:
            self.circuit.succeeded(seconds)
        self.assertEqual(1.0, self.circuit.health().latency_p99)
        self.assertEqual(1050, self.circuit.health().requests)

    def test_requests_of_all_threads_are_counted(self):
        def work():
            for _ in range(500):
                self.circuit.succeeded(0.1)

        databases.Race(*[work] * 8)
        self.circuit.succeeded(0.1)
        self.assertEqual(4001, self.circuit.health().requests)

    def test_an_open_one(self):
        self.fail(3)
        self.clock.now += 1
        self.assertEqual(
            health.CircuitHealth(
                state=health.CircuitState.OPEN,
                failures=3,
                last_error='connection refused',
                last_error_at=5e8,
                next_probe_in=3.0,
                requests=3,
            ),
            self.circuit.health(),
        )

    def test_one_failure_is_not_healthy(self):
        self.fail()
        self.assertFalse(self.circuit.health().healthy)
        self.circuit.succeeded(0.1)
        self.assertTrue(self.circuit.health().healthy)


class TestFork(CircuitTestCase):
    def test_child_begins_with_a_closed_circuit(self):
        self.fail(3)

        def child():
            os._exit(0 if not self.circuit.is_open else 1)

        self.assertEqual([0], databases.in_processes(child, ()))
        self.assertTrue(self.circuit.is_open)

    def test_child_is_not_held_up_by_a_lock_of_the_parents(self):
        self.fail(3)
        held, end = threading.Event(), threading.Event()

        def hold():
            with self.circuit._locked():
                held.set()
                end.wait(databases.PATIENCE)

        thread = threading.Thread(target=hold)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(end.set)
        held.wait(databases.PATIENCE)

        def child():
            self.circuit.failed(DOWN)
            self.circuit.check()
            os._exit(self.circuit.health().failures)

        self.assertEqual([1], databases.in_processes(child, ()))


class GuardTestCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.guards = guard.Guards(SETTINGS, connections=10, total=32)
        self.guard = self.guards.admit(mapping(), None)


class TestGuard(GuardTestCase):
    def _down(self, circuit):
        for _ in range(3):
            circuit.failed(DOWN)

    def test_one_part_does_not_stop_the_other(self):
        self._down(self.guard.queue)
        self.guard.check(writer=True)
        error = self.assertRaises(
            exception.CellUnavailable, self.guard.check_queue
        )
        self.assertEqual('message queue', error.part)

    def test_a_replica_is_no_part(self):
        self._down(self.guard.database)
        self.guard.check_reader()
        self.guard.check_queue()
        self.assertRaises(
            exception.CellUnavailable, self.guard.check, writer=False
        )

    def test_states(self):
        def refused(state):
            newer = mapping(state=mappings.CellState(state))
            self.guard.follow(newer)
            asked = {
                'target': self.guard.check_target,
                'reader': lambda: self.guard.check(writer=False),
                'replica': self.guard.check_reader,
                'writer': lambda: self.guard.check(writer=True),
                'queue': self.guard.check_queue,
            }
            found = []
            for name, check in asked.items():
                try:
                    check()
                except exception.CellStateForbids as exc:
                    self.assertEqual(state, exc.state)
                    self.assertIn("cell 'cell1' (uuid) is", str(exc))
                    found.append(name)
            return found

        self.assertEqual([], refused('enabled'))
        self.assertEqual([], refused('no_new'))
        self.assertEqual(['writer'], refused('read_only'))
        self.assertEqual(
            ['target', 'reader', 'replica', 'writer', 'queue'],
            refused('disabled'),
        )
        self.assertEqual([], refused('enabled'))

    def test_the_message_says_what_is_forbidden(self):
        self.guard.follow(mapping(state=mappings.CellState.READ_ONLY))
        error = self.assertRaises(
            exception.CellStateForbids, self.guard.check, writer=True
        )
        self.assertEqual(
            "cell 'cell1' (uuid) is read_only: it takes no writes", str(error)
        )

    def test_another_address_deserves_a_try(self):
        self._down(self.guard.database)
        self._down(self.guard.queue)
        self.guard.follow(mapping(name='renamed'))
        self.assertTrue(self.guard.database.is_open)
        self.guard.follow(mapping(database_connection='sqlite:///two'))
        self.guard.check(writer=True)
        self.assertIsNone(self.guard.database.health().last_error)
        self.assertTrue(self.guard.queue.is_open)
        self.guard.follow(
            mapping(
                database_connection='sqlite:///two', transport_url='fake://2/'
            )
        )
        self.guard.check_queue()

    def test_a_newer_name_is_the_one_in_messages(self):
        self.guard.follow(mapping(name='renamed'))
        self._down(self.guard.database)
        error = self.assertRaises(
            exception.CellUnavailable, self.guard.check, writer=False
        )
        self.assertEqual('renamed', error.cell_name)

    def test_cell0_has_no_queue_to_look_at(self):
        self.assertEqual(2, len(self.guard.circuits))
        self.guard.follow(mapping(transport_url='none:///'))
        self.assertEqual([self.guard.database], self.guard.circuits)


class TestShares(GuardTestCase):
    def _add(self, number):
        return self.guards.admit(mapping(uuid=f'uuid{number}'), None)

    @property
    def share(self):
        return self.guards.budget.connections

    def test_one_total_is_divided(self):
        self.assertEqual(10, self.share)
        cells = [self._add(number) for number in range(7)]
        self.assertEqual(4, self.share)
        self.guards.dismiss(cells[0])
        self.guards.dismiss(cells[1])
        self.assertEqual(5, self.share)

    def test_each_cell_has_one_at_least(self):
        for number in range(100):
            self._add(number)
        self.assertEqual(1, self.share)

    def test_a_newer_mapping_is_no_other_cell(self):
        for _ in range(100):
            again = self.guards.admit(mapping(), self.guard)
        self.assertIs(self.guard, again)
        self.assertEqual(10, self.share)

    def test_no_total_is_no_limit(self):
        guards = guard.Guards(SETTINGS, connections=10)
        for number in range(100):
            guards.admit(mapping(uuid=f'uuid{number}'), None)
        self.assertEqual(10, guards.budget.connections)
