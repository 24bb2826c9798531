"""The break room's parts: what is asked for, proxies, counts and events."""

from __future__ import annotations

import contextlib
import socket
import threading

import testtools

from cellplug import exception
from cellplug import objects
from cellplug.lab import breaking
from cellplug.lab import breakroom
from cellplug.lab import errors
from cellplug.lab import ledger
from cellplug.lab import proxying
from cellplug.lab import read_only
from cellplug.lab import settings
from cellplug.lab import users
from cellplug.lab import witness

PATIENCE = 20.0
LOGIN = b'\x05\0\0\x01\x03INSE'
Kind = breaking.Kind
Part = ledger.Part


class TestAskingFor(testtools.TestCase):
    def refused(self, **values):
        error = self.assertRaises(
            errors.LabUsageError, settings.Settings(**values).check
        )
        self.assertNotIn('\n', str(error))
        return str(error)

    def test_several_cells_by_commas_and_by_repeating(self):
        self.assertEqual(
            {'cell2': Kind.HANG, 'cell3': Kind.SLOW, 'cell1': Kind.GARBAGE},
            breaking.parse(['cell2=hang, cell3=slow', 'cell1=garbage']),
        )

    def test_every_kind_is_explained(self):
        self.assertEqual(set(Kind), set(breaking.MEANINGS))

    def test_what_cannot_be_read_is_named(self):
        for text, expected in (
            ('cell2', "'cell2' is not CELL=KIND"),
            ('=hang', "'=hang' is not CELL=KIND"),
            ('', "'' is not CELL=KIND"),
            ('cell2=hang,', "'' is not CELL=KIND"),
            ('cell2=burn', "'burn'; kinds are hang, slow, refuse"),
            ('cell2=hang,cell2=slow', 'cell2 is named twice'),
        ):
            self.assertIn(expected, self.refused(breaks=(text,)))

    def test_cell0_and_others_that_are_not_there(self):
        breaking.check_names(['cell1', 'cell3'], 3)
        for cell in ('cell0', 'cell4', 'api'):
            error = self.assertRaises(
                errors.LabUsageError, breaking.check_names, [cell], 3
            )
            self.assertIn('cell1 to cell3 can', str(error))

    def test_it_goes_with_files_and_private_servers_alone(self):
        broken = ('cell1=hang',)
        settings.Settings(breaks=broken).check()
        settings.Settings(breaks=broken, real=True, seconds=1).check()
        self.assertIn('--crash', self.refused(breaks=broken, crash=True))
        self.assertIn(
            '--database-connection',
            self.refused(
                breaks=broken,
                database_template='mysql+pymysql://h/{cell}',
                transport_template='rabbit://h/{cell}',
            ),
        )

    def test_seconds_are_for_breaking(self):
        self.assertIn('--seconds goes with', self.refused(seconds=3))
        for seconds in (0, 0.5, -1, float('nan'), 1e9):
            self.assertIn(
                '--seconds',
                self.refused(breaks=('cell1=hang',), seconds=seconds),
            )

    def test_bounds_are_short_and_the_users_own_stay(self):
        taken = {'rpc': {'connect_timeout': ['7']}, 'quota': {'x': ['1']}}
        found = breakroom.tuned(taken, real=True)
        self.assertEqual(['7'], found['rpc']['connect_timeout'])
        self.assertEqual({'x': ['1']}, found['quota'])
        self.assertEqual(['2'], found['cell_database']['read_timeout'])
        self.assertEqual(['3'], found['cells']['breaker_threshold'])
        self.assertEqual({'x': ['1']}, taken['quota'])


def packet(payload, number=0):
    return len(payload).to_bytes(3, 'little') + bytes([number]) + payload


