"""What answers, and is no database: an error of the driver, and one alone."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading

import pymysql
import sqlalchemy as sa
import testtools

from cellplug import exception
from cellplug.db import mysql
from cellplug.lab import breaking
from cellplug.lab import proxying
from cellplug.rpc import probe
from cellplug.testing import deployment
from cellplug.testing import fixtures as cellplug_fixtures
from tests.functional import helpers_silent

PATIENCE = 20
LOST = (2006, 2013)


def framed(body, number=0):
    return len(body).to_bytes(3, 'little') + bytes([number]) + body


def frame(kind, body):
    return struct.pack('>BHI', kind, 0, len(body)) + body + b'\xce'


def nonsense_of_a_broker(dice):
    """The same of RabbitMQ's protocol."""
    body = dice.randbytes(dice.randrange(1, 120))
    start = struct.pack('>HH', 10, 10)
    return dice.choice(
        [
            body,
            b'HTTP/1.1 400 Bad Request\r\n\r\n',
            b'AMQP\0\0\x09\1' + body,
            frame(1, body[:1]),
            frame(1, body),
            frame(1, start + body),
            frame(1, start + b'\0\x09' + body),
            frame(8, body),
        ]
    )


def nonsense(dice):
    """Bytes that are a greeting up to some point, and then no more."""
    body = dice.randbytes(dice.randrange(1, 120))
    greeting = framed(helpers_silent.GREETING)
    return dice.choice(
        [
            body,
            b'HTTP/1.1 400 Bad Request\r\n\r\n',
            framed(body),
            framed(b'\x0a' + body),
            framed(b'\x0a5.5.5-10\0' + body),
            framed(b'\x0a11.4\0\x01\0\0\0saltsalt\0' + body),
            greeting[: dice.randrange(len(greeting))],
            greeting + framed(body, number=2),
        ]
    )


class LoginTestCase(testtools.TestCase):
    """A server that talks nonsense to each who connects."""

    # A broker waits for the client to begin.
    listens_first = False

    def setUp(self):
        super().setUp()
        self.dice = random.Random(7)
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.addCleanup(self.listener.close)
        thread = threading.Thread(target=self.serve, daemon=True)
        thread.start()
        self.addCleanup(thread.join, PATIENCE)
        self.addCleanup(self.listener.shutdown, socket.SHUT_RDWR)

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self.listener.accept()[0]
                # Not one after the other: a client may let go of it late.
                threading.Thread(
                    target=self.talk,
                    args=(connection, self.answer(self.dice)),
                    daemon=True,
                ).start()

    def talk(self, connection, answer):
        with contextlib.suppress(OSError), connection:
            connection.settimeout(PATIENCE)
            if self.listens_first:
                connection.recv(1000)
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1000):
                pass

    def answer(self, dice):
        raise NotImplementedError


class TestLogin(LoginTestCase):
    def answer(self, dice):
        return nonsense(dice)

    def test_every_kind_of_nonsense_is_an_error_of_the_driver(self):
        tls = mysql.Shared()
        for _ in range(400):
            self.assertRaises(
                pymysql.err.Error,
                mysql.Connection,
                host='127.0.0.1',
                port=self.listener.getsockname()[1],
                user='u',
                password='p',
                connect_timeout=PATIENCE,
                shared=tls,
            )


class TestBroker(LoginTestCase):
    listens_first = True

    def answer(self, dice):
        return nonsense_of_a_broker(dice)

    def test_every_kind_of_nonsense_is_a_queue_that_is_not_available(self):
        options = {'rpc.connect_timeout': PATIENCE}
        conf = self.useFixture(deployment.ConfFixture(options)).conf
        url = f'rabbit://u:hidden@127.0.0.1:{self.listener.getsockname()[1]}/'
        for _ in range(60):
            error = self.assertRaises(
                exception.QueueUnavailable, probe.connect, conf, url
            )
            self.assertNotIn('hidden', str(error))


class TestConversation(testtools.TestCase):
    """A connection that had worked."""

    def setUp(self):
        super().setUp()
        database = cellplug_fixtures.DatabaseFixture('mariadb')
        self.url = sa.make_url(self.useFixture(database).url)
        self.proxies = proxying.Proxies()
        self.proxies.__enter__()
        self.addCleanup(self.proxies.__exit__)
        self.port = self.proxies.add(
            'cell1', self.url.host, self.url.port, is_database=True
        )

    def connect(self):
        made = mysql.Connection(
            host='127.0.0.1',
            port=self.port,
            user=self.url.username,
            password=self.url.password,
            database=self.url.database,
            connect_timeout=PATIENCE,
            read_timeout=PATIENCE,
            shared=mysql.Shared(),
            ssl_disabled=True,
        )
        self.addCleanup(made._force_close)
        return made

    def ask(self, connection, statement='SELECT 1'):
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def assert_lost(self, call, *args):
        error = self.assertRaises(pymysql.err.OperationalError, call, *args)
        self.assertIn(error.args[0], LOST)

    def test_nonsense_in_the_midst_of_it_means_that_it_is_lost(self):
        for call in (self.ask, mysql.Connection.ping, mysql.Connection.commit):
            for _ in range(4):
                connection = self.connect()
                self.assertEqual(((1,),), self.ask(connection))
                # Something written, so that there is something to commit.
                self.proxies.damage('cell1', breaking.Kind.GARBAGE)
                self.assert_lost(call, connection)
                self.assertFalse(connection.open)
                self.proxies.heal('cell1')

    def test_an_error_about_a_statement_leaves_it_open(self):
        connection = self.connect()
        self.assertRaises(pymysql.err.Error, self.ask, connection, 'SELEC')
        self.assertEqual(((1,),), self.ask(connection))

    def test_a_read_only_server_says_so_and_answers_reads(self):
        connection = self.connect()
        self.ask(connection, 'CREATE TABLE t (a int)')
        self.proxies.damage('cell1', breaking.Kind.READONLY)
        for statement in ('INSERT INTO t VALUES (1)', 'DROP TABLE t'):
            error = self.assertRaises(
                pymysql.err.OperationalError, self.ask, connection, statement
            )
            self.assertEqual(1290, error.args[0])
        self.assertEqual((), self.ask(connection, 'SELECT * FROM t'))
        self.proxies.heal('cell1')
        self.ask(connection, 'INSERT INTO t VALUES (1)')
        self.assertEqual(((1,),), self.ask(connection, 'SELECT * FROM t'))
