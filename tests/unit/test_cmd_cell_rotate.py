"""``cellplug-manage cell rotate``: what it refuses, writes and says."""

from __future__ import annotations

from typing import Any

import testtools
from oslo_config import cfg

import cellplug
from cellplug import exception
from cellplug import objects
from cellplug.cells import draining
from cellplug.cells import privileges
from cellplug.cells import rotating
from tests.unit import test_cmd_base

UUID = '0c91ac2e-2a3b-4d5c-8e1f-5b6a7c8d9e0f'
SECRET = 'do-not-show-me'


class RotateCase(test_cmd_base.CommandTestCase):
    interval = '0.01'

    def setUp(self) -> None:
        super().setUp()
        self.run_command.write(
            {
                'api_database': [f'connection = {self.run_command.api_url}'],
                'cells': [f'follow_interval = {self.interval}'],
                'rpc': ['call_timeout = 0.5', 'stop_timeout = 0.5'],
            }
        )
        self.url = self.run_command.fresh_database()
        self.run_command.add_cell(
            'cell1',
            uuid=UUID,
            database_connection=self.url,
            transport_url='fake://a:old@cell1/',
        )
        self.run_command.add_cell('cell2')
        self.before = self.raw()

    def raw(self) -> Any:
        return self.run_command.json('cell', 'show', 'cell1', '--show-secrets')

    def rotate(self, *argv: str, stdin: str = '') -> Any:
        return self.run_command(
            'cell', 'rotate', 'cell1', '-f', 'json', *argv, stdin=stdin
        )

    def assertUnchanged(self) -> None:
        self.assertEqual(self.before, self.raw())


class RotateTest(RotateCase):
    def test_it_writes_waits_and_says_that_they_may_be_revoked(self) -> None:
        url = f'fake://b:{SECRET}@cell1/'
        found = self.rotate('--transport-url', url)
        self.assertEqual(0, found.code, found)
        self.assertEqual(url, self.raw()['transport_url'])
        self.assertEqual('transport_url', found.json['rotated'])
        self.assertTrue(found.json['revocable'])
        self.assertLess(self.before['generation'], found.json['generation'])
        self.assertIn('may be revoked', found.err)
        self.assertNotIn(SECRET, found.everything)

    def test_without_the_time_it_says_how_long_not_to(self) -> None:
        found = self.rotate(
            '--transport-url', 'fake://b:new@cell1/', '--wait', '0'
        )
        self.assertEqual(1, found.code)
        self.assertFalse(found.json['revocable'])
        self.assertIn('do not revoke', found.err)
        self.assertEqual('fake://b:new@cell1/', self.raw()['transport_url'])

    def test_a_dry_run_writes_nothing(self) -> None:
        found = self.rotate(
            '--dry-run', '--transport-url', 'fake://b:new@cell1/'
        )
        self.assertEqual(0, found.code, found)
        self.assertTrue(found.json['dry_run'])
        self.assertFalse(found.json['revocable'])
        self.assertUnchanged()

    def test_urls_come_from_a_file(self) -> None:
        path = self.run_command.folder / 'new'
        path.write_text(
            f'# the second account\n\ndatabase_connection = {self.url}'
            '?timeout=5\ntransport_url=fake://b:new@cell1/\n'
        )
        found = self.rotate('--from-file', str(path))
        self.assertEqual(0, found.code, found)
        raw = self.raw()
        self.assertEqual(f'{self.url}?timeout=5', raw['database_connection'])
        self.assertEqual('fake://b:new@cell1/', raw['transport_url'])

    def test_a_file_that_is_no_text_is_refused(self) -> None:
        path = self.run_command.folder / 'new'
        path.write_bytes(b'transport_url = fake://b:\xff@cell1/\n')
        found = self.rotate('--from-file', str(path))
        self.assertEqual(1, found.code, found)
        self.assertIn('UTF-8', found.err)
        self.assertUnchanged()

    def test_urls_come_from_standard_input(self) -> None:
        for argv, stdin in (
            (('--from-file', '-'), 'transport_url = fake://b:n@cell1/\n'),
            (('--transport-url', '-'), 'fake://c:n@cell1/\n'),
        ):
            found = self.rotate(*argv, stdin=stdin)
            self.assertEqual(0, found.code, found)
        self.assertEqual('fake://c:n@cell1/', self.raw()['transport_url'])

    def test_other_places_of_the_former_secret_are_named(self) -> None:
        other = self.run_command.fresh_database()
        self.run_command.add_cell(
            'cell3',
            database_connection=other,
            transport_url='fake://a:old@cell1/v',
        )
        found = self.rotate('--transport-url', 'fake://b:new@cell1/')
        self.assertEqual(1, found.code)
        self.assertIn("transport_url of cell 'cell3'", found.err)
        self.assertIn('cell3', found.json['still_used_by'])