class TestReadOnly(testtools.TestCase):
    WRITES = (
        b'INSERT INTO t VALUES (1)',
        b'\n  update t set a=1',
        b'DELETE FROM t',
        b'DROP TABLE t',
    )
    READS = (b'SELECT 1', b'COMMIT', b'SELECT * FROM t FOR UPDATE', b'')

    def test_all_passes_as_it_is_while_it_is_writable(self):
        sent = b''.join(packet(b'\x03' + q) for q in self.WRITES + self.READS)
        found = read_only.Filter().sift(sent, refuses=False)
        self.assertEqual((sent, b''), found)

    def test_writes_are_answered_and_do_not_pass(self):
        for query in self.WRITES:
            passed, answer = read_only.Filter().sift(
                packet(b'\x03' + query), refuses=True
            )
            self.assertEqual(b'', passed)
            self.assertEqual(len(answer) - 4, answer[0])
            # An error packet, the first after the command, error 1290.
            self.assertEqual(b'\x01\xff\x0a\x05#HY000', answer[3:13])

    def test_the_rest_passes(self):
        for query in self.READS:
            sent = packet(b'\x03' + query)
            found = read_only.Filter().sift(sent, refuses=True)
            self.assertEqual((sent, b''), found)

    def test_what_belongs_to_the_login_passes(self):
        found = read_only.Filter().sift(LOGIN, refuses=True)
        self.assertEqual((LOGIN, b''), found)

    def test_packets_come_in_pieces(self):
        guard = read_only.Filter()
        sent = LOGIN + packet(b'\x03SELECT 1') + packet(b'\x03INSERT 1')
        passed, answered = b'', b''
        for number in range(len(sent)):
            piece = sent[number : number + 1]
            one, other = guard.sift(piece, refuses=True)
            passed, answered = passed + one, answered + other
        self.assertEqual(LOGIN + packet(b'\x03SELECT 1'), passed)
        self.assertEqual(1, answered.count(b'--read-only'))


class Echo:
    """A server that answers with what it is told."""

    def __init__(self):
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                threading.Thread(
                    target=self._answer, args=(connection,), daemon=True
                ).start()

    def _answer(self, connection):
        with contextlib.suppress(OSError), connection:
            while data := connection.recv(1000):
                connection.sendall(data)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class TestProxy(testtools.TestCase):
    def setUp(self):
        super().setUp()
        server = Echo()
        self.addCleanup(server.close)
        self.proxies = proxying.Proxies()
        self.proxies.__enter__()
        self.addCleanup(self.close)
        self.port = self.proxies.add(
            'cell1', '127.0.0.1', server.port, is_database=False
        )

    def close(self):
        # A test may have put others in their place.
        self.proxies.__exit__()

    def connect(self):
        made = socket.create_connection(('127.0.0.1', self.port), PATIENCE)
        self.addCleanup(made.close)
        return made

    def ask(self, connection, text=b'hello'):
        connection.sendall(text)
        found = b''
        while len(found) < len(text):
            part = connection.recv(1000)
            if not part:
                break
            found += part
        return found

    def assert_silent(self, connection):
        connection.settimeout(0.3)
        self.assertRaises(TimeoutError, connection.recv, 10)
        connection.settimeout(PATIENCE)

    def test_whole_it_forwards_both_ways(self):
        long = b'0123456789' * 100_000
        one, two = self.connect(), self.connect()
        self.assertEqual(b'hello', self.ask(one))
        self.assertEqual(b'hello', self.ask(two))
        sender = threading.Thread(target=one.sendall, args=(long,))
        sender.start()
        found = 0
        while found < len(long):
            found += len(one.recv(65536))
        sender.join(PATIENCE)
        self.assertEqual(len(long), found)

    def test_a_client_that_leaves_is_left(self):
        one = self.connect()
        self.ask(one)
        one.shutdown(socket.SHUT_WR)
        self.assertEqual(b'', one.recv(10))

    def test_hanging_it_accepts_and_is_silent_until_it_is_healed(self):
        old = self.connect()
        self.ask(old)
        self.proxies.damage('cell1', Kind.HANG)
        new = self.connect()
        for connection in (old, new):
            connection.sendall(b'late')
            self.assert_silent(connection)
        self.proxies.heal('cell1')
        for connection in (old, new):
            self.assertEqual(b'late', connection.recv(10))

    def test_refusing_it_cuts_off_and_listens_again_on_the_same_port(self):
        old = self.connect()
        self.ask(old)
        self.proxies.damage('cell1', Kind.REFUSE)
        self.assertRaises(ConnectionError, self.ask_twice, old)
        for _ in range(3):
            self.assertRaises(ConnectionRefusedError, self.connect)
        self.proxies.heal('cell1')
        self.assertEqual(b'hello', self.ask(self.connect()))

    def ask_twice(self, connection):
        for _ in range(2):
            if not self.ask(connection):
                raise ConnectionResetError

    def test_garbage_is_no_answer_and_ends_the_connection(self):
        old = self.connect()
        self.ask(old)
        self.proxies.damage('cell1', Kind.GARBAGE)
        seen = {self.everything(old)}
        for _ in range(6):
            seen.add(self.everything(self.connect()))
        self.assertNotIn(b'', seen)
        self.assertLess(2, len(seen))
        self.proxies.heal('cell1')
        self.assertEqual(b'hello', self.ask(self.connect()))

    def everything(self, connection):
        found = b''
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(1000):
                found += part
        return found

    def test_a_queue_is_never_read_only(self):
        self.proxies.damage('cell1', Kind.READONLY)
        query = packet(b'\x03INSERT')
        self.assertEqual(query, self.ask(self.connect(), query))

    def test_a_slow_answer_is_a_whole_one(self):
        self.proxies.damage('cell1', Kind.SLOW)
        self.assertEqual(b'hello', self.ask(self.connect()))

    def test_at_the_end_nothing_is_left(self):
        one = self.connect()
        self.ask(one)
        self.proxies.damage('cell1', Kind.HANG)
        one.sendall(b'never')
        self.proxies.__exit__()
        self.assertRaises(ConnectionRefusedError, self.connect)
        self.proxies = proxying.Proxies()
        self.proxies.__enter__()


