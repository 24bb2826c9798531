"""Uuids and cell names."""

import uuid

import testtools

from cellplug import exception
from cellplug.objects import identifiers

CANONICAL = 'a3f1f3b4-6a0f-4f3e-9f0a-7a4b1f6f2a11'


class TestUUIDs(testtools.TestCase):
    def test_every_spelling_becomes_canonical(self):
        for given in (
            CANONICAL,
            CANONICAL.upper(),
            CANONICAL.replace('-', ''),
            '{' + CANONICAL + '}',
            uuid.UUID(CANONICAL),
        ):
            self.assertEqual(CANONICAL, identifiers.canonical_uuid('x', given))

    def test_what_is_no_uuid_is_refused_by_its_arguments_name(self):
        for wrong in (
            '', 'x', CANONICAL[:-1], CANONICAL + '0', f' {CANONICAL}',
            f'{CANONICAL}\n', f'{CANONICAL.upper()}\n', 'g' * 32, None, 7,
            CANONICAL.encode(), 'urn:uuid:' + CANONICAL, '\u0661' * 32,
        ):  # fmt: skip
            error = self.assertRaises(
                exception.InvalidUUID,
                identifiers.canonical_uuid,
                'instance_uuid',
                wrong,
            )
            self.assertEqual('instance_uuid', error.name)
            self.assertIn('instance_uuid', str(error))

    def test_new_uuids_are_canonical_and_differ(self):
        made = {identifiers.new_uuid() for _ in range(100)}
        self.assertEqual(100, len(made))
        for one in made:
            self.assertEqual(one, identifiers.canonical_uuid('x', one))


class TestNames(testtools.TestCase):
    def test_names_that_a_cell_may_have(self):
        for name in ('c', 'cell 1', 'Zürich', 'x' * 255, '7', 'a/b:c'):
            self.assertEqual(name, identifiers.check_cell_name(name))

    def test_names_that_no_cell_may_have(self):
        for name in (
            '', None, 7, ' x', 'x ', '\tx', 'x\n', 'a\x00b', 'x' * 256,
            CANONICAL, CANONICAL.upper(), CANONICAL.replace('-', ''),
            '{' + CANONICAL + '}', 'a\u200bb',
        ):  # fmt: skip
            error = self.assertRaises(
                exception.InvalidInput, identifiers.check_cell_name, name
            )
            self.assertEqual('name', error.name)
