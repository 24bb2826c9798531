"""The lab as its users meet it: as a command, on files and on real servers."""

from __future__ import annotations

import configparser
import contextlib
import json
import os
import pathlib
import pty
import pwd
import re
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.parse
import uuid

import fixtures
import rich
import sqlalchemy as sa
import testtools

from cellplug.testing import fixtures as cellplug_fixtures
from cellplug.testing import services
from cellplug.testing.services import admin

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
VERSION = f'python{sys.version_info.major}.{sys.version_info.minor}'

PATIENCE = 240.0
"""Seconds after which what should have ended hangs."""

MANAGE = [
    sys.executable,
    '-c',
    'import sys; from cellplug.cmd.manage import main; sys.exit(main())',
]
ANSI = re.compile(r'\x1b\[')


def manage(*arguments, **options):
    """Run cellplug-manage to its end."""
    return subprocess.run(
        [*MANAGE, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        **options,
    )


def parents():
    """Who started whom: the parent of every living process."""
    found = {}
    for entry in os.listdir('/proc'):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stat = pathlib.Path(f'/proc/{entry}/stat').read_text()
                state, parent = stat.rpartition(')')[2].split()[:2]
                if state != 'Z':
                    found[int(entry)] = int(parent)
    return found


def descendants(pid):
    """The processes that a process started, and those they started."""
    known = parents()
    found = {pid}
    size = 0
    while size != len(found):
        size = len(found)
        found |= {child for child, parent in known.items() if parent in found}
    return found - {pid}


def command_line(pid):
    with contextlib.suppress(OSError):
        raw = pathlib.Path(f'/proc/{pid}/cmdline').read_bytes()
        return raw.decode(errors='replace').replace('\0', ' ')
    return ''


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f'waited in vain: {what}')
        time.sleep(0.05)


class LabTestCase(testtools.TestCase):
    """Gives a directory that is removed, and commands that run in it."""

    def setUp(self):
        super().setUp()
        self.place = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.directory = self.place / 'lab'

    def run_lab(self, *arguments):
        """Run the lab in the directory; the document it prints."""
        done = manage(
            *('lab', 'run', '-f', 'json', '--directory', self.directory),
            *arguments,
        )
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        return json.loads(done.stdout)

    def assert_one_line(self, code, pattern, done):
        """It failed, with one line about it and no output."""
        lines = done.stderr.splitlines()
        if code == 2:
            lines = lines[-1:]
        self.assertEqual((code, ''), (done.returncode, done.stdout), lines)
        self.assertEqual(1, len(lines), done.stderr)
        self.assertRegex(lines[0], pattern)


