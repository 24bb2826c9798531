"""The console script as a shell sees it: exit codes, signals, pipes."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
from typing import Any

import testtools

from tests.unit import test_cmd_base

DEADLINE = 60
"""Seconds after which a process is taken to hang."""


def script() -> list[str]:
    """The installed script, or else the module behind it."""
    beside = pathlib.Path(sys.executable).with_name('cellplug-manage')
    found = str(beside) if beside.exists() else shutil.which(beside.name)
    return [found] if found else [sys.executable, '-m', 'cellplug.cmd.manage']


class ProcessTestCase(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.line = self.useFixture(test_cmd_base.CommandLine())

    def command(self, *argv: str) -> list[str]:
        return [*script(), '--config-file', self.line.config, *argv]

    def run_script(self, *argv: str, **options: Any) -> Any:
        options = {
            'stdout': subprocess.PIPE,
            'stderr': subprocess.PIPE,
            'text': True,
            'timeout': DEADLINE,
            **options,
        }
        return subprocess.run(self.command(*argv), **options)

    def start(self, *argv: str, **options: Any) -> Any:
        process = subprocess.Popen(
            self.command(*argv), stderr=subprocess.PIPE, text=True, **options
        )
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def silent_server(self) -> socket.socket:
        """It takes connections and never says a word."""
        server = socket.create_server(('127.0.0.1', 0))
        self.addCleanup(server.close)
        server.settimeout(DEADLINE)
        return server


class ExitCodeTest(ProcessTestCase):
    def test_done_is_0(self) -> None:
        done = self.run_script('api-db', 'sync')
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        self.assertIn('api_0001', done.stdout)

    def test_refused_is_1_with_one_line(self) -> None:
        done = self.run_script('cell', 'list')
        self.assertEqual((1, ''), (done.returncode, done.stdout))
        self.assertEqual(
            'cellplug-manage cell list: error: the API database has no '
            'cellplug schema; run: cellplug-manage api-db sync\n',
            done.stderr,
        )

    def test_wrong_usage_is_2(self) -> None:
        self.assertEqual(2, self.run_script('cell', 'show').returncode)
        self.assertEqual(2, self.run_script('cells').returncode)

    def test_secrets_are_read_from_standard_input(self) -> None:
        self.run_script('api-db', 'sync')
        url = self.line.fresh_database()
        done = self.run_script(
            'cell', 'create', '--name', 'cell1',
            '--database-connection', '-', '--transport-url', '-',
            input=f'{url}\nfake://cell1/\n',
        )  # fmt: skip
        self.assertEqual((0, ''), (done.returncode, done.stderr))

    def test_a_message_queue_is_looked_at_without_a_word_of_libraries(
        self,
    ) -> None:
        """oslo.messaging's imports warn, its driver logs: nobody's affair."""
        self.run_script('api-db', 'sync')
        done = self.run_script(
            'cell', 'create', '--name', 'cell1',
            '--database-connection', self.line.fresh_database(),
            '--transport-url', 'rabbit://u:canary@127.0.0.1:1/v',
        )  # fmt: skip
        self.assertEqual((1, ''), (done.returncode, done.stdout))
        self.assertEqual(1, done.stderr.count('\n'), done.stderr)
        self.assertIn('Connection refused', done.stderr)
        self.assertNotIn('canary', done.stderr)


class InterruptTest(ProcessTestCase):
    def interrupted(self, server: socket.socket, *argv: str) -> None:
        process = self.start(*argv, stdout=subprocess.DEVNULL)
        client, _ = server.accept()
        self.addCleanup(client.close)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=DEADLINE)
        self.assertEqual((130, ''), (process.returncode, errors))

    def test_ctrl_c_while_a_database_is_silent(self) -> None:
        server = self.silent_server()
        port = server.getsockname()[1]
        url = f'mysql+pymysql://u:canary@127.0.0.1:{port}/api'
        self.line.write(
            {'api_database': [f'connection = {url}', 'connect_timeout = 60']}
        )
        self.interrupted(server, 'cell', 'list')

    def test_ctrl_c_while_a_message_queue_is_silent(self) -> None:
        self.run_script('api-db', 'sync')
        server = self.silent_server()
        port = server.getsockname()[1]
        self.interrupted(
            server, 'cell', 'create', '--name', 'cell1',
            '--database-connection', self.line.fresh_database(),
            '--transport-url', f'rabbit://u:canary@127.0.0.1:{port}/',
        )  # fmt: skip
        self.assertEqual([], self.line.json('cell', 'list'))


class SilentServerTest(ProcessTestCase):
    """A server that is there and says nothing is given up."""

    def test_an_api_database(self) -> None:
        port = self.silent_server().getsockname()[1]
        for scheme in ('mysql+pymysql', 'postgresql+psycopg'):
            url = f'{scheme}://u:canary@127.0.0.1:{port}/api'
            self.line.write(
                {'api_database': [f'connection = {url}',
                                  'connect_timeout = 1']}
            )  # fmt: skip
            done = self.run_script('cell', 'list')
            self.assertEqual(1, done.returncode)
            self.assertIn('the API database is unavailable', done.stderr)
            self.assertNotIn('canary', done.stderr)

    def test_a_message_queue(self) -> None:
        self.run_script('api-db', 'sync')
        self.line.write(
            {
                'api_database': [f'connection = {self.line.api_url}'],
                'rpc': ['connect_timeout = 1', 'stop_timeout = 1'],
            }
        )
        port = self.silent_server().getsockname()[1]
        done = self.run_script(
            'cell', 'create', '--name', 'cell1',
            '--database-connection', self.line.fresh_database(),
            '--transport-url', f'rabbit://u:canary@127.0.0.1:{port}/',
        )  # fmt: skip
        self.assertEqual(1, done.returncode)
        self.assertIn('the message queue of cell', done.stderr)
        self.assertEqual(1, done.stderr.count('\n'), done.stderr)


class OutputTest(ProcessTestCase):
    def test_a_reader_that_left_is_no_matter(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        process = self.start('--help', stdout=writing)
        os.close(writing)
        _, errors = process.communicate(timeout=DEADLINE)
        self.assertEqual((141, ''), (process.returncode, errors))

    def test_output_that_cannot_be_written_is_a_failure(self) -> None:
        for command in ('--help', '--version'):
            with open('/dev/full', 'w') as full:
                done = self.run_script(command, stdout=full)
            self.assertEqual(1, done.returncode)
            self.assertEqual(1, done.stderr.count('\n'), done.stderr)
            self.assertIn('No space left', done.stderr)
