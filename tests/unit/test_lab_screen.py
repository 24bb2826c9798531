"""What a report looks like, whatever the screen."""

from __future__ import annotations

import collections
import dataclasses
import io
import json
import subprocess
import sys
import uuid

import fixtures
import testtools

import cellplug
from cellplug.lab import books
from cellplug.lab import check
from cellplug.lab import crash
from cellplug.lab import quotas
from cellplug.lab import report
from cellplug.lab import screen
from cellplug.lab import settling
from cellplug.lab import traffic
from cellplug.objects import quota


class Ascii(io.StringIO):
    encoding = 'ascii'

    def write(self, text):
        text.encode('ascii')
        return super().write(text)


class Utf8(io.StringIO):
    encoding = 'utf-8'


RESOURCES = ('instances', 'cores', 'memory_mb')
LARGEST = 999999


def make_quotas():
    return [
        quotas.Row(
            user, name, quota.QuotaUsage(LARGEST, LARGEST, LARGEST), LARGEST
        )
        for user in ('', 'demo', 'guest')
        for name in RESOURCES
    ]


def make_books(in_use=LARGEST, reserved=0):
    return [
        books.Entry('lab', user, name, in_use, reserved, LARGEST)
        for user in ('', 'demo', 'guest')
        for name in RESOURCES
    ]


def make_crash(**values):
    found = {
        'seed': 2**32 - 1,
        'kills': [
            crash.Kill('the worker of cell1', 123.456, ''),
            crash.Kill('api-1', 124.5, 'boot'),
        ],
        'requests': collections.Counter(booted=9, refused=2, failed=1),
        'deleted': [],
        'samples': 12345,
        'quotas': make_quotas(),
        'before': check.Outcome(books=make_books(reserved=LARGEST)),
        'settled': settling.Settled(2, ('a-uuid',)),
        'problems': [],
        **values,
    }
    return crash.Crash(**found)


def make_report(instances=5, cells=3, directory=None, problems=(), **values):
    made = [
        cellplug.CellMapping(
            uuid=cellplug.CELL0_UUID if not n else str(uuid.uuid4()),
            name=f'cell{n}',
            database_connection=f'mysql+pymysql://u:hidden@h/{n}?charset=x',
            transport_url=f'rabbit://u:hidden@h/{n}',
        )
        for n in range(cells + 1)
    ]
    placed = [
        traffic.Placed(
            uuid=str(uuid.uuid4()),
            name=f'vm-{n}',
            cell_uuid=made[n % cells + 1].uuid,
            host='worker',
            state='active',
            requests=['boot', 'show', 'reboot', 'delete'],
        )
        for n in range(instances)
    ]
    found = report.Report(
        kind='servers',
        drivers={'resolver': ['local', 'database']},
        directory=directory,
        own_servers=False,
        cells=made,
        placed=placed,
        listed=instances,
        latencies=[traffic.Latency('boot', instances, 0.01, 12.3, 123.4)],
        quotas=make_quotas(),
        refused=[
            traffic.Refused(
                'demo',
                'large',
                [
                    quotas.Over('instances', 12345, 12345, 0),
                    quotas.Over('cores', 54321, 54318, 3),
                ],
            )
        ],
        left=settling.Settled(),
        crash=None,
        check=check.Outcome(
            mappings=instances,
            rows={cell.name: 1 for cell in made},
            books=make_books(),
            problems=list(problems),
        ),
        seconds=1.5,
    )
    return dataclasses.replace(found, **values)


class ScreenTestCase(testtools.TestCase):
    def shown(self, made, columns=80, stream=Utf8):
        self.useFixture(fixtures.EnvironmentVariable('COLUMNS', str(columns)))
        out = stream()
        screen.show(made, out)
        return out.getvalue()


class TestScreen(ScreenTestCase):
    def test_nothing_is_wider_than_the_screen(self):
        for columns in (40, 80, 100, 120, 200):
            for cells in (1, 3, 9, 30):
                text = self.shown(make_report(cells=cells), columns)
                widest = max(map(len, text.splitlines()))
                self.assertLessEqual(widest, columns, text)

    def test_eighty_columns_show_whole_uuids(self):
        for cells in (1, 3, 9, 30):
            made = make_report(cells=cells)
            text = self.shown(made, 80)
            for one in made.placed:
                self.assertIn(one.uuid, text)
            for cell in made.cells:
                self.assertIn(cell.uuid, text)

    def test_an_instance_is_a_dot_under_its_cells_number(self):
        made = make_report(instances=2, cells=2)
        lines = self.shown(made).splitlines()
        header = next(ln for ln in lines if '0 1 2' in ln)
        for one, number in zip(made.placed, '12', strict=True):
            row = next(ln for ln in lines if one.uuid in ln)
            self.assertEqual('●', row[header.index(number)])
            self.assertEqual(1, row.count('●'))

    def test_many_instances_are_summed_up(self):
        for instances, listed in (
            (screen.MOST_ROWS, True),
            (screen.MOST_ROWS + 1, False),
        ):
            made = make_report(instances=instances)
            text = self.shown(made)
            self.assertEqual(listed, made.placed[0].uuid in text)
            self.assertIn('Booted', text)

    def test_no_secret_is_shown(self):
        made = make_report(directory='/somewhere')
        text = self.shown(made, 200)
        self.assertIn('mysql+pymysql://***:***@h/1', text)
        self.assertNotIn('hidden', text + str(made.document()) + repr(made))

    def test_a_plain_terminal_gets_plain_characters(self):
        for columns in (40, 80, 120):
            self.shown(make_report(directory='/x'), columns, Ascii)
            self.shown(make_report(problems=['x'] * 50), columns, Ascii)

    def test_problems_are_named_and_counted(self):
        names = [f'problem number {n}!' for n in range(25)]
        text = self.shown(make_report(problems=names))
        for name in names[: check.MOST_PROBLEMS]:
            self.assertIn(name, text)
        self.assertNotIn(names[check.MOST_PROBLEMS], text)
        self.assertIn('5 more', text)
        self.assertIn('25 problems', text)
        self.assertNotIn('in its cell alone', text)

    def test_one_is_not_many(self):
        text = self.shown(make_report(problems=['lost']))
        self.assertIn('1 problem in ', text)

    def test_brackets_are_no_markup(self):
        made = make_report(directory='/a/[bold]b', problems=['[red]x[/red]'])
        text = self.shown(made)
        self.assertIn('/a/[bold]b', text)
        self.assertIn('[red]x[/red]', text)


