"""What a run of the lab may be asked for."""

from __future__ import annotations

import testtools

from cellplug.lab import errors
from cellplug.lab import settings

DATABASE = 'mysql+pymysql://u:hidden@h/lab_{cell}'
TRANSPORT = 'rabbit://u:hidden@h/{cell}'


class TestSettings(testtools.TestCase):
    def refused(self, **values):
        error = self.assertRaises(
            errors.LabUsageError, settings.Settings(**values).check
        )
        self.assertNotIn('hidden', str(error))
        self.assertNotIn('\n', str(error))
        return str(error)

    def test_the_defaults_are_fine(self):
        settings.Settings().check()

    def test_bounds_belong_to_the_range(self):
        for cells in (1, settings.MAX_CELLS):
            settings.Settings(cells=cells).check()
        for instances in (1, settings.MAX_INSTANCES):
            settings.Settings(instances=instances).check()
        for values in (
            {'cells': 0},
            {'cells': settings.MAX_CELLS + 1},
            {'instances': 0},
            {'instances': settings.MAX_INSTANCES + 1},
        ):
            self.assertIn('is not between', self.refused(**values))

    def test_a_seed_is_for_crashes(self):
        settings.Settings(crash=True, seed=7).check()
        settings.Settings(crash=True).check()
        self.assertIn('--seed', self.refused(seed=7))

    def test_good_templates(self):
        for database in (
            DATABASE,
            'postgresql+psycopg://u:p@h/{cell}',
            'mysql+pymysql://u:p%7Bx%7D@{cell}.example.org/lab',
            'sqlite:////srv/{cell}.sqlite',
        ):
            settings.Settings(
                database_template=database, transport_template=TRANSPORT
            ).check()

    def test_a_template_is_filled_and_never_formatted(self):
        self.assertEqual(
            'rabbit://u:{0}%s$x@h/cell1/cell1',
            settings.fill('rabbit://u:{0}%s$x@h/{cell}/{cell}', 'cell1'),
        )

    def test_the_only_field_is_the_cell(self):
        for transport in (
            'rabbit://u:hidden@h/{cell}{0}',
            'rabbit://u:hidden@h/{cell}{cell.name}',
            'rabbit://u:{hidden}@h/{cell}',
            'rabbit://u:hidden@h/{cell}{}',
        ):
            self.assertIn(
                'the only field',
                self.refused(
                    database_template=DATABASE, transport_template=transport
                ),
            )

    def test_cells_that_would_share_something_are_refused(self):
        self.assertIn(
            'another database',
            self.refused(
                database_template='mysql+pymysql://{cell}:hidden@h/lab',
                transport_template=TRANSPORT,
            ),
        )
        self.assertIn(
            'another vhost',
            self.refused(
                database_template=DATABASE,
                transport_template='rabbit://{cell}:hidden@h/lab',
            ),
        )

    def test_a_repr_shows_no_template(self):
        shown = repr(
            settings.Settings(
                database_template=DATABASE, transport_template=TRANSPORT
            )
        )
        self.assertNotIn('hidden', shown)
