"""The lab's quotas: what the service reserves, gives back and leaves open."""

from __future__ import annotations

import contextlib
import functools
import json
import pathlib
import sqlite3
import threading
import time
import uuid

import fixtures
import oslo_messaging
import testtools

from cellplug import exception
from cellplug.lab import api
from cellplug.lab import choosing
from cellplug.lab import database
from cellplug.lab import deployment
from cellplug.lab import directory
from cellplug.lab import errors
from cellplug.lab import flavors
from cellplug.lab import mending
from cellplug.lab import people
from cellplug.lab import quotas
from cellplug.lab import reserving
from cellplug.lab import servers
from tests.functional import test_lab

TINY, SMALL, MEDIUM, LARGE = flavors.FLAVORS


class ServiceTestCase(testtools.TestCase):
    """The example service in a lab of two cells, on SQLite files."""

    has_workers = True

    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.FakeLogger())
        self.place = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        folder = stack.enter_context(directory.opened(str(self.place / 'l')))
        folder.write(2, [], ended=False)
        self.lab = stack.enter_context(
            deployment.opened(
                servers.Files(folder),
                folder,
                2,
                choosing.chosen([], []),
                crash=not self.has_workers,
            )
        )
        self.router = self.lab.router
        self.api = api.InstanceAPI(self.router)
        self.context = self.lab.context()

    def usages(self, user=''):
        """What is in use and reserved, instances and cores."""
        rows = quotas.rows(self.router, self.context, people.USERS)
        found = {(r.user, r.resource): r.usage for r in rows}
        both = [found[user, name] for name in ('instances', 'cores')]
        return [(one.in_use, one.reserved) for one in both]

    def limit(self, **limits):
        self.router.quotas.set_limits(
            self.context, limits, project_id=people.PROJECT
        )

    def mapped(self):
        return [
            one.instance_uuid
            for one in self.router.instances.list(self.context)
        ]