class TestQuotas(ScreenTestCase):
    """Limits, usages and refusals."""

    def test_each_limit_stands_beside_its_use_and_the_truth(self):
        text = self.shown(make_report())
        lines = text.splitlines()
        start = next(n for n, ln in enumerate(lines) if 'The quotas' in ln)
        rows = [ln.split() for ln in lines[start + 3 : start + 12]]
        largest = str(LARGEST)
        self.assertEqual(['all', 'instances', *[largest] * 5], rows[0])
        self.assertEqual(['cores', *[largest] * 5], rows[1])
        self.assertEqual('demo', rows[3][0])

    def test_a_refusal_names_every_resource_with_its_headroom(self):
        text = self.shown(make_report())
        self.assertRegex(text, 'demo +1 large +instances +12345 +12345 +0')
        self.assertRegex(text, r'\n +cores +54321 +54318 +3')

    def test_no_limit_is_a_word(self):
        row = quotas.Row('', 'cores', quota.QuotaUsage(-1, 1, 0), None)
        text = self.shown(make_report(quotas=[row]))
        self.assertRegex(text, 'cores +no +1 +0 +no')

    def test_without_quotas_the_check_says_so(self):
        made = make_report(quotas=[], refused=[])
        made.check.books = None
        text = self.shown(made)
        self.assertNotIn('The quotas', text)
        self.assertNotIn('Refused', text)
        self.assertIn('Quotas were not checked', text)
        self.assertIsNone(made.document()['quotas'])

    def test_what_a_former_run_left_is_said(self):
        for left, said in (
            (settling.Settled(), None),
            (settling.Settled(1, ()), 'Settled: 1 reservation expired.'),
            (
                settling.Settled(2, ('a',)),
                '2 reservations expired, 1 half-made instance forgotten.',
            ),
        ):
            text = self.shown(make_report(left=left), 120)
            self.assertEqual(said is not None, 'cut short' in text)
            self.assertIn(said or '', text)


class TestCrash(ScreenTestCase):
    """The same screen, where processes were killed."""

    def make(self, **values):
        return make_report(0, crash=make_crash(**values))

    def test_the_books_before_and_after_fit(self):
        for columns in (40, 80, 120):
            for stream in (Utf8, Ascii):
                text = self.shown(self.make(), columns, stream)
                widest = max(map(len, text.splitlines()))
                self.assertLessEqual(widest, columns, text)
        text = self.shown(self.make())
        largest = str(LARGEST)
        self.assertRegex(
            text,
            f'memory_mb +{largest} +{largest} +{largest} +{largest} +0 '
            f'+{largest}',
        )
        self.assertIn('reserved', text)

    def test_who_was_killed_and_what_was_left(self):
        text = self.shown(self.make())
        self.assertRegex(text, 'api-1 +124.50 s +boot')
        self.assertIn(f'--seed {2**32 - 1}', text)
        self.assertIn('2 reservations expired', text)
        self.assertIn('9 booted, 1 failed, 2 refused', text)
        self.assertIn('never beyond a limit', text)

    def test_a_limit_that_was_exceeded_is_not_passed_over(self):
        text = self.shown(self.make(problems=['it was']))
        self.assertNotIn('never beyond', text)

    def test_without_books_none_are_shown(self):
        made = self.make(before=check.Outcome(), samples=0, quotas=[])
        made.check.books = None
        text = self.shown(made)
        self.assertNotIn('The books', text)
        self.assertNotIn('beyond a limit', text)

    def test_the_document_has_it_all(self):
        found = self.make().document()['crash']
        self.assertEqual(
            {'expired': 2, 'forgotten': ['a-uuid']}, found['left_behind']
        )
        self.assertEqual(LARGEST, found['before']['books'][0]['reserved'])
        self.assertEqual(
            {'process': 'api-1', 'seconds': 124.5, 'doing': 'boot'},
            found['kills'][1],
        )
        json.dumps(found)


class TestImport(testtools.TestCase):
    def test_the_commands_module_is_light(self):
        program = (
            'import sys; import cellplug.cmd.lab;'
            'heavy = {"sqlalchemy", "rich", "oslo_messaging", "oslo_config",'
            ' "alembic", "oslo_db", "cellplug.lab.run"};'
            'print(sorted(heavy & set(sys.modules)))'
        )
        done = subprocess.run(
            [sys.executable, '-c', program],
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual('[]\n', done.stdout)
