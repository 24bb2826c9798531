"""What the break room looks like, whatever the screen."""

from __future__ import annotations

import dataclasses
import json

import fixtures
import testtools

from cellplug.lab import breaking
from cellplug.lab import breakroom
from cellplug.lab import drawing
from cellplug.lab import ledger
from cellplug.lab import report_break
from cellplug.lab import screen_break
from cellplug.lab import screen_live
from cellplug.lab import settling
from cellplug.lab import witness
from tests.unit import test_lab_break
from tests.unit import test_lab_screen

KIND = breaking.Kind
PART = ledger.Part
CROSS = '\u00d7'
LONG = 'an error that goes on and on, ' * 9


class BreakScreenTestCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.time = 0.0
        self.ledger = ledger.Ledger(lambda: self.time)
        self.cells = {}
        self.witness = witness.Witness(self.ledger, lambda: self.cells)

    def tell(self, *, cells=3, until=PART.HEALED):
        """A story up to the middle of a part of it."""
        names = [f'cell{n}' for n in range(1, cells + 1)]
        for part in PART:
            self.ledger.begin(part)
            for step in range(40):
                self.time += 0.1
                bad = part is PART.BROKEN and step > 10
                for name in names:
                    error = LONG if bad and name == 'cell2' else None
                    self.ledger.note(
                        name, 'show', 0.0123, error, refused=step > 20
                    )
                self.ledger.note('', 'partial' if bad else 'list', 1.0)
                self.ledger.note('', 'boot', 0.1)
                self.ledger.note('cell1', ledger.BOOTED, 0.0)
            if part is until:
                break
        state = 'open' if until is PART.BROKEN else 'closed'
        for name in ('cell0', *names):
            self.cells[name] = test_lab_break.make_health(
                name,
                database=state if name == 'cell2' else 'closed',
                queue=None if name == 'cell0' else 'closed',
            )
        self.witness.look()
        self.witness.note('cell2', f'breaks: {LONG}')
        if until is PART.BROKEN:
            self.ledger.listing = ledger.Listing(
                cells, 7, dict.fromkeys(names[1:], LONG)
            )
        return breakroom.Story(
            broken={'cell2': KIND.HANG},
            names=names,
            ledger=self.ledger,
            witness=self.witness,
            seconds=12.0,
            settled=settling.Settled(1, ('a-uuid',)),
        )

    def console(self, columns, stream=test_lab_screen.Utf8):
        self.useFixture(fixtures.EnvironmentVariable('COLUMNS', str(columns)))
        return drawing.console(stream())

    def in_the_end(self, story, columns=100, stream=test_lab_screen.Utf8):
        console = self.console(columns, stream)
        for one in screen_break.tables(console, story):
            console.print(one)
        return console.file.getvalue()

    def meanwhile(self, story, columns=120, stream=test_lab_screen.Utf8):
        console = self.console(columns, stream)
        console.print(screen_live.live(console, story))
        return console.file.getvalue()

    def assert_fits(self, text, columns):
        widest = max(map(len, text.splitlines()))
        self.assertLessEqual(widest, columns, text)


class TestInTheEnd(BreakScreenTestCase):
    def test_nothing_is_wider_than_the_screen(self):
        for cells in (2, 30):
            story = self.tell(cells=cells)
            for columns in (40, 80, 120, 200):
                self.assert_fits(self.in_the_end(story, columns), columns)

    def test_it_can_be_shown_in_ascii(self):
        text = self.in_the_end(self.tell(), stream=test_lab_screen.Ascii)
        self.assertIn('# answers', text)

    def test_what_was_answered_and_when(self):
        text = self.in_the_end(self.tell())
        (row,) = [t for t in text.splitlines() if t.split()[:1] == ['cell1']
                  and '█' not in t]  # fmt: skip
        self.assertEqual(['cell1', *('40', '0', '12.3') * 3], row.split())
        (strip,) = [t for t in text.splitlines() if CROSS in t and '█' in t
                    and t.startswith('cell2')]  # fmt: skip
        marks = strip.split()[1]
        self.assertEqual('█', marks[0])
        self.assertEqual(CROSS, marks[len(marks) // 2])
        self.assertEqual('█', marks[-1])

    def test_a_machine_that_stood_still_is_named(self):
        story = self.tell()
        self.assertNotIn('stood still', self.in_the_end(story))
        story = dataclasses.replace(story, stalled=2.34)
        self.assertIn('stood still for 2.3 s', self.in_the_end(story))

    def test_how_long_failing_took(self):
        text = self.in_the_end(self.tell())
        self.assertIn('cell2 (hang): 29 requests failed, 19 of them', text)

    def test_machines_get_all_of_it(self):
        found = json.loads(json.dumps(report_break.document(self.tell())))
        cell = found['cells']['cell2']
        self.assertEqual('hang', cell['kind'])
        self.assertEqual(
            {
                'answered': 11,
                'failed': 29,
                'refused_at_once': 19,
                'p50_ms': 12.3,
                'p95_ms': 12.3,
                'longest_failure_ms': 12.3,
                'last_error': LONG,
            },
            cell['broken'],
        )
        self.assertEqual(
            {'complete': 11, 'partial': 29, 'failed': 0, 'longest_ms': 1000.0},
            found['lists']['broken'],
        )
        self.assertEqual(
            {'cell1': 40, 'cell2': 0, 'cell3': 0},
            found['boots']['calm']['booted'],
        )
        self.assertEqual({'calm', 'broken', 'healed'}, set(found['parts']))


class TestMeanwhile(BreakScreenTestCase):
    def test_nothing_is_wider_than_the_screen(self):
        for cells in (2, 30):
            for part in PART:
                self.setUp_again()
                story = self.tell(cells=cells, until=part)
                for columns in (60, 80, 120, 200):
                    text = self.meanwhile(story, columns)
                    self.assert_fits(text, columns)

    def setUp_again(self):
        self.time = 0.0
        self.ledger = ledger.Ledger(lambda: self.time)
        self.cells.clear()
        self.witness = witness.Witness(self.ledger, lambda: self.cells)

    def test_it_can_be_shown_in_ascii(self):
        self.meanwhile(
            self.tell(until=PART.BROKEN), stream=test_lab_screen.Ascii
        )

    def test_a_broken_cell_is_marked_and_its_breaker_shown(self):
        text = self.meanwhile(self.tell(until=PART.BROKEN))
        for words in (
            'cell2 hang', 'OPEN 1.5 s', 'it is silent', 'All cells: 3 of 5',
            'without cell3: an error', 'breaks: an error',
        ):  # fmt: skip
            self.assertIn(words, text)

    def test_a_healed_one_is_not(self):
        text = self.meanwhile(self.tell())
        self.assertNotIn('hang ', text)
        self.assertNotIn('OPEN', text)

    def test_before_anything_was_asked(self):
        self.ledger.begin(PART.CALM)
        story = breakroom.Story({}, ['cell1'], self.ledger, self.witness, 9.0)
        self.assertIn('not asked yet', self.meanwhile(story))
