"""The break room as people meet it: one run, every kind of breaking."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import unittest

import testtools

from cellplug.lab import breaking
from cellplug.testing import services
from tests.functional import test_lab

KINDS = {
    'cell1': 'hang',
    'cell2': 'slow',
    'cell3': 'refuse',
    'cell4': 'readonly',
    'cell5': 'garbage',
}
WHOLE = 'cell6'
FAILING = ('cell1', 'cell3', 'cell5')
PARTS = ('calm', 'broken', 'healed')
ARGUMENTS = (
    *('--cells', '6', '--seconds', '6'),
    *('--break', ','.join(f'{c}={kind}' for c, kind in KINDS.items())),
)


class Story:
    """What is true of a run on whatever servers."""

    more: tuple[str, ...] = ()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.done = test_lab.manage(
            *('lab', 'run', '-f', 'json'), *ARGUMENTS, *cls.more
        )

    def setUp(self):
        super().setUp()
        self.assertEqual('', self.done.stderr)
        self.document = json.loads(self.done.stdout)
        self.assertEqual([], self.document['check']['problems'])
        self.assertEqual(0, self.done.returncode)
        self.story = self.document['break']
        self.cells = self.story['cells']

    def texts(self, cell):
        return [e['text'] for e in self.story['events'] if e['cell'] == cell]

    def test_the_check_holds_when_all_is_over(self):
        self.assertTrue(self.document['check']['holds'])
        self.assertEqual([], self.story['problems'])

    def test_a_cell_that_is_whole_is_not_harmed(self):
        whole = self.cells[WHOLE]
        self.assertIsNone(whole['kind'])
        for part in PARTS:
            self.assertLess(0, whole[part]['answered'])
        if self.was_smooth():
            self.assertEqual(0, sum(whole[part]['failed'] for part in PARTS))
            self.assertEqual([], self.texts(WHOLE))

    def was_smooth(self):
        """Whether the machine had time for all of it, as tests expect."""
        return self.story['stalled_seconds'] < breaking.PATIENCE

    def test_while_it_is_calm_nothing_fails(self):
        self.assertEqual(
            KINDS, {n: c['kind'] for n, c in self.cells.items() if c['kind']}
        )
        self.assertLess(0, self.story['lists']['calm']['complete'])
        if self.was_smooth():
            for cell in self.cells.values():
                self.assertEqual(0, cell['calm']['failed'])

    def test_what_fails_again_and_again_is_refused_without_asking(self):
        for name in FAILING:
            cell = self.cells[name]
            # What came between the word and the deed.
            self.assertGreater(5, cell['broken']['answered'], name)
            # Until a probe finds out that it was healed.
            refused = [cell[p]['refused_at_once'] for p in PARTS[1:]]
            self.assertLess(0, sum(refused), name)

    def test_all_answer_when_they_are_healed(self):
        for cell in self.cells.values():
            self.assertLess(0, cell['healed']['answered'])
        self.assertLess(0, self.story['lists']['healed']['complete'])

    def test_breakers_open_and_close(self):
        for name in FAILING:
            found = [t for t in self.texts(name) if 'of the database' in t]
            self.assertIn('breaker of the database opens: ', found[0])
            self.assertEqual('the breaker of the database closes', found[-1])

    def test_cells_that_answer_are_asked_all_the_while(self):
        for name in ('cell2', 'cell4'):
            found = [t for t in self.texts(name) if 'the database' in t]
            # What "breaks" says of a cell that is read-only, aside.
            self.assertFalse([t for t in found if 'breaker' in t], found)

    def test_a_slow_cell_is_slow_and_a_right_one(self):
        slow = self.cells['cell2']
        self.assertLess(0, slow['broken']['answered'])
        self.assertLess(500, slow['broken']['p50_ms'])

    def test_a_read_only_cell_answers_its_readers(self):
        broken = self.cells['cell4']['broken']
        self.assertLess(0, broken['answered'])
        self.assertLess(0, broken['failed'])
        self.assertEqual(0, broken['refused_at_once'])
        self.assertRegex(broken['last_error'], 'read-?only')

    def test_lists_say_who_is_missing(self):
        self.assertLess(0, self.story['lists']['broken']['partial'])
        for name in FAILING:
            found = self.texts(name)
            self.assertTrue([t for t in found if 'missing in the list' in t])
            self.assertIn('is in the list again', found)

    def test_new_instances_go_where_it_works(self):
        booted = self.story['boots']['broken']['booted']
        for name in ('cell3', 'cell5'):
            # At the most what was placed before the breaker opened.
            self.assertGreater(2, booted[name])
        self.assertLess(0, sum(self.story['boots']['calm']['booted'].values()))

    def test_what_happened_is_told_in_order(self):
        moments = [e['seconds'] for e in self.story['events']]
        self.assertEqual(sorted(moments), moments)
        starts = self.story['parts']
        self.assertEqual(list(PARTS), list(starts))
        for name in KINDS:
            found = [e for e in self.story['events'] if e['cell'] == name]
            texts = [e['text'] for e in found]
            self.assertTrue([t for t in texts if t.startswith('breaks: ')])
            self.assertIn('is healed', texts)


class TestOnFiles(Story, testtools.TestCase):
    """SQLite files: what opens them breaks."""


class TestOnServers(Story, testtools.TestCase):
    """A private MariaDB and RabbitMQ: the proxies before them break."""

    more = ('--real', '--seconds', '8')

    @classmethod
    def setUpClass(cls):
        for server in (services.MariaDB, services.RabbitMQ):
            reason = server.why_unavailable()
            if reason:
                raise unittest.SkipTest(reason)
        super().setUpClass()

    def test_queues_have_breakers_of_their_own(self):
        for name in ('cell3', 'cell5'):
            found = [t for t in self.texts(name) if 'of the queue' in t]
            self.assertIn('breaker of the queue opens: ', found[0])
            self.assertEqual('the breaker of the queue closes', found[-1])


class TestWatching(test_lab.LabTestCase):
    def test_a_page_for_people_wherever_it_goes(self):
        done = test_lab.manage(
            *('lab', 'run', '--cells', 2, '--break', 'cell2=refuse'),
            *('--seconds', 2),
            env={**os.environ, 'COLUMNS': '80', 'PYTHONIOENCODING': 'ascii'},
        )
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        self.assertNotIn('\x1b', done.stdout)
        for words in (
            'What the users of each cell got',
            'As time went by',
            'refuse: nobody listens',
            'the breaker of the database opens',
            'the breaker of the database closes',
        ):
            self.assertIn(words, done.stdout)
        widest = max(map(len, done.stdout.splitlines()))
        self.assertGreaterEqual(80, widest)

    def test_on_a_terminal_the_cells_are_shown_while_they_break(self):
        shown, code = self.on_terminal(
            *('lab', 'run', '--cells', '2', '--break', 'cell2=garbage'),
            *('--seconds', '2'),
        )
        self.assertEqual(0, code)
        text = re.sub(r'\x1b\[[0-9;?]*[a-zA-Z]', '', shown)
        meanwhile = text[: text.index('What the users of each cell got')]
        for words in ('cell2 garbage', 'OPEN', 'file is not a database'):
            self.assertIn(words, meanwhile)

    def on_terminal(self, *arguments):
        """Run a command on a terminal; what it shows, and its exit code."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.environ.update(COLUMNS='110', LINES='40', TERM='xterm')
            os.execvp(test_lab.MANAGE[0], [*test_lab.MANAGE, *arguments])
        shown = bytearray()
        with contextlib.suppress(OSError):
            while part := os.read(terminal, 65536):
                shown += part
        os.close(terminal)
        status = os.waitpid(pid, 0)[1]
        return shown.decode(), os.waitstatus_to_exitcode(status)

    def test_interrupted_in_the_midst_it_ends_what_it_started(self):
        process = subprocess.Popen(
            [
                *test_lab.MANAGE,
                *('lab', 'run', '--cells', '2', '--break', 'cell1=hang'),
                *('--seconds', '600', '--directory', str(self.directory)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.kill)
        log = self.directory / 'cell1.sqlite'
        test_lab.wait_until(log.exists, 'a cell')
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=test_lab.PATIENCE)
        self.assertEqual((130, ''), (process.returncode, out))
        self.assertIn('interrupted', err)

    def test_a_kept_lab_goes_on_after_it(self):
        for arguments in (
            ('--break', 'cell1=readonly', '--seconds', 1),
            (),
            ('--break', 'cell2=refuse', '--seconds', 1),
        ):
            found = self.run_lab('--cells', 2, '--instances', 6, *arguments)
            self.assertTrue(found['check']['holds'])
        self.assertFalse((self.directory / 'no-database').exists())

    def test_wrong_usage_is_one_line_and_starts_nothing(self):
        for arguments, pattern in (
            (('--break', 'cell9=hang'), 'cell1 to cell3 can'),
            (('--break', 'cell1=burn'), 'kinds are hang, slow'),
            (('--seconds', '2'), '--seconds goes with --break'),
        ):
            done = test_lab.manage(
                *('lab', 'run', '--directory', self.directory), *arguments
            )
            self.assert_one_line(2, pattern, done)
