"""Private servers: what they promise to those who test with them."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pathlib
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.parse
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import amqp
import fixtures as third_party
import psycopg
import pymysql
import testtools

from cellplug.testing import fixtures
from cellplug.testing import services
from cellplug.testing.services import base
from cellplug.testing.services import processes

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

CANNOT_CONNECT = (pymysql.err.OperationalError, psycopg.OperationalError)


def query(url: str, *statements: str) -> Any:
    """Run statements, the last of which may return one value."""
    parts = urllib.parse.urlsplit(url)
    connect: Callable[..., Any] = pymysql.connect
    database = parts.path.strip('/')
    options: dict[str, Any] = {'database': database, 'read_timeout': 2}
    if parts.scheme.startswith('postgresql'):
        connect, options = psycopg.connect, {'dbname': database}
    with contextlib.closing(
        connect(
            host=parts.hostname,
            port=parts.port,
            user=parts.username,
            password=parts.password,
            connect_timeout=2,
            autocommit=True,
            **options,
        )
    ) as connection:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None


def connect_to_queue(url: str) -> amqp.Connection:
    parts = urllib.parse.urlsplit(url)
    connection = amqp.Connection(
        host=f'{parts.hostname}:{parts.port}',
        userid=parts.username,
        password=parts.password,
        virtual_host=parts.path.strip('/'),
        connect_timeout=5,
        read_timeout=5,
        write_timeout=5,
    )
    connection.connect()
    return connection


def gone(directory: str, timeout: float = 15.0) -> bool:
    """Wait until neither the directory nor a process of it is left."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if not processes.members(directory) and not os.path.exists(directory):
            return True
        time.sleep(0.05)
    return False


def shared_memory() -> set[str]:
    """The System V segments of this machine."""
    lines = pathlib.Path('/proc/sysvipc/shm').read_text().splitlines()[1:]
    return {line.split()[1] for line in lines}


