"""The lab with each driver: only the configuration changes."""

from __future__ import annotations

import json
import os
import pathlib
import secrets
import signal
import subprocess
import sys
import time

import fixtures
import testtools

import cellplug
from cellplug import exception
from cellplug import loader
from cellplug import rpc
from cellplug.lab import api
from cellplug.lab import database
from cellplug.lab import errors
from cellplug.testing import fixtures as cellplug_fixtures
from cellplug.testing import services
from tests.functional import test_lab
from tests.unit import helpers_static

PATIENCE = test_lab.PATIENCE


class DriversTestCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.place = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def options(self, interface, name):
        """What a driver needs to be told."""
        if (interface, name) != ('resolver', 'memcached'):
            return []
        memcached = self.useFixture(cellplug_fixtures.MemcachedFixture())
        return [
            '[resolver_memcached]',
            f'servers = {memcached.address}',
            f'encryption_keys = {secrets.token_hex(32)}',
        ]

    def write(self, *lines):
        path = self.place / 'drivers.conf'
        path.write_text('\n'.join(lines) + '\n')
        return path

    def configure(self, **drivers):
        lines = []
        for interface, name in drivers.items():
            lines += [f'[{interface}]', f'driver = {name}']
            lines += self.options(interface, name)
        return self.write(*lines)

    def run_lab(self, path, *arguments):
        done = test_lab.manage(
            *('--config-file', path, 'lab', 'run', '-f', 'json'), *arguments
        )
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        document = json.loads(done.stdout)
        self.assertTrue(document['check']['holds'], document['check'])
        return document


class TestWithinTheProcess(DriversTestCase):
    def test_a_driver_that_is_not_well_is_not_passed_over(self):
        path = self.write(
            '[resolver]',
            'driver = memcached',
            '[resolver_memcached]',
            'servers = 127.0.0.1:1',
            f'encryption_keys = {secrets.token_hex(32)}',
        )
        done = test_lab.manage(
            *('--config-file', path, 'lab', 'run', '--instances', '2')
        )
        self.assertEqual(0, done.returncode)
        self.assertIn('resolver: memcached in front of database', done.stdout)
        (line,) = done.stderr.splitlines()
        self.assertIn('warning: memcached 127.0.0.1:1 does not answer', line)

    def test_options_that_cannot_be_keep_it_from_starting(self):
        path = self.write(
            '[transport_cache]',
            'driver = lru',
            '[transport_cache_lru]',
            'max_transports = 0',
        )
        for command in (('lab', 'run'), ('cell', 'list')):
            done = test_lab.manage('--config-file', path, *command)
            self.assertEqual(1, done.returncode)
            (line,) = done.stderr.splitlines()
            self.assertIn('max_transports', line)

    def test_with_each_resolver(self):
        names = [one.name for one in loader.installed('resolver')]
        self.assertLessEqual({'database', 'static'}, set(names))
        for name in names:
            path = self.configure(resolver=name)
            document = self.run_lab(path, '--cells', 2, '--instances', 6)
            self.assertEqual(name, document['drivers']['resolver'][0])
            self.assertEqual(
                {'cell0': 1, 'cell1': 3, 'cell2': 3},
                {c['name']: c['booted'] for c in document['cells']},
            )

    def test_with_each_transport_cache(self):
        names = [one.name for one in loader.installed('transport_cache')]
        self.assertIn('process', names)
        for name in names:
            path = self.configure(transport_cache=name)
            document = self.run_lab(path, '--cells', 2, '--instances', 4)
            self.assertEqual([name], document['drivers']['transport_cache'])

    def test_what_the_lab_makes_wins_over_what_the_file_names(self):
        path = self.write(
            *('[api_database]', 'connection = mysql+pymysql://u@nowhere/api'),
            *('max_pool_size = 3', '[resolver]', 'driver = static'),
            *('[resolver_static]', 'cells = theirs', '[cell_theirs]'),
            *('uuid = 4f1d0a2e-5c55-4b0e-9b6e-0d8a7c3e2f10',),
        )
        lab = self.place / 'lab'
        document = self.run_lab(
            path, '--cells', 1, '--instances', 2, '--directory', lab
        )
        self.assertEqual(
            ['cell0', 'cell1'], [cell['name'] for cell in document['cells']]
        )
        kept = (lab / 'cellplug.conf').read_text()
        self.assertIn('max_pool_size = 3', kept)
        self.assertNotIn('theirs', kept)
        # The other commands find the same cells by the same resolver.
        done = test_lab.manage(
            *('--config-file', lab / 'cellplug.conf'),
            *('cell', 'list', '-f', 'json'),
        )
        self.assertEqual(
            [cell['uuid'] for cell in document['cells']],
            [cell['uuid'] for cell in json.loads(done.stdout)],
        )

    def test_a_former_lab_goes_on_with_other_drivers(self):
        lab = self.place / 'lab'
        arguments = ('--instances', 3, '--directory', lab)
        first = self.run_lab(self.configure(resolver='static'), *arguments)
        second = self.run_lab(self.configure(resolver='database'), *arguments)
        self.assertEqual(['static'], first['drivers']['resolver'])
        self.assertEqual(['database'], second['drivers']['resolver'])
        self.assertEqual(
            [cell['uuid'] for cell in first['cells']],
            [cell['uuid'] for cell in second['cells']],
        )

    def test_a_driver_that_is_not_there_is_named(self):
        path = self.configure(resolver='etcd')
        done = test_lab.manage('--config-file', path, 'lab', 'run')
        self.assertEqual((1, ''), (done.returncode, done.stdout))
        self.assertIn("resolver driver 'etcd'", done.stderr)
        self.assertEqual(1, len(done.stderr.splitlines()))

    def test_a_file_that_cannot_be_parsed_is_not_quoted(self):
        path = self.write('[resolver]', 'pa55word')
        done = test_lab.manage('--config-file', path, 'lab', 'run')
        self.assertEqual((2, ''), (done.returncode, done.stdout))
        self.assertIn(f'{path}:2', done.stderr)
        self.assertNotIn('pa55word', done.stderr)


