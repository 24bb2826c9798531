"""The lab's processes are killed at random; its books are right again."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal

from cellplug.lab import crash
from cellplug.testing import fixtures as cellplug_fixtures
from cellplug.testing import services
from cellplug.testing.services import admin
from tests.functional import test_lab


class CrashTestCase(test_lab.LabTestCase):
    def run_crash(self, *arguments):
        """The document of a run with --crash; it holds."""
        done = test_lab.manage(
            *('lab', 'run', '-f', 'json', '--crash', '--seed', 7), *arguments
        )
        self.assertEqual((0, ''), (done.returncode, done.stderr), done.stdout)
        return json.loads(done.stdout)

    def assert_balanced(self, document):
        """Nothing is over, nothing is reserved, and what is there counts."""
        found = document['check']
        self.assertEqual([], found['problems'])
        self.assertEqual(0, found['reservations'])
        for one in found['books']:
            self.assertEqual(one['counted'], one['in_use'], one)
            self.assertEqual(0, one['reserved'], one)
        for one in document['quotas']['usages']:
            self.assertLessEqual(one['in_use'], one['limit'], one)

    def assert_eventful(self, document):
        """It was no run in which nothing happened."""
        found = document['crash']
        self.assertEqual(crash.KILLS, len(found['kills']))
        self.assertLess(0, found['requests']['booted'])
        self.assertLess(0, found['samples'])
        self.assertEqual(
            sorted(one['seconds'] for one in found['kills']),
            [one['seconds'] for one in found['kills']],
        )
        # What was left behind is what a check saw, and settling ended.
        left = found['left_behind']
        self.assertEqual(found['before']['reservations'], left['expired'])
        for uuid in left['forgotten']:
            self.assertTrue(
                any(uuid in line for line in found['before']['problems'])
            )


class TestOnFiles(CrashTestCase):
    def test_the_books_are_balanced_afterwards(self):
        document = self.run_crash(
            *('--cells', 2, '--instances', 8, '--directory', self.directory)
        )
        self.assert_balanced(document)
        self.assert_eventful(document)
        for one in document['crash']['kills']:
            self.assertRegex(one['process'], r'api-\d')
        done = test_lab.manage('lab', 'check', self.directory)
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        # And the lab goes on from there.
        document = self.run_lab('--instances', 3)
        self.assertTrue(document['check']['holds'])
        self.assertEqual(
            {'expired': 0, 'forgotten': []}, document['left_behind']
        )

    def test_people_see_it_in_eighty_columns(self):
        done = test_lab.manage(
            *('lab', 'run', '--crash', '--cells', 1, '--instances', 5),
            env={**os.environ, 'COLUMNS': '80'},
        )
        self.assertEqual((0, ''), (done.returncode, done.stderr), done.stdout)
        self.assertIn('Killed with -9', done.stdout)
        self.assertIn('before and after expiry and refresh', done.stdout)
        self.assertIn('never beyond a limit', done.stdout)
        widest = max(map(len, done.stdout.splitlines()))
        self.assertLessEqual(widest, 80)

    def test_without_limits_there_are_no_books(self):
        path = self.place / 'noop.conf'
        path.write_text('[quota]\ndriver = noop\n')
        done = test_lab.manage(
            *('--config-file', path, 'lab', 'run', '-f', 'json', '--crash'),
            *('--cells', 1),
        )
        self.assertEqual((0, ''), (done.returncode, done.stderr), done.stdout)
        found = json.loads(done.stdout)
        self.assertIsNone(found['check']['books'])
        self.assertNotIn('refused', found['crash']['requests'])

    def test_a_seed_without_crash_is_refused(self):
        done = test_lab.manage('lab', 'run', '--seed', 7)
        self.assert_one_line(2, '--seed goes with --crash', done)


class TestProcesses(CrashTestCase):
    """Only what the lab kills itself may end."""

    def start(self):
        lab = test_lab.LabProcess(
            *('--crash', '--cells', 1, '--directory', self.directory)
        )
        self.addCleanup(lab.close)
        return lab

    def apis(self, lab):
        return {
            pid
            for pid in test_lab.descendants(lab.process.pid)
            if re.search('lab.api_process ', test_lab.command_line(pid))
        }

    def wait_for_apis(self, lab):
        test_lab.wait_until(
            lambda: len(self.apis(lab)) == 3 or lab.process.poll() is not None,
            'three API processes',
        )
        return self.apis(lab)

    def assert_ended(self, pids):
        test_lab.wait_until(
            lambda: not pids & test_lab.parents().keys(), f'the end of {pids}'
        )

    def test_one_that_somebody_else_killed_ends_the_run_and_is_named(self):
        lab = self.start()
        apis = self.wait_for_apis(lab)
        os.kill(min(apis), signal.SIGKILL)
        self.assert_one_line(
            1, r'the API process api-\d .*by SIGKILL', lab.finish()
        )
        self.assert_ended(apis)

    def test_ctrl_c_leaves_no_process_and_the_next_run_settles(self):
        lab = self.start()
        apis = self.wait_for_apis(lab)
        os.killpg(lab.process.pid, signal.SIGINT)
        self.assert_one_line(130, 'interrupted', lab.finish())
        self.assert_ended(apis)
        document = self.run_lab('--instances', 2)
        self.assertTrue(document['check']['holds'])

    def test_they_do_not_outlive_a_lab_that_was_killed(self):
        lab = self.start()
        apis = self.wait_for_apis(lab)
        lab.process.kill()
        lab.finish()
        self.assert_ended(apis)
        document = self.run_lab('--instances', 2)
        self.assertTrue(document['check']['holds'])


class TestOnPostgreSQL(CrashTestCase):
    """Servers that were there before, and stay."""

    def setUp(self):
        super().setUp()
        self.useFixture(cellplug_fixtures.DatabaseFixture('postgresql'))
        self.useFixture(cellplug_fixtures.QueueFixture())
        server = services.shared_url(services.PostgreSQL)
        rabbitmq = services.shared_url(services.RabbitMQ)
        name = f'lab_{secrets.token_hex(6)}'
        for place in ('api', 'cell0', 'cell1', 'cell2'):
            self.addCleanup(admin.drop_database, server, f'{name}_{place}')
            admin.create_database(server, f'{name}_{place}')
        broker = admin.BrokerAdmin(rabbitmq)
        for place in ('cell1', 'cell2'):
            self.addCleanup(broker.delete_vhost, f'{name}_{place}')
            broker.create_vhost(f'{name}_{place}')
        template = name + '_{cell}'
        self.options = [
            '--database-connection',
            admin.with_database(server, template),
            '--transport-url',
            admin.with_database(rabbitmq, template).partition('?')[0],
        ]

    def test_the_books_are_balanced_afterwards_and_the_lab_goes_on(self):
        document = self.run_crash(
            *('--cells', 2, '--instances', 8), *self.options
        )
        self.assert_balanced(document)
        self.assert_eventful(document)
        done = test_lab.manage(
            *('lab', 'run', '-f', 'json', '--cells', 2, '--instances', 3),
            *self.options,
        )
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        document = json.loads(done.stdout)
        self.assert_balanced(document)
        self.assertEqual(
            {'expired': 0, 'forgotten': []}, document['left_behind']
        )


class TestReal(CrashTestCase):
    """Workers are processes too."""

    def setUp(self):
        super().setUp()
        for kind in (services.MariaDB, services.RabbitMQ):
            if not kind.available() and not (
                cellplug_fixtures.services_required()
            ):
                self.skipTest(kind.why_unavailable())

    def test_workers_and_api_processes_are_killed_in_turn(self):
        document = self.run_crash('--real', '--cells', 2, '--instances', 8)
        self.assert_balanced(document)
        self.assert_eventful(document)
        killed = [one['process'] for one in document['crash']['kills']]
        for name, pattern in zip(
            killed, [r'api-\d', r'the worker of cell\d'] * 3, strict=True
        ):
            self.assertRegex(name, pattern)