class DatabaseServer:
    """What holds for both kinds of database servers."""

    kind: type[services.MariaDB | services.PostgreSQL]

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        self.server = self.useFixture(  # type: ignore[attr-defined]
            fixtures.ServiceFixture(self.kind)
        ).service

    def test_made_databases_are_empty_and_apart(self) -> None:
        one = self.server.create_database('one')
        two = self.server.create_database('two')
        query(one, 'CREATE TABLE t (n INT)', 'INSERT INTO t VALUES (1)')
        query(two, 'CREATE TABLE t (n INT)')
        self.assertEqual(1, query(one, 'SELECT COUNT(*) FROM t'))
        self.assertEqual(0, query(two, 'SELECT COUNT(*) FROM t'))

    def test_urls_carry_a_password_and_no_other_one_works(self) -> None:
        url = self.server.create_database('one')
        password = urllib.parse.urlsplit(url).password
        self.assertTrue(password)
        with self.assertRaises(CANNOT_CONNECT):
            query(url.replace(str(password), 'wrong'), 'SELECT 1')

    def test_emoji_survive(self) -> None:
        url = self.server.create_database('one')
        query(url, 'CREATE TABLE t (s VARCHAR(9))')
        query(url, "INSERT INTO t VALUES ('\N{HONEYBEE}')")
        self.assertEqual('\N{HONEYBEE}', query(url, 'SELECT s FROM t'))

    def test_drop_closes_what_is_connected(self) -> None:
        url = self.server.create_database('one')
        query(url, 'CREATE TABLE t (n INT)')
        parts = urllib.parse.urlsplit(url)
        holder = subprocess.Popen(
            [sys.executable, '-c', HOLDER, url],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        assert holder.stdout is not None
        self.addCleanup(holder.stdout.close)
        self.assertEqual(b'holding\n', holder.stdout.readline())
        began = time.monotonic()
        self.server.drop_database(parts.path.strip('/'))
        self.assertLess(time.monotonic() - began, 5)
        self.server.drop_database(parts.path.strip('/'))

    def test_names_that_need_quoting_are_refused(self) -> None:
        for name in ('', 'A', 'a b', 'a"', 'a`', 'x' * 64):
            with self.assertRaises(ValueError):
                self.server.create_database(name)

    def test_what_was_committed_survives_restart_and_kill(self) -> None:
        url = self.server.create_database('one')
        query(url, 'CREATE TABLE t (n INT)')
        self.server.restart()
        query(url, 'INSERT INTO t VALUES (1)')
        self.server.kill()
        with self.assertRaises(CANNOT_CONNECT):
            query(url, 'SELECT 1')
        self.server.start()
        self.assertEqual(1, query(url, 'SELECT COUNT(*) FROM t'))

    def test_a_frozen_server_is_silent_and_not_gone(self) -> None:
        url = self.server.create_database('one')
        self.server.freeze()
        self.assertTrue(self.server.running)
        socket.create_connection((self.server.host, self.server.port)).close()
        with self.assertRaises(CANNOT_CONNECT):
            query(url, 'SELECT 1')
        self.server.thaw()
        self.assertEqual(1, query(url, 'SELECT 1'))

    def test_a_frozen_server_can_be_restarted(self) -> None:
        self.server.freeze()
        self.server.restart()
        self.assertEqual(1, query(self.server.admin_url, 'SELECT 1'))


HOLDER = """
import sys, time
from tests.functional import test_services as t
parts = t.urllib.parse.urlsplit(sys.argv[1])
options = dict(host=parts.hostname, port=parts.port, user=parts.username,
               password=parts.password)
if parts.scheme.startswith('postgresql'):
    connection = t.psycopg.connect(dbname='one', **options)
else:
    connection = t.pymysql.connect(database='one', **options)
connection.cursor().execute('SELECT * FROM t')
print('holding', flush=True)
time.sleep(60)
"""


class TestMariaDB(DatabaseServer, testtools.TestCase):
    kind = services.MariaDB


class TestPostgreSQL(DatabaseServer, testtools.TestCase):
    kind = services.PostgreSQL

    def test_a_killed_server_leaves_no_shared_memory(self) -> None:
        pid_file = f'{self.server.directory}/data/postmaster.pid'
        lines = pathlib.Path(pid_file).read_text().splitlines()
        segment = lines[6].split()[1]
        self.assertIn(segment, shared_memory())
        self.server.kill()
        self.server.stop()
        self.assertNotIn(segment, shared_memory())


class TestGalera(testtools.TestCase):
    """One cluster for the class: it takes about ten seconds to start."""

    cluster: services.Galera

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        fixture = fixtures.ServiceFixture(services.Galera)
        fixture.setUp()
        cls.addClassCleanup(fixture.cleanUp)
        cls.cluster = fixture.service

    def test_each_node_has_what_any_has_committed(self) -> None:
        urls = self.cluster.create_database('each')
        query(urls[0], 'CREATE TABLE t (n INT PRIMARY KEY)')
        for number, url in enumerate(urls):
            self.cluster.nodes[number].catch_up()
            query(url, f'INSERT INTO t VALUES ({number})')
        for node, url in zip(self.cluster.nodes, urls, strict=True):
            node.catch_up()
            self.assertEqual(3, query(url, 'SELECT COUNT(*) FROM t'))

    def test_a_killed_node_comes_back_with_what_it_missed(self) -> None:
        urls = self.cluster.create_database('missed')
        query(urls[0], 'CREATE TABLE t (n INT PRIMARY KEY)')
        # The first one: nothing depends on who began.
        self.cluster.kill(0)
        with self.assertRaises(CANNOT_CONNECT):
            query(urls[0], 'SELECT 1')
        self.cluster.wait_synced()
        query(urls[1], 'INSERT INTO t VALUES (1)')
        self.cluster.start(0)
        self.assertEqual(1, query(urls[0], 'SELECT COUNT(*) FROM t'))
        # It was sent that, not a copy of everything.
        log = pathlib.Path(self.cluster.nodes[0].directory, 'server.log')
        self.assertIn('IST received', log.read_text())
        self.assertTrue(self.cluster.running)

    def test_a_cluster_that_runs_is_not_started_again(self) -> None:
        self.assertRaises(services.ServiceError, self.cluster.start)
        self.assertRaises(services.ServiceError, self.cluster.start, 1)
        self.assertTrue(self.cluster.running)

    def test_its_urls_have_one_password_and_no_other_works(self) -> None:
        for url in self.cluster.admin_url.split():
            self.assertEqual(1, query(url, 'SELECT 1'))
            password = self.cluster.nodes[0].password
            with self.assertRaises(CANNOT_CONNECT):
                query(url.replace(password, 'wrong'), 'SELECT 1')

    def test_nobody_starts_it_by_accident(self) -> None:
        self.assertNotIn(services.Galera, services.SERVICES)
        self.assertIn(services.Galera, services.ON_REQUEST)


class TestRabbitMQ(testtools.TestCase):
    """One broker for the class: it takes seconds to start."""

    server: services.RabbitMQ

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        fixture = fixtures.ServiceFixture(services.RabbitMQ)
        fixture.setUp()
        cls.addClassCleanup(fixture.cleanUp)
        cls.server = fixture.service

    def test_connections_are_counted_per_vhost(self) -> None:
        one = self.server.create_vhost('one')
        self.server.create_vhost('two')
        self.addCleanup(self.server.delete_vhost, 'one')
        self.addCleanup(self.server.delete_vhost, 'two')
        connections = [connect_to_queue(one) for _ in range(3)]
        self.assertEqual(3, self.server.connections('one'))
        self.assertEqual(0, self.server.connections('two'))
        for connection in connections:
            connection.close()
        self.assertEqual(0, self.server.connections('one'))

    def test_a_deleted_vhost_is_gone_with_its_connections(self) -> None:
        url = self.server.create_vhost('one')
        connection = connect_to_queue(url)
        self.addCleanup(connection.collect)
        self.server.delete_vhost('one')
        self.assertEqual(0, self.server.connections('one'))
        with self.assertRaises(amqp.exceptions.NotAllowed):
            connect_to_queue(url)
        self.server.delete_vhost('one')

    def test_it_comes_back_on_the_same_port_after_a_kill(self) -> None:
        url = self.server.create_vhost('one')
        self.addCleanup(self.server.delete_vhost, 'one')
        self.server.kill()
        with self.assertRaises(OSError):
            connect_to_queue(url)
        self.server.start()
        connect_to_queue(url).close()

    def test_a_frozen_broker_is_silent(self) -> None:
        url = self.server.create_vhost('one')
        self.addCleanup(self.server.delete_vhost, 'one')
        self.server.freeze()
        try:
            with self.assertRaises(OSError):
                connect_to_queue(url)
        finally:
            self.server.thaw()
        connect_to_queue(url).close()


class TestLife(testtools.TestCase):
    """What holds for every kind, shown with the fastest."""

    def test_stop_leaves_nothing(self) -> None:
        for kind in services.SERVICES:
            server = kind()
            if not server.available() and not services.services_required():
                continue
            server.start()
            directory, port = server.directory, server.port
            self.assertEqual(0o700, stat.S_IMODE(os.stat(directory).st_mode))
            server.stop()
            self.assertEqual([], processes.members(directory), kind.title)
            self.assertFalse(os.path.exists(directory), kind.title)
            self.assertEqual(0, server.port)
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection((server.host, port))
            server.stop()

    def test_servers_of_one_kind_run_side_by_side(self) -> None:
        one = self.useFixture(fixtures.ServiceFixture(services.Memcached))
        two = self.useFixture(fixtures.ServiceFixture(services.Memcached))
        self.assertNotEqual(one.service.port, two.service.port)
        one.service.kill()
        self.assertFalse(one.service.running)
        self.assertTrue(two.service.running)

    def test_nothing_is_left_when_the_tests_are_killed(self) -> None:
        program = textwrap.dedent("""
            import time
            from cellplug.testing import services
            servers = [services.Memcached(), services.PostgreSQL()]
            for server in servers:
                server.start()
            print(*(server.directory for server in servers), flush=True)
            time.sleep(60)
        """)
        with subprocess.Popen(
            [sys.executable, '-c', program],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as tests:
            assert tests.stdout is not None
            directories = tests.stdout.readline().split()
            before = shared_memory()
            tests.send_signal(signal.SIGKILL)
        self.assertEqual(2, len(directories))
        for directory in directories:
            self.assertTrue(gone(directory))
        self.assertEqual(1, len(before - shared_memory()))

    def test_nothing_is_left_when_the_tests_forget_to_stop(self) -> None:
        program = textwrap.dedent("""
            from cellplug.testing import services
            server = services.Memcached()
            server.start()
            print(server.directory)
        """)
        done = subprocess.run(
            [sys.executable, '-c', program],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        directory = done.stdout.strip()
        self.assertTrue(directory)
        self.assertEqual([], processes.members(directory))
        self.assertFalse(os.path.exists(directory))

    def test_a_forked_child_does_not_stop_its_parents_server(self) -> None:
        server = self.useFixture(
            fixtures.ServiceFixture(services.Memcached)
        ).service
        child = os.fork()
        if child == 0:
            server.stop()
            os._exit(0)
        os.waitpid(child, 0)
        self.assertTrue(server.running)
        socket.create_connection((server.host, server.port)).close()

    def test_starting_twice_is_an_error(self) -> None:
        server = self.useFixture(
            fixtures.ServiceFixture(services.Memcached)
        ).service
        with self.assertRaises(services.ServiceError):
            server.start()

    def test_using_it_before_the_start_is_an_error(self) -> None:
        for method in ('kill', 'freeze', 'thaw', 'restart'):
            with self.assertRaises(services.ServiceError):
                getattr(services.Memcached(), method)()


class Broken(services.Memcached):
    """A server that prints and does what its script says."""

    start_timeout = 1.0
    script = 'echo no such luck; exit 3'

    @classmethod
    def why_unavailable(cls) -> str | None:
        return None

    def _command(self) -> list[str]:
        return ['/bin/sh', '-c', self.script]


class Silent(Broken):
    script = 'echo thinking; sleep 60'


class Missing(Broken):
    def _command(self) -> list[str]:
        return [f'{self.directory}/nothing-here']


class PortTaken(Broken):
    """Somebody else is faster, twice."""

    attempts = 0

    def _command(self) -> list[str]:
        self.attempts += 1
        if self.attempts <= 2:
            return ['/bin/sh', '-c', 'echo bind: Address already in use']
        return services.Memcached._command(self)


class TestFailures(testtools.TestCase):
    def _fails(self, server: base.Service, *words: str) -> None:
        self.addCleanup(server.stop)
        error = self.assertRaises(services.ServiceError, server.start)
        for word in words:
            self.assertIn(word, str(error))
        self.assertFalse(server.running)
        self.assertEqual('', server.directory)

    def test_a_server_that_ends_shows_its_log(self) -> None:
        self._fails(Broken(), 'memcached', 'code 3', 'no such luck')

    def test_a_server_that_never_answers_is_given_up(self) -> None:
        began = time.monotonic()
        self._fails(Silent(), 'within 1 s', 'thinking')
        self.assertLess(time.monotonic() - began, 10)

    def test_a_program_that_cannot_run(self) -> None:
        self._fails(Missing(), 'cannot be executed')

    def test_without_a_watchdog_nothing_is_started_or_left(self) -> None:
        place = self.useFixture(third_party.TempDir()).path
        self.useFixture(third_party.MonkeyPatch('tempfile.tempdir', place))
        self.useFixture(
            third_party.MonkeyPatch('sys.executable', f'{place}/python')
        )
        self._fails(services.Memcached(), 'memcached', f'{place}/python')
        self.assertEqual([], os.listdir(place))

    def test_a_port_that_was_taken_meanwhile(self) -> None:
        server = PortTaken()
        self.addCleanup(server.stop)
        server.start()
        self.assertEqual(3, server.attempts)

    def test_a_missing_program_is_named_before_anything_starts(self) -> None:
        class Absent(services.Memcached):
            @classmethod
            def why_unavailable(cls) -> str | None:
                return 'absent is not installed'

        self.assertFalse(Absent.available())
        error = self.assertRaises(services.ServiceUnavailable, Absent().start)
        self.assertIn('absent is not installed', str(error))


class TestOrdinaryUser(testtools.TestCase):
    """As root, show that others can do it: as the user nobody."""

    PROGRAM = textwrap.dedent("""
        import os, sys
        from cellplug.testing import services
        from cellplug.testing.services import processes
        assert os.geteuid() != 0
        for kind in services.SERVICES:
            reason = kind.why_unavailable()
            if reason:
                sys.exit(f'{kind.title}: {reason}')
            with kind() as server:
                directory = server.directory
                if kind in (services.MariaDB, services.PostgreSQL):
                    server.create_database('one')
                if kind is services.RabbitMQ:
                    server.create_vhost('one')
                    assert server.connections('one') == 0
                server.freeze()
                server.thaw()
                server.kill()
            assert not processes.members(directory)
            assert not os.path.exists(directory)
            print(kind.title)
    """)

    def test_every_server_runs(self) -> None:
        titles = [kind.title for kind in services.SERVICES]
        self._run(services.SERVICES, self.PROGRAM, titles)

    CLUSTER = textwrap.dedent("""
        import os
        from cellplug.testing import services
        from cellplug.testing.services import processes
        assert os.geteuid() != 0
        with services.Galera() as cluster:
            directories = [node.directory for node in cluster.nodes]
            assert len(set(cluster.create_database('one'))) == 3
            cluster.kill(1)
            assert not cluster.running
            cluster.nodes[2].freeze()
        cluster.stop()
        for directory in directories:
            assert not processes.members(directory)
            assert not os.path.exists(directory)
        print('Galera')
    """)

    def test_a_cluster_runs_and_leaves_nothing(self) -> None:
        self._run(services.ON_REQUEST, self.CLUSTER, ['Galera'])

    def _run(
        self,
        kinds: tuple[type[services.Startable], ...],
        program: str,
        printed: list[str],
    ) -> None:
        missing = [kind.title for kind in kinds if not kind.available()]
        if missing and not services.services_required():
            self.skipTest(f'not installed: {", ".join(missing)}')
        library = self._library()
        done = subprocess.run(
            [self._interpreter(), '-S', '-c', program],
            cwd=library,
            env={'PATH': os.defpath, 'PYTHONPATH': library},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
            check=False,
            **self._credentials(),
        )
        self.assertEqual(printed, done.stdout.splitlines())
        self.assertEqual(0, done.returncode)

    def _credentials(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        nobody = pwd.getpwnam('nobody')
        return {
            'user': nobody.pw_uid,
            'group': nobody.pw_gid,
            'extra_groups': [],
        }

    def _interpreter(self) -> str:
        """A Python that the other user may execute."""
        for path in (os.path.realpath(sys.executable), '/usr/bin/python3'):
            done = subprocess.run(
                ['/bin/sh', '-c', f'test -x {path}'],
                check=False,
                **self._credentials(),
            )
            if done.returncode == 0:
                return path
        raise AssertionError('no Python that an ordinary user may execute')

    def _library(self) -> str:
        """Copy what is needed to where everybody may read.

        The checkout and its environment may be in root's home.
        """
        place = tempfile.mkdtemp(prefix='cellplug-test-', dir='/tmp')
        self.addCleanup(shutil.rmtree, place)
        for name in ('cellplug', 'pymysql', 'psycopg', 'psycopg_binary'):
            for source in self._homes(name):
                shutil.copytree(source, f'{place}/{source.name}')
        extensions = importlib.util.find_spec('typing_extensions')
        assert extensions is not None and extensions.origin
        shutil.copy(extensions.origin, place)
        os.chmod(place, 0o755)
        return place

    def _homes(self, name: str) -> Iterator[pathlib.Path]:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin:
            home = pathlib.Path(spec.origin).parent
            yield home
            libraries = home.with_name(f'{name}.libs')
            if libraries.exists():
                yield libraries


class TestCommand(testtools.TestCase):
    """``python -m cellplug.testing.services``."""

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, '-m', 'cellplug.testing.services', *arguments],
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if 'TEST_' not in k},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def setUp(self) -> None:
        super().setUp()
        reason = services.Memcached.why_unavailable()
        if reason and not services.services_required():
            self.skipTest(reason)

    def test_the_command_gets_urls_and_its_code_comes_back(self) -> None:
        script = 'env | grep ^CELLPLUG_TEST_; exit 7'
        done = self._run('--memcached', '--', 'sh', '-c', script)
        self.assertEqual(7, done.returncode, done.stderr)
        name, _, url = done.stdout.strip().partition('=')
        self.assertEqual('CELLPLUG_TEST_MEMCACHED', name)
        port = urllib.parse.urlsplit(url).port
        assert port
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(('127.0.0.1', port))

    def test_a_command_that_does_not_exist(self) -> None:
        done = self._run('--memcached', '--', './no-such-command')
        self.assertEqual(127, done.returncode)
        self.assertIn('no-such-command', done.stderr)

    def test_a_signal_ends_the_command_and_the_servers(self) -> None:
        with subprocess.Popen(
            [
                *(sys.executable, '-m', 'cellplug.testing.services'),
                *('--memcached', '--', 'sh', '-c'),
                'echo $CELLPLUG_TEST_MEMCACHED; exec sleep 60',
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout is not None
            port = urllib.parse.urlsplit(process.stdout.readline()).port
            process.terminate()
            self.assertEqual(128 + signal.SIGTERM, process.wait(20))
        assert port
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(('127.0.0.1', port))