class TestReal(DriversTestCase):
    """With a process for each worker, on private servers."""

    def setUp(self):
        super().setUp()
        for kind in (services.MariaDB, services.RabbitMQ):
            if not kind.available() and not (
                cellplug_fixtures.services_required()
            ):
                self.skipTest(kind.why_unavailable())

    def run_real(self, **drivers):
        installed = {one.name for one in loader.installed('resolver')}
        installed |= {one.name for one in loader.installed('transport_cache')}
        self.assertLessEqual(set(drivers.values()), installed)
        path = self.configure(**drivers)
        document = self.run_lab(path, '--real', '--cells', 2, '--instances', 8)
        self.assertEqual(
            {'quota': 'database', 'placement': 'spread', **drivers},
            {key: one[0] for key, one in document['drivers'].items()},
        )

    def test_static_and_lru(self):
        self.run_real(resolver='static', transport_cache='lru')

    def test_memcached_and_process(self):
        self.run_real(resolver='memcached', transport_cache='process')


class SIGHUPTestCase(testtools.TestCase):
    """A worker process that is told to read its configuration again."""

    def setUp(self):
        super().setUp()
        self.queue = self.useFixture(cellplug_fixtures.QueueFixture()).url
        self.files = self.useFixture(
            helpers_static.StaticFixture(
                'east',
                options={
                    'cell_east': {'transport_url': self.queue},
                    'resolver_static': {
                        'instances': 'rules',
                        'default_cell': 'east',
                    },
                },
            )
        )
        self.router = self.files.open_router(
            database=database.db,
            allowed_remote_exmods=(errors.__name__,),
            clock=time.time,
        )
        self.prepare()
        self.said = self.files.path.with_name('worker.log')
        self.worker = self.start(self.files.path, '--cell', 'east')

    def start(self, path, *arguments):
        with self.said.open('wb') as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, '-P', '-m', 'cellplug.lab.worker'),
                    *('--config-file', str(path)),
                    *('--host', 'here', *arguments),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self.addCleanup(self.end, process)
        self.assertEqual(b'ready\n', process.stdout.readline(), self.log())
        return process

    def end(self, process):
        process.terminate()
        try:
            self.assertEqual(0, process.wait(PATIENCE), self.log())
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def log(self):
        return self.said.read_text()

    def prepare(self):
        self.files.claim(self.router)
        with self.router.target_cell(self.context(), 'east') as cctxt:
            database.create_tables(cctxt)

    def context(self):
        return cellplug.RequestContext(user_id='u', project_id='p')

    def hang_up(self):
        """What the worker says to a SIGHUP."""
        before = len(self.reports())
        os.kill(self.worker.pid, signal.SIGHUP)
        test_lab.wait_until(
            lambda: (
                self.worker.poll() is not None or len(self.reports()) > before
            ),
            'a line about the reload',
        )
        self.assertIsNone(self.worker.poll(), self.log())
        return self.reports()[-1]

    def reports(self):
        return [
            line
            for line in self.log().splitlines()
            if line.startswith('reload: ')
        ]

    def boot(self):
        """Have the worker make an instance; its uuid."""
        with self.router.target_cell(self.context(), 'east') as cctxt:
            made = self.router.rpc_client(
                cctxt, rpc.Target(topic=api.TOPIC)
            ).call(
                cctxt,
                'boot',
                values={
                    'uuid': helpers_static.UUIDS['west'],
                    'name': 'one',
                    'cores': 1,
                    'memory_mb': 1,
                },
            )
        return made['uuid']

    def rows(self):
        with self.router.target_cell(self.context(), 'east') as cctxt:
            return [row['uuid'] for row in database.instance_list(cctxt)]


