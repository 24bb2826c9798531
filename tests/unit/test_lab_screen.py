"""What a report looks like, whatever the screen."""

from __future__ import annotations

import io
import subprocess
import sys
import uuid

import fixtures
import testtools

import cellplug
from cellplug.lab import check
from cellplug.lab import report
from cellplug.lab import screen
from cellplug.lab import traffic


class Ascii(io.StringIO):
    encoding = 'ascii'

    def write(self, text):
        text.encode('ascii')
        return super().write(text)


class Utf8(io.StringIO):
    encoding = 'utf-8'


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
    return report.Report(
        kind='servers',
        drivers={'resolver': ['local', 'database']},
        directory=directory,
        own_servers=False,
        cells=made,
        placed=placed,
        listed=instances,
        latencies=[traffic.Latency('boot', instances, 0.01, 12.3, 123.4)],
        check=check.Outcome(
            mappings=instances,
            rows={cell.name: 1 for cell in made},
            problems=list(problems),
        ),
        seconds=1.5,
        **values,
    )


class TestScreen(testtools.TestCase):
    def shown(self, made, columns=80, stream=Utf8):
        self.useFixture(fixtures.EnvironmentVariable('COLUMNS', str(columns)))
        out = stream()
        screen.show(made, out)
        return out.getvalue()

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

    def test_brackets_are_no_markup(self):
        made = make_report(directory='/a/[bold]b', problems=['[red]x[/red]'])
        text = self.shown(made)
        self.assertIn('/a/[bold]b', text)
        self.assertIn('[red]x[/red]', text)


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
