"""What ``deleted`` means in tables that others made."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import testtools

from cellplug.db.cell import legacy_quotas_rows as rows


class TestIsLive(testtools.TestCase):
    def is_live(self, deleted: Any) -> bool:
        return rows.is_live(deleted, 7)

    def test_null_zero_and_false_of_any_type_live(self) -> None:
        for deleted in (
            None,
            0,
            0.0,
            -0.0,
            False,
            decimal.Decimal('0.00'),
            b'\x00',
            b'\x00\x00',
            b'',
            b'0',
            '',
            ' ',
            '0',
            ' 0',
            '0.0',
            'False',
            'FALSE',
            'f',
        ):
            self.assertTrue(self.is_live(deleted), repr(deleted))

    def test_other_numbers_true_uuids_and_the_id_are_deleted(self) -> None:
        for deleted in (
            1,
            7,
            -1,
            0.5,
            True,
            decimal.Decimal('0.01'),
            b'\x01',
            b'\x00\x01',
            b'1',
            '1',
            ' 12 ',
            'True',
            'T',
            '0b1c8a66-6b1d-4a43-8f0e-6d6d6b0b9f10',
        ):
            self.assertFalse(self.is_live(deleted), repr(deleted))
        self.assertFalse(rows.is_live('Vol-1', 'vol-1'))

    def test_what_nobody_knows_lives(self) -> None:
        for deleted in (
            'perhaps',
            'nan',
            float('inf'),
            datetime.date(2026, 1, 1),
        ):
            self.assertTrue(self.is_live(deleted), repr(deleted))