class TestLedger(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.time = 100.0
        self.ledger = ledger.Ledger(lambda: self.time)
        self.ledger.begin(Part.CALM)

    def test_counts_are_kept_by_part_cell_and_request(self):
        for milliseconds in range(1, 101):
            self.ledger.note('cell1', 'show', milliseconds / 1000)
        self.ledger.note('cell1', 'reboot', 9.0, 'too late')
        self.ledger.note('cell2', 'show', 1.0)
        self.ledger.begin(Part.BROKEN)
        self.ledger.note('cell1', 'show', 0.1, 'refused', refused=True)

        calm = self.ledger.tally(Part.CALM, 'cell1', 'show', 'reboot')
        self.assertEqual((100, 1, 0), (calm.answered, calm.failed, 0))
        self.assertEqual((0.05, 0.095), (calm.share(0.5), calm.share(0.95)))
        self.assertEqual((9.0, 'too late'), (calm.waited, calm.error))
        broken = self.ledger.tally(Part.BROKEN, 'cell1', 'show')
        self.assertEqual((0, 1, 1), (
            broken.answered, broken.failed, broken.refused
        ))  # fmt: skip
        self.assertIsNone(broken.share(0.95))
        self.assertEqual(103, self.ledger.total)

    def test_what_spans_two_parts_belongs_to_one(self):
        for began, ended, error, expected in (
            (Part.CALM, Part.BROKEN, None, Part.CALM),
            (Part.CALM, Part.BROKEN, 'no', Part.BROKEN),
            (Part.BROKEN, Part.HEALED, None, Part.HEALED),
            (Part.BROKEN, Part.HEALED, 'no', Part.BROKEN),
        ):
            cell = f'{began} {error}'
            self.ledger.begin(ended)
            self.ledger.note(cell, 'show', 0.1, error, began=began)
            found = self.ledger.tally(expected, cell, 'show')
            self.assertEqual(1, found.answered + found.failed, cell)

    def test_a_strip_shows_when_it_was(self):
        for moment, error in ((0, None), (5, None), (5, 'no'), (9.9, 'no')):
            self.time = 100.0 + moment
            self.ledger.note('cell1', 'show', 0.0, error)
        self.assertEqual(
            [(1, 0), (0, 0), (1, 1), (0, 1)],
            self.ledger.strip('cell1', 4, 0.0, 10.0),
        )
        self.assertEqual([(0, 0)] * 4, self.ledger.strip('x', 4, 0.0, 10.0))


def make_health(name='cell1', database='closed', queue='closed', **values):
    def circuit(state):
        return objects.CircuitHealth(
            state=objects.CircuitState(state),
            failures=0 if state == 'closed' else 3,
            last_error=None if state == 'closed' else 'it is silent',
            next_probe_in=1.5 if state == 'open' else None,
        )

    cell = objects.CellMapping(
        uuid=f'00000000-0000-4000-8000-{hash(name) % 10**12:012}',
        name=name,
        database_connection='mysql+pymysql://u:hidden@h/d',
        transport_url='rabbit://u:hidden@h/d',
    )
    return objects.CellHealth(
        cell=cell,
        state=objects.CellState.ENABLED,
        database=circuit(database),
        queue=queue and circuit(queue),
        **values,
    )


class TestWitness(testtools.TestCase):
    def follow(self, *states):
        """What is noted of a database that goes through these states."""
        looks = iter(states)
        found = witness.Witness(
            ledger.Ledger(),
            lambda: {'x': make_health(database=next(looks))},
        )
        for _ in states:
            found.look()
        return found

    def texts(self, found):
        return [one.text for one in found.events]

    def test_nothing_is_noted_while_all_is_well(self):
        self.assertEqual([], self.texts(self.follow('closed', 'closed')))

    def test_a_breaker_opens_is_probed_and_closes(self):
        found = self.follow('closed', 'open', 'open', 'half-open', 'closed')
        self.assertEqual(
            [
                'the breaker of the database opens: it is silent',
                'the database is probed',
                'the breaker of the database closes',
            ],
            self.texts(found),
        )
        self.assertEqual([], found.unhealed)

    def test_a_probe_that_is_seen_first_tells_that_it_had_opened(self):
        self.assertEqual(
            [
                'the breaker of the database opens: it is silent',
                'the database is probed',
            ],
            self.texts(self.follow('closed', 'half-open')),
        )

    def test_a_probe_in_vain_opens_nothing_anew(self):
        found = self.follow('open', 'half-open', 'open')
        self.assertEqual(2, len(found.events))
        self.assertEqual(['the database of cell1'], found.unhealed)

    def test_lists_are_noted_where_other_cells_are_missing(self):
        found = self.follow('closed')
        for missing in (
            {},
            {'cell2': 'no answer within 1 s'},
            {'cell2': 'no answer within 2 s'},
            {'cell2': 'refused'},
            {},
        ):
            found.listed(missing)
        self.assertEqual(
            [
                'is missing in the list: no answer within 1 s',
                'is missing in the list: refused',
                'is in the list again',
            ],
            self.texts(found),
        )


class TestSaying(testtools.TestCase):
    """What a user is told, on one line."""

    def test_of_a_cell_that_is_down_the_reason(self):
        error = exception.CellUnavailable('u', 'cell1', 'it\nis silent')
        self.assertEqual('it is silent', users.said(error))

    def test_of_a_worker_its_error_without_the_traceback(self):
        class RemoteError(Exception):
            exc_type = 'OperationalError'
            value = 'it is read-only\n[SQL: ...]'

        self.assertEqual(
            'OperationalError: it is read-only', users.said(RemoteError('x'))
        )

    def test_of_others_the_class_as_well(self):
        self.assertEqual('ValueError: no', users.said(ValueError('no\nway')))
        self.assertEqual('no', users.said(exception.CellplugError('no\nway')))
