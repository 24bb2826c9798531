"""Answers of many cells as Nova's code expects them."""

from __future__ import annotations

import testtools

from cellplug import objects
from cellplug.cells import compat
from cellplug.cells import results


def cell(number):
    return objects.CellMapping(
        uuid=f'{number:08}-0000-0000-0000-000000000000',
        name=f'cell{number}',
        database_connection='sqlite:///x',
        transport_url='none:///',
    )


class TestView(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.error = ZeroDivisionError()
        one, two, three = cell(1), cell(2), cell(3)
        self.result = results.ScatterResult(
            [
                results.Outcome(one, value=[]),
                results.raised(two, self.error, targeted=True),
                results.failed(three, 'no answer within 1 s'),
            ]
        )
        self.view = compat.view(self.result)

    def test_value_exception_and_silence_share_one_dict(self):
        self.assertEqual(
            [[], self.error, compat.did_not_respond_sentinel],
            list(self.view.values()),
        )

    def test_its_keys_are_the_cells_uuids_in_their_order(self):
        asked = [outcome.cell.uuid for outcome in self.result.outcomes]
        self.assertEqual(asked, list(self.view))

    def test_a_failed_cell_is_told_from_one_that_answered(self):
        self.assertEqual(
            [False, True, True],
            [compat.is_cell_failure_sentinel(v) for v in self.view.values()],
        )

    def test_an_exception_that_is_false_is_an_exception(self):
        class Empty(Exception):
            def __len__(self):
                return 0

        error = Empty()
        outcome = results.raised(cell(1), error, targeted=True)
        found = compat.view(results.ScatterResult([outcome]))
        self.assertEqual([error], list(found.values()))

    def test_the_sentinel_cannot_be_taken_for_an_empty_answer(self):
        sentinel = compat.did_not_respond_sentinel
        self.assertTrue(sentinel)
        self.assertRaises(TypeError, list, sentinel)
        self.assertIn('did not respond', repr(sentinel))