class TestSIGHUP(SIGHUPTestCase):
    def test_an_edited_cell_is_followed_without_a_restart(self):
        first = self.boot()
        self.assertEqual([first], self.rows())
        self.files.sections['cell_east']['database_connection'] = (
            self.files.fresh_database()
        )
        self.files.write()
        self.router.reload()
        self.prepare()
        self.assertIn('is in effect', self.hang_up())
        self.assertEqual([], self.rows())
        # The same uuid would be refused where it is already.
        self.assertEqual(first, self.boot())
        self.assertEqual([first], self.rows())

    def test_a_bad_file_leaves_the_worker_as_it_was(self):
        good = self.files.path.read_text()
        for bad, place in (
            ('[cell_east]\npa55word\n', f'{self.files.path}:2'),
            (
                good.replace('uuid = ', 'uuid = pa55word'),
                '[cell_east] uuid: is no uuid',
            ),
            (
                good.replace('[cell_east]', '[cell_west]'),
                '[cell_east]: the group is missing',
            ),
        ):
            self.files.write(bad)
            said = self.hang_up()
            self.assertIn('stays in effect', said)
            self.assertIn(place, said)
        self.assertNotIn('pa55word', self.log())
        self.files.write(good)
        self.boot()
        self.assertEqual(1, len(self.rows()))

    def test_a_cell_that_is_gone_refuses_the_worker(self):
        del self.files.sections['cell_east']
        self.files.sections['cell_west'] = {
            **self.files.cell('west'),
            'transport_url': 'fake://west/',
        }
        self.files.sections['resolver_static'].update(
            cells='west', default_cell='west'
        )
        self.files.write()
        self.assertIn('is in effect', self.hang_up())
        refusal = self.assertRaises(exception.CellMappingNotFound, self.boot)
        self.assertEqual(helpers_static.UUIDS['east'], refusal.cell)

    def test_a_worker_of_its_own_cell_goes_on_too(self):
        self.worker.terminate()
        self.worker.wait(PATIENCE)
        cell = self.files.sections['cell_east']
        path = self.files.path.with_name('own.conf')
        path.write_text(
            f'[DEFAULT]\ntransport_url = {self.queue}\n'
            f'[database]\nconnection = {cell["database_connection"]}\n'
        )
        self.worker = self.start(path)
        for _ in range(2):
            self.assertIn('is in effect', self.hang_up())
        self.boot()
        self.assertEqual(1, len(self.rows()))