class TestEmbeddedRun(LabTestCase):
    """One run without servers, kept."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.kept = tempfile.mkdtemp(prefix='cellplug-test-')
        cls.addClassCleanup(shutil.rmtree, cls.kept)
        cls.done = manage(
            *('lab', 'run', '-f', 'json', '--cells', 2, '--instances', 9),
            *('--directory', f'{cls.kept}/lab'),
        )

    def setUp(self):
        super().setUp()
        self.assertEqual(0, self.done.returncode, self.done.stderr)
        self.document = json.loads(self.done.stdout)
        self.instances = self.document['instances']

    def test_stdout_is_one_document_and_stderr_silent(self):
        self.assertEqual('', self.done.stderr)
        self.assertIsInstance(self.document, dict)

    def test_boots_are_spread_evenly_over_the_cells(self):
        booted = {c['name']: c['booted'] for c in self.document['cells']}
        self.assertEqual(1, booted.pop('cell0'))
        # Of cells that have as many, a hash decides.
        self.assertEqual([4, 5], sorted(booted.values()))

    def test_one_more_boot_fails_and_lands_in_cell0(self):
        last = self.instances[-1]
        self.assertEqual(
            ('cell0', 'error', None, ['boot', 'show']),
            (last['cell'], last['state'], last['host'], last['requests']),
        )

    def test_each_instance_is_owned_by_the_worker_of_its_cell(self):
        for one in self.instances[:-1]:
            self.assertEqual(f'worker-{one["cell"]}', one['host'])

    def test_every_kind_of_request_was_timed(self):
        requests = self.document['requests']
        counts = {name: one['count'] for name, one in requests.items()}
        self.assertEqual(
            {
                'boot': 10,
                'refused': 2,
                'show': 10,
                'reboot': 4,
                'delete': 2,
                'list': 1,
            },
            counts,
        )
        for one in requests.values():
            self.assertLess(0, one['median_ms'])
            self.assertLessEqual(one['median_ms'], one['p95_ms'])
            self.assertLessEqual(one['p95_ms'], one['max_ms'])

    def test_the_check_holds_and_says_what_it_saw(self):
        found = dict(self.document['check'])
        self.assertEqual(9, len(found.pop('books')))
        rows = found.pop('rows')
        self.assertEqual((1, 7), (rows.pop('cell0'), sum(rows.values())))
        self.assertEqual(
            {
                'holds': True,
                'mappings': 8,
                'deleted': 2,
                'reservations': 0,
                'problems': [],
            },
            found,
        )

    def test_rows_lie_where_the_document_says(self):
        for one in self.instances:
            found = [
                name
                for name in ('cell0', 'cell1', 'cell2')
                if self.select(name, one['uuid'])
            ]
            expected = [] if one['state'] == 'deleted' else [one['cell']]
            self.assertEqual(expected, found)

    def select(self, cell, instance_uuid):
        path = f'{self.kept}/lab/{cell}.sqlite'
        with contextlib.closing(sqlite3.connect(path)) as connection:
            return connection.execute(
                'SELECT name FROM lab_instances WHERE uuid = ?',
                [instance_uuid],
            ).fetchall()

    def test_a_rebooted_instance_counts_it_in_its_cell(self):
        rebooted = self.instances[0]
        self.assertIn('reboot', rebooted['requests'])
        path = f'{self.kept}/lab/{rebooted["cell"]}.sqlite'
        with contextlib.closing(sqlite3.connect(path)) as connection:
            reboots = connection.execute(
                'SELECT reboots FROM lab_instances WHERE uuid = ?',
                [rebooted['uuid']],
            ).fetchone()
        self.assertEqual((1,), reboots)

    def test_the_other_commands_work_on_what_was_kept(self):
        done = manage(
            *('--config-file', f'{self.kept}/lab/cellplug.conf'),
            *('cell', 'list', '-f', 'json'),
        )
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(
            [c['uuid'] for c in self.document['cells']],
            [c['uuid'] for c in json.loads(done.stdout)],
        )

    def test_the_configuration_is_its_owners_alone(self):
        path = pathlib.Path(self.kept, 'lab', 'cellplug.conf')
        self.assertEqual(0o600, path.stat().st_mode & 0o777)

    def test_what_libraries_say_is_in_the_log(self):
        log = pathlib.Path(self.kept, 'lab', 'lab.log')
        self.assertIn('oslo.messaging', log.read_text())


class TestDirectory(LabTestCase):
    def test_without_one_nothing_is_left(self):
        done = manage(
            *('lab', 'run', '--instances', 1, '--cells', 1),
            env={**os.environ, 'TMPDIR': str(self.place)},
        )
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        self.assertEqual([], list(self.place.iterdir()))

    def test_a_former_lab_is_continued(self):
        first = self.run_lab('--cells', 2, '--instances', 4)
        second = self.run_lab('--instances', 4)
        self.assertEqual(
            [c['uuid'] for c in first['cells']],
            [c['uuid'] for c in second['cells']],
        )
        self.assertEqual(6, second['check']['mappings'])
        self.assertEqual(4, second['check']['deleted'])
        self.assertEqual(6, second['listed'])

    def test_a_former_lab_may_get_more_cells_but_not_fewer(self):
        self.run_lab('--cells', 2, '--instances', 1)
        more = self.run_lab('--cells', 3, '--instances', 3)
        self.assertEqual(4, len(more['cells']))
        done = manage(
            *('lab', 'run', '--cells', 1, '--directory', self.directory)
        )
        self.assert_one_line(1, 'has 3 cells', done)

    def test_a_strangers_directory_is_refused_and_left_alone(self):
        self.directory.mkdir()
        (self.directory / 'thesis.tex').write_text('years of work')
        done = manage('lab', 'run', '--directory', self.directory)
        self.assert_one_line(1, 'not empty and holds no lab', done)
        self.assertEqual(
            ['thesis.tex'], [path.name for path in self.directory.iterdir()]
        )

    def test_a_moved_lab_is_refused(self):
        self.run_lab('--cells', 1, '--instances', 1)
        moved = self.place / 'moved'
        self.directory.rename(moved)
        done = manage('lab', 'run', '--directory', moved)
        self.assert_one_line(1, 'cell0 elsewhere', done)

    def test_odd_names_are_no_problem(self):
        self.directory = self.place / "a b%20c$x'#é"
        document = self.run_lab('--cells', 1, '--instances', 1)
        self.assertEqual(str(self.directory), document['directory'])
        done = manage('lab', 'check', self.directory)
        self.assertEqual((0, ''), (done.returncode, done.stderr))

    def test_where_it_cannot_be_made_it_says_why(self):
        file = self.place / 'file'
        file.touch()
        for path in (file, file / 'lab'):
            done = manage('lab', 'run', '--directory', path)
            self.assert_one_line(1, f'directory {path} cannot be used', done)


class TestBadInput(LabTestCase):
    def test_numbers_out_of_range(self):
        for option, value in (
            ('--cells', 0),
            ('--cells', 31),
            ('--instances', 0),
            ('--instances', 100001),
        ):
            done = manage('lab', 'run', option, value)
            self.assert_one_line(2, f'{option}: {value} is not between', done)

    def test_templates_that_cannot_be_quote_no_secret(self):
        rabbit = 'rabbit://u:hidden@h/{cell}'
        mysql = 'mysql+pymysql://u:hidden@h/lab_{cell}'
        for database, transport, message in (
            (mysql, None, 'go together'),
            ('mysql+pymysql://u:hidden@h/lab', rabbit, "the field '{cell}'"),
            (mysql, 'rabbit://u:hidden@h/{cell}/{user}', 'the only field'),
            (mysql, 'rabbit://u:hidden@h/{cell.__class__}', 'the field'),
            (mysql, 'fake://{cell}/', 'name a broker'),
            (mysql, 'none:///{cell}', 'name a broker'),
            (mysql, 'rabbit://{cell}:hidden@h/', 'another vhost of each'),
            ('mysql+pymysql://{cell}:hidden@h/lab', rabbit, 'another databas'),
            ('nosql://u:hidden@h/{cell}', rabbit, 'unknown scheme'),
        ):
            arguments = ['--database-connection', database]
            if transport:
                arguments += ['--transport-url', transport]
            done = manage('lab', 'run', *arguments)
            self.assert_one_line(2, re.escape(message), done)
            self.assertNotIn('hidden', done.stderr)

    def test_real_servers_are_private_or_your_own(self):
        done = manage(
            *('lab', 'run', '--real'),
            *('--database-connection', 'mysql+pymysql://u@h/{cell}'),
            *('--transport-url', 'rabbit://u@h/{cell}'),
        )
        self.assert_one_line(2, '--real', done)
        done = manage('lab', 'run', '--real', '--directory', self.directory)
        self.assert_one_line(2, '--directory', done)
        self.assertFalse(self.directory.exists())

    def test_real_says_what_this_machine_lacks(self):
        hide = (
            'import sys; from cellplug.testing.services import rabbitmq;'
            'rabbitmq._program = lambda name: "";'
            'from cellplug.cmd.manage import main; sys.exit(main())'
        )
        done = subprocess.run(
            [sys.executable, '-c', hide, 'lab', 'run', '--real'],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assert_one_line(1, 'RabbitMQ.*rabbitmq-server is not ins', done)


class TestCheck(LabTestCase):
    """Whoever tampers with a kept lab is found out."""

    def setUp(self):
        super().setUp()
        self.instances = self.run_lab('--cells', 2, '--instances', 4)[
            'instances'
        ]

    def in_cell(self, cell):
        """An instance that lives there."""
        return next(
            one['uuid']
            for one in self.instances
            if one['cell'] == cell and one['state'] == 'active'
        )

    def execute(self, name, statement, *values):
        path = self.directory / f'{name}.sqlite'
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute(statement, values)
            connection.commit()

    def assert_problem(self, pattern):
        """It is the first, and all others are its quotas'."""
        done = manage('lab', 'check', '-f', 'json', self.directory)
        self.assertEqual((1, ''), (done.returncode, done.stderr))
        found = json.loads(done.stdout)
        self.assertFalse(found['holds'])
        first, *rest = found['problems']
        self.assertRegex(first, pattern)
        for line in rest:
            self.assertRegex(line, 'quota of .* in use are')

    def test_an_untouched_lab_holds(self):
        done = manage('lab', 'check', self.directory)
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        self.assertIn('3 mappings', done.stdout)

    def test_a_row_that_was_moved_to_another_cell(self):
        moved = self.in_cell('cell1')
        path = self.directory / 'cell2.sqlite'
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute(
                f"ATTACH '{self.directory}/cell1.sqlite' AS other"
            )
            connection.execute(
                'INSERT INTO lab_instances SELECT * FROM other.lab_instances'
                ' WHERE uuid = ?',
                [moved],
            )
            connection.execute(
                'DELETE FROM other.lab_instances WHERE uuid = ?', [moved]
            )
            connection.commit()
        self.assert_problem(f'{moved} is mapped to cell1 and lies in cell2')
        done = manage('lab', 'run', '--directory', self.directory)
        self.assertEqual(1, done.returncode)
        self.assertIn(moved, done.stdout)

    def test_a_row_that_is_gone(self):
        gone = self.in_cell('cell2')
        self.execute('cell2', 'DELETE FROM lab_instances WHERE uuid=?', gone)
        self.assert_problem(f'{gone} is mapped to cell2 and lies in no cell')

    def test_a_row_that_no_mapping_names(self):
        orphan = self.in_cell('cell1')
        self.execute(
            'api',
            'DELETE FROM instance_mapping WHERE instance_uuid = ?',
            orphan,
        )
        self.assert_problem(f'{orphan} lies in cell1, and no mapping names')

    def test_a_mapping_of_a_cell_that_does_not_exist(self):
        lost = self.in_cell('cell1')
        nowhere = str(uuid.uuid4())
        self.execute(
            'api',
            'UPDATE instance_mapping SET cell_uuid = ?'
            ' WHERE instance_uuid = ?',
            *(nowhere, lost),
        )
        self.assert_problem(f'{lost} is mapped to cell {nowhere}, which')

    def test_a_deleted_instance_that_is_back(self):
        deleted = next(
            one['uuid'] for one in self.instances if one['state'] == 'deleted'
        )
        self.execute(
            'cell1',
            'UPDATE lab_instances SET uuid = ? WHERE uuid = ?',
            *(deleted, self.in_cell('cell1')),
        )
        done = manage('lab', 'check', '-f', 'json', self.directory)
        self.assertEqual(1, done.returncode)
        self.assertIn(
            f'instance {deleted} was deleted, and is still in cell1',
            json.loads(done.stdout)['problems'],
        )

    def test_a_database_of_another_cell(self):
        self.execute(
            'cell1', 'UPDATE cell_identity SET cell_uuid = ?', 'somebody'
        )
        self.assert_problem('cell1.* belongs to cell somebody')

    def test_a_database_that_is_gone_is_not_made_anew(self):
        (self.directory / 'cell2.sqlite').unlink()
        self.assert_problem('cell2 cannot be read: there is no file')
        self.assertFalse((self.directory / 'cell2.sqlite').exists())

    def test_a_database_that_is_none(self):
        (self.directory / 'cell2.sqlite').write_text('nonsense ' * 500)
        self.assert_problem('cell2 cannot be read: .*not a database')

    def test_a_directory_that_is_no_lab(self):
        done = manage('lab', 'check', self.place)
        self.assert_one_line(1, 'holds no lab', done)


