"""Commands on MariaDB, PostgreSQL and RabbitMQ; what they keep secret."""

from __future__ import annotations

import threading
import urllib.parse
from typing import Any

import testtools

from cellplug.testing import fixtures
from tests.unit import test_cmd_base

UUID = '0c91ac2e-2a3b-4d5c-8e1f-5b6a7c8d9e0f'


def with_password(url: str, password: str) -> str:
    """The URL with another password."""
    old = urllib.parse.urlsplit(url).password or ''
    return url.replace(f':{old}@', f':{password}@')


def password_of(url: str) -> str:
    return urllib.parse.urlsplit(url).password or ''


class OnServers:
    """Mixed into test cases for each kind of database server."""

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        self.queue = self.fresh_queue()

    def fresh_queue(self) -> str:
        url: str = self.useFixture(fixtures.QueueFixture()).url  # type: ignore[attr-defined]
        return url

    def arguments(self: Any, **values: str) -> list[str]:
        values = {
            'name': 'new',
            'database_connection': self.run_command.fresh_database(),
            'transport_url': self.queue,
            **values,
        }
        argv = []
        for name, value in values.items():
            argv += ['--' + name.replace('_', '-'), value]
        return argv


class CommandsMixin(OnServers):
    run_command: Any

    def test_a_cell_is_created_verified_and_listed(self: Any) -> None:
        made = self.run_command.json('cell', 'create', *self.arguments())
        found = self.run_command('cell', 'verify', 'new', '-f', 'json')
        self.assertEqual(0, found.code, found)
        parts = {(row['part'], row['check']) for row in found.json}
        self.assertEqual(
            {
                ('database', 'connection'), ('database', 'schema'),
                ('database', 'identity'), ('queue', 'connection'),
            },
            parts,
        )  # fmt: skip
        (listed,) = self.run_command.json('cell', 'list')
        self.assertEqual(made['uuid'], listed['uuid'])
        (row,) = self.run_command.json('db', 'version', '--all-cells')
        self.assertEqual(made['uuid'], row['claimed_by'])
        self.run_command.json('instance', 'map', UUID, 'new', '--project', 'p')
        result = self.run_command('instance', 'verify', UUID)
        self.assertEqual(0, result.code)
        result = self.run_command('cell', 'delete', 'new')
        self.assertRefused(result, '1 instance mapping')

    def test_an_api_database_without_tables_is_told(self: Any) -> None:
        url = self.run_command.fresh_database()
        self.run_command.write({'api_database': [f'connection = {url}']})
        for argv in (
            ['cell', 'list'],
            ['cell', 'create', *self.arguments()],
            ['instance', 'list'],
            ['instance', 'show', UUID],
            ['instance', 'map', UUID, UUID, '--project', 'p'],
        ):
            result = self.run_command(*argv)
            self.assertRefused(result, 'run: cellplug-manage api-db sync')

    def test_a_database_that_refuses_writes_nothing(self: Any) -> None:
        url = self.run_command.fresh_database()
        host = urllib.parse.urlsplit(url)
        for bad in (
            with_password(url, 'CANARYwrong'),
            url.replace(f':{host.port}/', ':1/'),
            url.replace(host.path, '/cellplug_absent'),
        ):
            for more in ([], ['--no-verify'], ['--debug']):
                argv = self.arguments(database_connection=bad)
                result = self.run_command('cell', 'create', *argv, *more)
                self.assertEqual(1, result.code)
                self.assertIn('the database of cell', result.err)
                self.assertNotIn('CANARY', result.everything)
                self.assertNotIn(password_of(url), result.everything)
                self.assertEqual([], self.run_command.json('cell', 'list'))

    def test_a_queue_that_refuses_writes_nothing(self: Any) -> None:
        vhost = urllib.parse.urlsplit(self.queue).path
        for bad, word in (
            (with_password(self.queue, 'CANARYwrong'), '403'),
            (self.queue.replace(vhost, '/absent'), '530'),
        ):
            argv = self.arguments(transport_url=bad)
            result = self.run_command('cell', 'create', *argv)
            self.assertRefused(
                result, 'the message queue of cell', word, 'nothing was writ'
            )
            debug = self.run_command('--debug', 'cell', 'create', *argv)
            self.assertNotIn('CANARY', result.everything + debug.everything)
            self.assertEqual([], self.run_command.json('cell', 'list'))

    def test_a_queue_that_refuses_is_found_by_verify(self: Any) -> None:
        argv = self.arguments(
            transport_url=with_password(self.queue, 'CANARYwrong')
        )
        self.run_command.json('cell', 'create', '--no-verify', *argv)
        result = self.run_command('cell', 'verify', 'new', '-f', 'json')
        self.assertEqual(1, result.code)
        *database, queue = result.json
        self.assertTrue(all(row['ok'] for row in database))
        self.assertFalse(queue['ok'])
        self.assertNotIn('CANARY', result.everything)

    def test_an_update_to_a_queue_that_refuses_changes_nothing(
        self: Any,
    ) -> None:
        self.run_command.json('cell', 'create', *self.arguments())
        before = self.run_command.json('cell', 'show', 'new')
        result = self.run_command(
            'cell', 'update', 'new', '--name', 'newer',
            '--transport-url', with_password(self.queue, 'CANARYwrong'),
        )  # fmt: skip
        self.assertRefused(result, 'the message queue of cell')
        self.assertEqual(before, self.run_command.json('cell', 'show', 'new'))

    def test_a_new_password_of_the_same_database_is_no_new_database(
        self: Any,
    ) -> None:
        """It is tried, and it is the identity that allows it."""
        url = self.run_command.fresh_database()
        argv = self.arguments(database_connection=url)
        self.run_command.json('cell', 'create', *argv)
        self.assertEqual(
            'updated',
            self.run_command.json(
                'cell', 'ensure', *argv,
                '--database-connection', f'{url}&connect_timeout=7'
                if '?' in url else f'{url}?connect_timeout=7',
            )['result'],
        )  # fmt: skip

    def test_hosts_that_ensure_one_cell_at_once_agree(self: Any) -> None:
        argv = self.arguments(name='cell1')
        start = threading.Barrier(4)
        results = []

        def ensure() -> None:
            start.wait()
            results.append(
                self.run_command('cell', 'ensure', *argv, '-f', 'json')
            )

        threads = [threading.Thread(target=ensure) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([0] * 4, [one.code for one in results], results)
        self.assertEqual(1, len({one.json['uuid'] for one in results}))
        created = [o for o in results if o.json['result'] == 'created']
        self.assertEqual(1, len(created))
        self.assertEqual(0, self.run_command('cell', 'verify', 'cell1').code)


class OnMariaDBTest(CommandsMixin, test_cmd_base.CommandTestCase):
    backend = 'mariadb'


class OnPostgreSQLTest(CommandsMixin, test_cmd_base.CommandTestCase):
    backend = 'postgresql'


class CanaryTest(OnServers, test_cmd_base.CommandTestCase):
    """Passwords in every place, all commands, all formats, --debug too."""

    backend = 'mariadb'

    def setUp(self) -> None:
        super().setUp()
        replica = self.run_command.fresh_database()
        self.secrets = {password_of(self.queue), password_of(replica)}
        self.run_command.json(
            'cell', 'create', *self.arguments(
                name='cell1', slave_connection=replica, uuid=UUID
            ), '--no-verify',
        )  # fmt: skip
        # A slash in the password, and a password in the query.
        for name, url in (
            ('slash', 'rabbit://u:CANARY%2FCANARY@127.0.0.1:1/v'),
            ('query', 'rabbit://127.0.0.1:1/w?password=CANARY'),
        ):
            argv = self.arguments(name=name, transport_url=url)
            self.run_command.json('cell', 'create', *argv, '--no-verify')
        self.secrets.add('CANARY')

    def commands(self) -> list[list[str]]:
        url = self.run_command.fresh_database()
        wrong = with_password(url, 'CANARYwrong')
        return [
            ['api-db', 'sync'],
            ['api-db', 'version'],
            ['cell', 'list'],
            *(['cell', 'show', name] for name in ('cell1', 'slash', 'query')),
            *(['cell', 'verify', n] for n in ('cell1', 'slash', 'query')),
            ['cell', 'update', 'cell1', '--database-connection', wrong],
            ['cell', 'update', 'cell1', '--slave-connection', wrong],
            ['cell', 'update', 'cell1', '--state', 'no_new'],
            ['cell', 'ensure', *self.arguments(name='cell1')],
            ['cell', 'create', *self.arguments(database_connection=wrong)],
            ['cell', 'create', *self.arguments(
                transport_url='rabbit://u:CANARY'
            )],
            ['cell', 'show', wrong],
            ['cell', 'shew', wrong],
            ['db', 'version', '--all-cells'],
            ['db', 'sync', '--all-cells'],
            ['driver', 'list'],
            ['instance', 'map', UUID, 'cell1', '--project', 'p'],
            ['instance', 'show', UUID],
            ['instance', 'list'],
        ]  # fmt: skip

    def test_no_command_prints_a_password(self) -> None:
        for argv in self.commands():
            for form in ('json', 'yaml', 'csv', 'value', 'table', 'shell'):
                result = self.run_command(*argv, '-f', form, '--debug')
                for secret in self.secrets:
                    self.assertNotIn(secret, result.everything, argv)

    def test_two_commands_print_them_when_asked_to(self) -> None:
        for argv in (['cell', 'list'], ['cell', 'show', 'cell1']):
            result = self.run_command(*argv, '--show-secrets')
            for secret in self.secrets - {'CANARY'}:
                self.assertIn(secret, result.out)


class UnsuspectingTest(testtools.TestCase):
    def test_the_canaries_would_be_seen(self) -> None:
        url = with_password('mysql+pymysql://u:x@h/d', 'CANARY')
        self.assertEqual('mysql+pymysql://u:CANARY@h/d', url)