class RefusalTest(RotateCase):
    """One line, exit code 1 or 2, nothing written."""

    def assertNotRotated(self, *argv: str, word: str, code: int = 1) -> None:
        found = self.run_command('cell', 'rotate', 'cell1', *argv)
        if code == 1:
            self.assertRefused(found, word)
        self.assertEqual((code, ''), (found.code, found.out))
        self.assertIn(word, found.err)
        self.assertNotIn(SECRET, found.everything)
        self.assertUnchanged()

    def test_nothing_to_change(self) -> None:
        self.assertNotRotated(word='no new URL', code=2)
        self.assertNotRotated(
            '--transport-url', 'fake://a:old@cell1/', word='already'
        )

    def test_a_database_elsewhere(self) -> None:
        other = self.run_command.fresh_database()
        self.assertNotRotated(
            '--database-connection', other, word='cell update'
        )

    def test_a_queue_elsewhere(self) -> None:
        for url in ('fake://elsewhere/', 'none:///'):
            self.assertNotRotated('--transport-url', url, word='cell update')

    def test_a_replica_of_another_cell(self) -> None:
        other = self.run_command.json(
            'cell', 'show', 'cell2', '--show-secrets'
        )
        self.assertNotRotated(
            '--slave-connection', other['database_connection'],
            word='belongs to cell',
        )  # fmt: skip

    def test_no_replica(self) -> None:
        self.run_command.json(
            'cell', 'update', 'cell1', '--slave-connection', self.url
        )
        self.before = self.raw()
        self.assertNotRotated('--slave-connection', '', word='URL', code=2)

    def test_a_url_that_cannot_be(self) -> None:
        self.assertNotRotated(
            '--transport-url', f'amqp://u:{SECRET}@h/', word='transport_url'
        )

    def test_a_file_with_anything_else_in_it(self) -> None:
        path = self.run_command.folder / 'new'
        path.write_text(f'transport_url = fake://x/\n\npassword = {SECRET}\n')
        self.assertNotRotated('--from-file', str(path), word='line 3')

    def test_a_url_that_is_passed_twice(self) -> None:
        path = self.run_command.folder / 'new'
        path.write_text('transport_url = fake://b:new@cell1/\n')
        self.assertNotRotated(
            '--from-file', str(path), '--transport-url', 'fake://c@cell1/',
            word='twice', code=2,
        )  # fmt: skip

    def test_a_wait_that_cannot_be(self) -> None:
        self.assertNotRotated(
            '--transport-url', 'fake://b:new@cell1/', '--wait', '-1',
            word='--wait', code=2,
        )  # fmt: skip

    def test_no_such_cell(self) -> None:
        found = self.run_command(
            'cell', 'rotate', 'none', '--transport-url', 'fake://b@cell1/'
        )
        self.assertRefused(found, 'none')


class NotFollowingTest(RotateCase):
    interval = '0'

    def test_it_says_that_nobody_can_tell(self) -> None:
        found = self.rotate(
            '--transport-url', 'fake://b:new@cell1/', '--wait', '0.1'
        )
        self.assertEqual(1, found.code)
        self.assertIn('follow_interval is 0', found.err)