class TestScreen(LabTestCase):
    """What people see."""

    def run_on_terminal(self, *arguments):
        """What a terminal gets; 0 is the exit code."""
        master, terminal = pty.openpty()
        with open(master, 'rb', 0) as screen:
            process = subprocess.Popen(
                [*MANAGE, *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=terminal,
                stderr=terminal,
                env={**os.environ, 'TERM': 'xterm-256color', 'COLUMNS': '80'},
            )
            os.close(terminal)
            output = b''
            # Linux says EIO when the last writer is gone.
            with contextlib.suppress(OSError):
                while chunk := screen.read(65536):
                    output += chunk
            self.assertEqual(0, process.wait(PATIENCE))
        return output.decode()

    def test_a_terminal_gets_colours_and_progress(self):
        output = self.run_on_terminal('lab', 'run', '--instances', 3)
        self.assertRegex(output, ANSI)
        self.assertIn('Booting', output)

    def test_json_on_a_terminal_comes_after_the_progress(self):
        output = self.run_on_terminal('lab', 'run', '--instances', 3, '-fjson')
        document = output[output.index('{') :]
        self.assertTrue(json.loads(document)['check']['holds'])

    def test_a_file_gets_plain_text_that_fits(self):
        for columns in (80, 120):
            done = manage(
                *('lab', 'run', '--instances', 3),
                env={**os.environ, 'COLUMNS': str(columns)},
            )
            self.assertEqual((0, ''), (done.returncode, done.stderr))
            self.assertNotRegex(done.stdout, ANSI)
            widest = max(map(len, done.stdout.splitlines()))
            self.assertLessEqual(widest, columns)

    def test_kept_labs_come_with_commands_that_work(self):
        done = manage(
            *('lab', 'run', '--instances', 3, '--cells', 1),
            *('--directory', self.directory),
        )
        lines = [line.strip() for line in done.stdout.splitlines()]
        # With its path, where the program is not on the user's.
        commands = [
            line for line in lines if re.match(r'\S*cellplug-manage ', line)
        ]
        self.assertEqual(5, len(commands), done.stdout)
        for command in commands:
            shown = manage(*command.split()[1:])
            self.assertEqual(
                (0, ''), (shown.returncode, shown.stderr), command
            )


class LabProcess:
    """A lab that runs while the test does something to it."""

    def __init__(self, *arguments, python=sys.executable, **options):
        self.process = subprocess.Popen(
            [python, *MANAGE[1:], 'lab', 'run', *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )

    def workers(self):
        """The process ids of the workers, by the cell's name."""
        found = {}
        for pid in descendants(self.process.pid):
            match = re.search(r'--host worker-(\w+)', command_line(pid))
            if match:
                found[match[1]] = pid
        return found

    def finish(self):
        """Wait for its end: exit code, output, errors."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(
            [], self.process.returncode, out, err
        )

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


class TestOwnServers(LabTestCase):
    """Databases and vhosts that were made beforehand."""

    def setUp(self):
        super().setUp()
        self.useFixture(cellplug_fixtures.DatabaseFixture('mariadb'))
        self.useFixture(cellplug_fixtures.QueueFixture())
        self.mariadb = services.shared_url(services.MariaDB)
        self.rabbitmq = services.shared_url(services.RabbitMQ)
        self.name = f'lab_{secrets.token_hex(6)}'
        for place in ('api', 'cell0', 'cell1', 'cell2'):
            name = f'{self.name}_{place}'
            self.addCleanup(admin.drop_database, self.mariadb, name)
            admin.create_database(self.mariadb, name)
        self.broker = admin.BrokerAdmin(self.rabbitmq)
        for place in ('cell1', 'cell2'):
            self.make_vhost(f'{self.name}_{place}')
        template = self.name + '_{cell}'
        self.options = [
            '--database-connection',
            admin.with_database(self.mariadb, template),
            '--transport-url',
            admin.with_database(self.rabbitmq, template).partition('?')[0],
        ]
        self.secrets = {
            urllib.parse.urlsplit(url).password
            for url in (self.mariadb, self.rabbitmq)
        }

    def make_vhost(self, name):
        self.addCleanup(self.broker.delete_vhost, name)
        self.broker.create_vhost(name)

    def start(self, *arguments):
        lab = LabProcess(
            *self.options,
            *arguments,
            # What is killed cannot remove its temporary directory.
            env={**os.environ, 'TMPDIR': str(self.place)},
        )
        self.addCleanup(lab.close)
        return lab

    def start_and_wait_for_requests(self):
        """A lab with much to do, in the midst of it."""
        before = self.rows('cell2')
        lab = self.start('--cells', 2, '--instances', 100000)
        wait_until(
            lambda: (
                lab.process.poll() is not None
                or self.rows('cell2') > before + 3
            ),
            'new instances in cell2',
        )
        self.assertIsNone(lab.process.poll())
        return lab

    def rows(self, cell):
        url = admin.with_database(self.mariadb, f'{self.name}_{cell}')
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            if not sa.inspect(connection).has_table('lab_instances'):
                return 0
            return connection.scalar(
                sa.text('SELECT count(*) FROM lab_instances')
            )

    def assert_ended(self, pids):
        wait_until(lambda: not pids & parents().keys(), f'the end of {pids}')

    def assert_hidden(self, text):
        for secret in self.secrets:
            self.assertNotIn(secret, text)

    def test_a_lab_runs_there_and_runs_again(self):
        arguments = [*self.options, '--cells', 2, '--instances', 4]
        for mappings in (3, 6):
            done = manage('lab', 'run', '-f', 'json', *arguments)
            self.assertEqual((0, ''), (done.returncode, done.stderr))
            found = json.loads(done.stdout)
            self.assertTrue(found['check']['holds'])
            self.assertEqual(mappings, found['check']['mappings'])
            self.assertEqual(mappings, found['listed'])
            self.assert_hidden(done.stdout)

    def test_a_kept_one_shows_and_checks_without_its_secrets(self):
        lab = self.start('--cells', 2, '--directory', self.directory)
        done = lab.finish()
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        self.assert_hidden(done.stdout)
        done = manage('lab', 'check', self.directory)
        self.assertEqual((0, ''), (done.returncode, done.stderr))

    def test_a_worker_knows_its_own_cell_alone(self):
        self.start('--cells', 2, '--directory', self.directory).finish()
        path = self.directory / 'worker-cell1.conf'
        self.assertEqual(0o600, path.stat().st_mode & 0o777)
        conf = configparser.ConfigParser(interpolation=None)
        conf.read(path)
        self.assertEqual({'database'}, set(conf.sections()))
        self.assertEqual({'transport_url'}, set(conf.defaults()))
        self.assertIn('_cell1', conf['database']['connection'])

    def test_a_database_that_is_not_there_is_named(self):
        admin.drop_database(self.mariadb, f'{self.name}_cell1')
        done = manage('lab', 'run', *self.options)
        self.assert_one_line(1, f"'cell1'.*{self.name}_cell1", done)
        self.assert_hidden(done.stderr)

    def test_a_vhost_that_is_not_there_is_the_workers_last_word(self):
        self.broker.delete_vhost(f'{self.name}_cell2')
        done = manage('lab', 'run', '--cells', 2, *self.options)
        self.assert_one_line(1, 'the worker of cell2 .*ended with code', done)
        self.assert_hidden(done.stderr)

    def test_a_worker_killed_midway_ends_the_run_and_is_named(self):
        lab = self.start_and_wait_for_requests()
        workers = lab.workers()
        self.assertEqual({'cell1', 'cell2'}, workers.keys())
        os.kill(workers['cell2'], signal.SIGKILL)
        done = lab.finish()
        self.assert_one_line(1, 'the worker of cell2 .*by SIGKILL', done)
        self.assert_ended(set(workers.values()))

    def test_ctrl_c_and_sigterm_leave_no_process(self):
        for signum in (signal.SIGINT, signal.SIGTERM):
            lab = self.start_and_wait_for_requests()
            started = descendants(lab.process.pid)
            # Ctrl-C reaches all of the terminal's foreground group.
            os.killpg(lab.process.pid, signum)
            done = lab.finish()
            self.assert_one_line(130, 'interrupted', done)
            self.assert_ended(started)

    def test_workers_do_not_outlive_a_lab_that_was_killed(self):
        lab = self.start_and_wait_for_requests()
        started = descendants(lab.process.pid)
        self.assertLessEqual(2, len(started))
        lab.process.kill()
        lab.finish()
        self.assert_ended(started)


class TestReal(LabTestCase):
    """Private servers, as root and as an ordinary user."""

    def setUp(self):
        super().setUp()
        for kind in (services.MariaDB, services.RabbitMQ):
            if not kind.available() and not (
                cellplug_fixtures.services_required()
            ):
                self.skipTest(kind.why_unavailable())

    def assert_good(self, lab, seen):
        done = lab.finish()
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        found = json.loads(done.stdout)
        self.assertTrue(found['check']['holds'], found)
        for cell in found['cells']:
            self.assertTrue(
                cell['database_connection'].startswith('mysql+pymysql://***:')
            )
        wait_until(lambda: not seen & parents().keys(), f'the end of {seen}')

    def watch(self, lab):
        """All that it ever started, as far as a look now and then shows."""
        seen = set()

        def ended():
            seen.update(descendants(lab.process.pid))
            return len(lab.workers()) == 2 or lab.process.poll() is not None

        wait_until(ended, 'two workers')
        seen.update(descendants(lab.process.pid))
        return seen

    def test_it_starts_servers_and_workers_and_ends_them(self):
        lab = LabProcess('--real', '--cells', 2, '-f', 'json')
        self.addCleanup(lab.close)
        seen = self.watch(lab)
        self.assertTrue(any('mariadbd' in command_line(p) for p in seen))
        self.assert_good(lab, seen)

    def test_ctrl_c_leaves_no_process_and_no_file(self):
        lab = LabProcess(
            *('--real', '--cells', 2, '--instances', 100000),
            env={**os.environ, 'TMPDIR': str(self.place)},
        )
        self.addCleanup(lab.close)
        seen = self.watch(lab)
        os.killpg(lab.process.pid, signal.SIGINT)
        self.assert_one_line(130, 'interrupted', lab.finish())
        wait_until(lambda: not seen & parents().keys(), f'the end of {seen}')
        self.assertEqual([], list(self.place.iterdir()))

    def test_an_ordinary_user_can_do_it(self):
        user, python = self.ordinary_user()
        lab = LabProcess(
            *('--real', '--cells', 2, '-f', 'json'),
            python=self.environment(python),
            cwd='/',
            env={
                'PATH': os.environ['PATH'],
                'HOME': '/nonexistent',
                'PYTHONDONTWRITEBYTECODE': '1',
            },
            **user,
        )
        self.addCleanup(lab.close)
        self.assert_good(lab, self.watch(lab))

    def environment(self, python):
        """A virtual environment with this one's packages, for everybody."""
        place = pathlib.Path(tempfile.mkdtemp(prefix='cellplug-test-'))
        self.addCleanup(shutil.rmtree, place)
        place.chmod(0o755)
        place.joinpath('pyvenv.cfg').write_text(
            f'home = {os.path.dirname(python)}\n'
            'include-system-site-packages = false\n'
        )
        packages = place / 'lib' / VERSION / 'site-packages'
        packages.mkdir(parents=True)
        packages.joinpath('this.pth').write_text(
            f'{ROOT}\n{sysconfig.get_path("purelib")}\n'
        )
        place.joinpath('bin').mkdir()
        executable = place / 'bin' / 'python'
        executable.symlink_to(python)
        return str(executable)

    def ordinary_user(self):
        """Popen's arguments for one, and a Python that may be executed."""
        if os.geteuid() != 0:
            return {}, sys.executable
        nobody = pwd.getpwnam('nobody')
        user = {
            'user': nobody.pw_uid,
            'group': nobody.pw_gid,
            'extra_groups': [],
        }
        readable = f'test -r {ROOT}/setup.cfg && test -r {rich.__file__}'
        for path in (os.path.realpath(sys.executable), f'/usr/bin/{VERSION}'):
            test = ['/bin/sh', '-c', f'test -x {path} && {readable}']
            if subprocess.run(test, check=False, **user).returncode == 0:
                return user, path
        return self.skipTest('an ordinary user may not read this environment')