class TestRequests(ServiceTestCase):
    def boot(self, flavor=MEDIUM, user=people.USER):
        return self.api.boot(self.lab.context(user), 'vm', flavor)

    def test_a_boot_uses_what_its_flavor_says(self):
        self.boot()
        self.assertEqual([(1, 0), (2, 0)], self.usages())
        self.assertEqual([(1, 0), (2, 0)], self.usages(people.USER))
        self.assertEqual([(0, 0), (0, 0)], self.usages(people.GUEST))

    def test_what_is_over_quota_is_not_made(self):
        self.limit(instances=1, cores=3)
        self.boot()
        before = self.mapped()
        refusal = self.assertRaises(exception.OverQuota, self.boot)
        self.assertEqual(
            [
                quotas.Over('instances', limit=1, used=1, free=0),
                quotas.Over('cores', limit=3, used=2, free=1),
            ],
            quotas.overs(refusal),
        )
        self.assertEqual(before, self.mapped())
        self.assertEqual([(1, 0), (2, 0)], self.usages())

    def test_what_no_cell_takes_uses_nothing(self):
        made = self.boot(flavors.TOO_LARGE)
        self.assertEqual('error', made['state'])
        self.assertEqual([(0, 0), (0, 0)], self.usages())
        self.lab.recount()
        self.assertEqual([(0, 0), (0, 0)], self.usages())

    def test_what_a_worker_refused_is_given_back(self):
        # A row must have a name.
        refusal = self.assertRaises(
            oslo_messaging.RemoteError,
            self.api.boot,
            *(self.context, None, SMALL),
        )
        self.assertEqual('DBError', refusal.exc_type)
        self.assertEqual([(0, 0), (0, 0)], self.usages())

    def test_a_delete_gives_back_to_whom_it_belonged(self):
        made = self.boot()
        self.boot(SMALL, people.GUEST)
        self.api.delete(self.lab.context(people.GUEST), made['uuid'])
        self.assertEqual([(1, 0), (1, 0)], self.usages())
        self.assertEqual([(0, 0), (0, 0)], self.usages(people.USER))
        self.assertEqual([(1, 0), (1, 0)], self.usages(people.GUEST))

    def test_deletes_at_once_give_back_once(self):
        kept = self.boot(SMALL)
        for _ in range(5):
            made = self.boot(LARGE)
            delete = functools.partial(
                self.api.delete, self.lab.context(), made['uuid']
            )
            done = self.at_once(4, delete)
            self.assertEqual(1, done.count(None), done)
            self.assertEqual([(1, 0), (1, 0)], self.usages())
        self.assertEqual([kept['uuid']], self.mapped())

    def at_once(self, count, call):
        """What each call raised; None where it did not."""
        barrier = threading.Barrier(count)
        outcomes = []

        def run():
            barrier.wait()
            try:
                outcomes.append(call())
            except (
                errors.InstanceNotFound,
                exception.InstanceMappingNotFound,
            ) as exc:
                outcomes.append(exc)

        threads = [threading.Thread(target=run) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(count, len(outcomes))
        return outcomes

    def test_a_commit_after_the_expiry_is_counted_all_the_same(self):
        self.boot(SMALL)
        cell = self.lab.cells[0]
        with reserving.reserving(self.router, self.context, MEDIUM.amounts()):
            # It took so long that the reservation expired, and the recount
            # after that came too early to see what is made.
            self.lab.clock.put_forward(reserving.WINDOW + 1)
            self.assertEqual(1, self.router.quotas.expire(self.context))
            self.lab.recount()
            self.assertEqual([(1, 0), (1, 0)], self.usages())
            self.make_row(cell, MEDIUM)
        self.boot(TINY)
        self.assertEqual([(3, 0), (4, 0)], self.usages())

    def make_row(self, cell, flavor):
        with self.router.target_cell(self.context, cell) as cctxt:
            return make_row(cctxt, str(uuid.uuid4()), flavor)


def make_row(cctxt, instance_uuid, flavor):
    """What a worker does."""
    return database.instance_create(
        cctxt,
        {
            'uuid': instance_uuid,
            'name': 'late',
            'cores': flavor.cores,
            'memory_mb': flavor.memory_mb,
            'state': 'active',
            'host': 'worker',
        },
    )


class TestInDoubt(ServiceTestCase):
    """Nobody answers: the worker may have acted, or may yet."""

    has_workers = False

    def setUp(self):
        # Nobody answers, however long one waits.
        self.useFixture(
            fixtures.MockPatchObject(deployment, '_CALL_TIMEOUT', '1')
        )
        super().setUp()

    def boot_in_vain(self):
        self.assertRaises(
            exception.RPCTimeout, self.api.boot, self.context, 'vm', MEDIUM
        )
        (mapped,) = self.mapped()
        return mapped

    def test_what_was_reserved_is_kept_from_others_and_expires(self):
        self.limit(instances=1)
        mapped = self.boot_in_vain()
        self.assertEqual([(0, 1), (0, 2)], self.usages())
        # Who would be admitted now would be one too many if it exists.
        self.assertRaises(
            exception.OverQuota, self.api.boot, self.context, 'vm', TINY
        )
        settled = self.lab.settle()
        self.assertEqual((1, (mapped,)), (settled.expired, settled.forgotten))
        self.assertEqual([(0, 0), (0, 0)], self.usages())
        self.assertEqual([], self.mapped())

    def test_what_was_made_all_the_same_is_counted(self):
        mapped = self.boot_in_vain()
        with self.router.target_instance(self.context, mapped) as cctxt:
            make_row(cctxt, mapped, MEDIUM)
        settled = self.lab.settle()
        self.assertEqual((1, ()), (settled.expired, settled.forgotten))
        self.assertEqual([(1, 0), (2, 0)], self.usages())
        self.assertEqual([mapped], self.mapped())

    def test_an_interrupt_leaves_it_open_too(self):
        with testtools.ExpectedException(KeyboardInterrupt):
            with reserving.reserving(
                self.router, self.context, TINY.amounts()
            ):
                raise KeyboardInterrupt
        self.assertEqual([(0, 1), (0, 1)], self.usages())

    def test_any_other_error_gives_back(self):
        with testtools.ExpectedException(ValueError):
            with reserving.reserving(
                self.router, self.context, TINY.amounts()
            ):
                raise ValueError
        self.assertEqual([(0, 0), (0, 0)], self.usages())


class TestMending(ServiceTestCase):
    """Mappings without instances."""

    has_workers = False

    def map(self):
        made = str(uuid.uuid4())
        self.router.instances.map(self.context, made, self.lab.cells[0])
        return made

    def mend(self, ahead=0.0):
        return mending.forget_half_made(
            self.router, self.context, lambda: time.time() + ahead
        )

    def test_only_what_is_older_than_a_request_can_take(self):
        made = self.map()
        self.assertEqual([], self.mend())
        self.assertEqual([], self.mend(reserving.WINDOW - 30))
        self.assertEqual([made], self.mend(reserving.WINDOW + 1))
        self.assertEqual([], self.mapped())

    def test_an_instance_anywhere_keeps_its_mapping(self):
        made = self.map()
        # That it is in another cell is a problem, and none of a crash.
        with self.router.target_cell(self.context, self.lab.cells[1]) as cctxt:
            make_row(cctxt, made, TINY)
        self.assertEqual([], self.mend(reserving.WINDOW + 1))
        self.assertEqual([made], self.mapped())

    def test_while_a_cell_is_silent_nothing_is_forgotten(self):
        made = self.map()
        other = self.place / 'l' / 'cell2.sqlite'
        other.rename(other.with_suffix('.away'))
        self.assertRaises(
            exception.CellsFailed, self.mend, reserving.WINDOW + 1
        )
        self.assertEqual([made], self.mapped())

    def test_those_of_other_projects_are_theirs(self):
        made = str(uuid.uuid4())
        self.router.instances.map(
            self.context, made, self.lab.cells[0], project_id='other'
        )
        self.assertEqual([], self.mend(reserving.WINDOW + 1))


def usages_of(document):
    return {
        (one['user'], one['resource']): one
        for one in document['quotas']['usages']
    }


class TestLimits(testtools.TestCase):
    """What a run says of its quotas."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        done = test_lab.manage(
            *('lab', 'run', '-f', 'json', '--cells', 2, '--instances', 9)
        )
        if (done.returncode, done.stderr) != (0, ''):
            raise AssertionError(done.stderr)
        cls.document = json.loads(done.stdout)

    def test_limits_just_admit_what_was_wanted(self):
        # tiny, small, medium and large in turn, beginning with small; the
        # 8th and 9th, a tiny and a small, are deleted.
        usages = usages_of(self.document)
        total = usages[None, 'instances']
        self.assertEqual(
            (9, 7, 0, 2, 7, 'project'),
            tuple(
                total[key]
                for key in (
                    *('limit', 'in_use', 'reserved', 'free', 'counted'),
                    'source',
                )
            ),
        )
        self.assertEqual(17, usages[None, 'cores']['limit'])
        self.assertEqual(15, usages[None, 'cores']['in_use'])
        guest = usages['guest', 'instances']
        self.assertEqual(
            (2, 2, 0, 'user'),
            tuple(guest[k] for k in ('limit', 'in_use', 'free', 'source')),
        )
        self.assertEqual(5, usages['demo', 'instances']['in_use'])
        # What the project has left, which is less than its own limit leaves.
        self.assertEqual(2, usages['demo', 'instances']['free'])

    def test_refusals_say_how_much_could_be_had(self):
        guest, demo = self.document['quotas']['refused']
        self.assertEqual(('guest', 'tiny'), (guest['user'], guest['flavor']))
        self.assertEqual(
            [{'resource': 'instances', 'limit': 2, 'used': 2, 'free': 0}],
            guest['overs'],
        )
        self.assertEqual(('demo', 'large'), (demo['user'], demo['flavor']))
        self.assertEqual(
            [
                {'resource': 'instances', 'limit': 9, 'used': 9, 'free': 0},
                {'resource': 'cores', 'limit': 17, 'used': 17, 'free': 0},
            ],
            demo['overs'],
        )


class TestRun(test_lab.LabTestCase):
    """Runs that follow each other, with other drivers too."""

    def configured(self, driver):
        path = self.place / f'{driver}.conf'
        path.write_text(f'[quota]\ndriver = {driver}\n')
        return path

    def run_with(self, driver, *arguments):
        done = test_lab.manage(
            *('--config-file', self.configured(driver)),
            *('lab', 'run', '-f', 'json', '--directory', self.directory),
            *arguments,
        )
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        return json.loads(done.stdout)

    def test_a_continued_lab_gets_room_for_more(self):
        self.run_lab('--cells', 2, '--instances', 3)
        document = self.run_lab('--instances', 2)
        usages = usages_of(document)
        # All but one of a run's last two are deleted: 3 - 2, + 2, - 1.
        self.assertEqual(3, usages[None, 'instances']['limit'])
        self.assertEqual(2, usages[None, 'instances']['in_use'])

    def test_noop_limits_nothing_and_there_are_no_books(self):
        document = self.run_with('noop', '--cells', 1, '--instances', 3)
        self.assertIsNone(document['quotas'])
        self.assertIsNone(document['check']['books'])
        self.assertEqual(['noop'], document['drivers']['quota'])
        self.assertNotIn('refused', document['requests'])
        done = test_lab.manage('lab', 'check', self.directory)
        self.assertEqual(0, done.returncode)
        self.assertIn('Quotas were not checked', done.stdout)

    def test_what_noop_did_not_count_is_counted_afterwards(self):
        for driver in ('database', 'noop', 'database'):
            document = self.run_with(driver, '--instances', 4)
        total = usages_of(document)[None, 'instances']
        self.assertEqual((6, 6), (total['in_use'], total['counted']))

    def test_the_other_commands_know_the_resources(self):
        self.run_lab('--cells', 1, '--instances', 3)
        conf = self.directory / 'cellplug.conf'
        for command in (
            ('show', '--project', 'lab'),
            ('set', '--project', 'lab', 'instances=50'),
            ('refresh', '--project', 'lab'),
        ):
            done = test_lab.manage('--config-file', conf, 'quota', *command)
            self.assertEqual((0, ''), (done.returncode, done.stderr))
            self.assertIn('instances', done.stdout)

    def test_an_installed_service_does_not_get_into_a_lab(self):
        """Which limits things of the same names, by an entry point too."""
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        info = folder / 'my_service-1.5.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(
            'Metadata-Version: 2.1\nName: my_service\nVersion: 1.5\n'
        )
        (info / 'entry_points.txt').write_text(
            '[cellplug.quota_resource]\nmine = my_service:resources\n'
        )
        (folder / 'my_service.py').write_text(
            'import cellplug\n'
            'def resources(router):\n'
            '    return [\n'
            '        cellplug.AbsoluteResource(name, default=1)\n'
            "        for name in ('instances', 'cores')\n"
            '    ]\n'
        )
        self.useFixture(
            fixtures.EnvironmentVariable('PYTHONPATH', str(folder))
        )
        document = self.run_lab('--cells', 1, '--instances', 3)
        self.assertIn((None, 'instances'), usages_of(document))
        conf = self.directory / 'cellplug.conf'
        show = ('quota', 'show', '--project', 'lab')
        done = test_lab.manage('--config-file', conf, *show)
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        self.assertIn('memory_mb', done.stdout)
        # The service is seen: where nothing is said, all are used.
        other = folder / 'other.conf'
        other.write_text(conf.read_text().replace('resource_plugins', '# '))
        done = test_lab.manage('--config-file', other, *show)
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        self.assertIn('absolute', done.stdout)


class TestLeftBehind(test_lab.LabTestCase):
    """A former run that did not come to its end."""

    def setUp(self):
        super().setUp()
        self.run_lab('--cells', 1, '--instances', 3)
        self.half_made = str(uuid.uuid4())
        self.execute(
            'INSERT INTO instance_mapping (instance_uuid, cell_uuid,'
            ' project_id, user_id, generation, created_at)'
            " SELECT ?, uuid, 'lab', 'demo', 1, datetime('now')"
            " FROM cell_mapping WHERE name = 'cell1'",
            self.half_made,
        )
        self.execute(
            'INSERT INTO reservations (uuid, usage_id, delta, expire,'
            ' created_at) SELECT ?, id, 1, ?, created_at FROM quota_usages'
            " WHERE user_id = '' AND resource = 'instances'",
            *(str(uuid.uuid4()), int((time.time() + 60) * 1000)),
        )
        self.execute(
            "UPDATE quota_usages SET reserved = 1 WHERE user_id = ''"
            " AND resource = 'instances'"
        )

    def execute(self, statement, *values):
        path = self.directory / 'api.sqlite'
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute(statement, values)
            connection.commit()

    def note(self, **values):
        path = self.directory / 'lab.json'
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    def test_a_check_names_all_of_it(self):
        done = test_lab.manage('lab', 'check', '-f', 'json', self.directory)
        self.assertEqual(1, done.returncode)
        problems = json.loads(done.stdout)['problems']
        self.assertEqual(3, len(problems), problems)
        self.assertIn(f'{self.half_made} is mapped to cell1', problems[0])
        self.assertIn('1 reservation has not ended', problems[1])
        self.assertIn('instances reserved are 1', problems[2])

    def test_the_next_run_settles_it_and_says_so(self):
        self.note(ended=False)
        document = self.run_lab('--instances', 2)
        self.assertEqual(
            {'expired': 1, 'forgotten': [self.half_made]},
            document['left_behind'],
        )

    def test_what_was_tampered_with_is_not_settled(self):
        # No run was cut short: whatever this is, nobody may hide it.
        self.execute('DELETE FROM reservations')
        self.execute('UPDATE quota_usages SET reserved = 0')
        done = test_lab.manage('lab', 'run', '--directory', self.directory)
        self.assertEqual(1, done.returncode)
        self.assertIn(self.half_made, done.stdout)

    def test_a_usage_that_was_tampered_with_is_found(self):
        self.execute('DELETE FROM reservations')
        self.execute('UPDATE quota_usages SET reserved = 0')
        self.execute('DELETE FROM instance_mapping WHERE generation = 1')
        good = test_lab.manage('lab', 'check', self.directory)
        self.assertEqual((0, ''), (good.returncode, good.stderr))
        self.execute(
            "UPDATE quota_usages SET in_use = in_use + 1 WHERE user_id = ''"
            " AND resource = 'cores'"
        )
        done = test_lab.manage('lab', 'check', self.directory)
        self.assertEqual(1, done.returncode)
        self.assertIn('quota of project lab: cores in use are', done.stdout)