class StillUsedTest(testtools.TestCase):
    cell = objects.CellMapping(
        uuid=UUID,
        name='cell1',
        database_connection='mysql+pymysql://new:p@db1/cell1',
        slave_connection='mysql+pymysql://old:p@db2/cell1',
        transport_url='rabbit://old:p@mq/cell1',
    )
    former = ('mysql+pymysql://old:p@db1/cell1',)

    def used(self, **places: str) -> list[str]:
        return rotating.still_used(self.cell, self.former, places.items())

    def test_on_the_same_server_alone(self) -> None:
        self.assertEqual(
            ['same'],
            self.used(
                same='mysql+pymysql://old:p@db1/cell2',
                other='mysql+pymysql://old:p@db3/cell2',
            ),
        )

    def test_with_another_password_it_is_another_secret(self) -> None:
        self.assertEqual([], self.used(a='mysql+pymysql://old:q@db1/cell2'))

    def test_the_cells_own_replica_on_any_server(self) -> None:
        slave = str(self.cell.slave_connection)
        self.assertEqual(['replica'], self.used(replica=slave))

    def test_a_queue_is_no_database(self) -> None:
        self.assertEqual([], self.used(queue='rabbit://old:p@db1/cell2'))


class DrainTest(testtools.TestCase):
    """When the former credentials are out of use, by an injected clock."""

    def setUp(self) -> None:
        super().setUp()
        self.conf = cfg.ConfigOpts()
        cellplug.register_opts(self.conf)
        self.conf([], project='cellplug', default_config_files=[])
        self.conf.set_override('follow_interval', 10, 'cells')
        self.now = 0.0
        self.cell = objects.CellMapping(
            uuid=UUID,
            name='cell1',
            database_connection='sqlite:////nowhere/a',
            transport_url='fake://a:old@cell1/',
        )

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def drain(self, **changed: str) -> draining.Drain:
        return draining.Drain(
            self.conf, self.cell, changed,
            timer=lambda: self.now, sleep=self.sleep,
        )  # fmt: skip

    def test_a_database_needs_the_time_to_follow(self) -> None:
        drain = self.drain(database_connection='sqlite:////nowhere/a?x=1')
        found = drain.wait(100, lambda _: None)
        self.assertTrue(found.drained)
        self.assertEqual('', drain.refusal(found))
        self.assertAlmostEqual(drain.needed, self.now, delta=1)
        self.assertLess(10, self.now)

    def test_a_queue_needs_the_time_for_answers_too(self) -> None:
        drain = self.drain(transport_url='fake://b:new@cell1/')
        self.assertEqual(71, drain.needed)

    def test_what_takes_longer_is_refused(self) -> None:
        drain = self.drain(transport_url='fake://b:new@cell1/')
        found = drain.wait(30, lambda _: None)
        self.assertFalse(found.drained)
        self.assertEqual(30, self.now)
        self.assertIn('41 more seconds', drain.refusal(found))

    def test_sessions_that_are_left_are_a_reason(self) -> None:
        drain = self.drain(database_connection='sqlite:////nowhere/a?x=1')
        found = draining.Progress(seconds=99, sessions=2, followed=True)
        self.assertFalse(found.drained)
        self.assertIn('2 connections', drain.refusal(found))


class RefuseMoveTest(testtools.TestCase):
    def test_a_cell_whose_url_cannot_be_read_has_no_place_to_keep(
        self,
    ) -> None:
        cell = objects.CellMapping(
            uuid=UUID, name='c', database_connection='x', transport_url='y'
        )
        for name, url in (
            ('database_connection', 'mysql+pymysql://u:p@h/d'),
            ('transport_url', 'rabbit://u:p@h/v'),
        ):
            self.assertRaises(
                exception.InvalidURL,
                rotating.refuse_move, cell, {name: url},
            )  # fmt: skip


class PrivilegesTest(testtools.TestCase):
    def test_a_few_are_named(self) -> None:
        lost = {(f't{n}', 'DELETE') for n in range(6)}
        self.assertEqual(
            'DELETE on t0, DELETE on t1, DELETE on t2, DELETE on t3 and 2 '
            'more',
            privileges.told(lost),
        )
        self.assertEqual('SELECT on a', privileges.told({('a', 'SELECT')}))
