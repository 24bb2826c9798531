"""What people see of long work."""

from __future__ import annotations

import io

import testtools

from cellplug.cmd import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class ProgressBarTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.now = 100.0
        self.stream: io.StringIO = Terminal()

    def bar(self, total: int | None = 200_000) -> progress_bar.Bar:
        return progress_bar.Bar(
            self.stream, 'cell1', total, clock=lambda: self.now
        )

    def shown(self, bar: progress_bar.Bar, done: int) -> str:
        self.stream.truncate(0)
        self.stream.seek(0)
        bar.show(done)
        return self.stream.getvalue()

    def test_it_says_how_far_how_fast_and_how_long(self) -> None:
        bar = self.bar()
        self.now += 4
        self.assertEqual(
            '\r\x1b[Kcell1: [###         ]  25%  50,000 of 200,000  12,500/s  '
            '12 s left',
            self.shown(bar, 50_000),
        )
        self.assertEqual(12_500, bar.rate(50_000))

    def test_long_work_is_told_in_minutes_and_hours(self) -> None:
        for total, left in ((11_000, '16 min 40 s'), (91_000, '2 h 30 min')):
            self.now = 100.0
            bar = self.bar(total)
            self.now += 100
            self.assertTrue(
                self.shown(bar, 1000).endswith(f'  10/s  {left} left')
            )

    def test_without_a_total_it_says_what_it_knows(self) -> None:
        for total in (None, 0):
            self.now = 100.0
            bar = self.bar(total)
            self.now += 2
            self.assertEqual(
                '\r\x1b[Kcell1: 1,000  500/s', self.shown(bar, 1000)
            )

    def test_more_than_was_estimated_is_all_of_it(self) -> None:
        bar = self.bar(100)
        self.now += 1
        text = self.shown(bar, 150)
        self.assertIn('[############] 100%', text)
        self.assertIn('0 s left', text)

    def test_it_is_drawn_ten_times_in_a_second_at_most(self) -> None:
        bar = self.bar()
        for step in range(1, 101):
            self.now += 0.01
            bar.show(step)
        self.assertLessEqual(self.stream.getvalue().count('\r'), 11)

    def test_no_line_is_longer_than_a_narrow_terminal(self) -> None:
        bar = progress_bar.Bar(
            self.stream, 'c' * 255, 10**9, clock=lambda: self.now
        )
        self.now += 10**6
        self.assertLess(len(self.shown(bar, 10**7)), 80 + len('\r\x1b[K'))

    def test_clearing_leaves_nothing_and_what_is_not_drawn_alone(
        self,
    ) -> None:
        bar = self.bar()
        bar.clear()
        self.assertEqual('', self.stream.getvalue())
        bar.show(1)
        bar.clear()
        bar.clear()
        self.assertEqual(2, self.stream.getvalue().count('\x1b[K'))

    def test_a_file_gets_nothing(self) -> None:
        self.stream = io.StringIO()
        bar = self.bar()
        bar.show(5)
        bar.clear()
        self.assertEqual('', self.stream.getvalue())
