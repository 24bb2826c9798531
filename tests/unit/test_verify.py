"""What another cell has is refused before anything is contacted."""

import testtools

from cellplug import exception
from cellplug import objects
from cellplug.cells import verify


def _cell(**values):
    return objects.CellMapping(
        **{
            'uuid': '11111111-1111-1111-1111-111111111111',
            'name': 'other',
            'database_connection': 'mysql+pymysql://u:p@h/x',
            'transport_url': 'rabbit://u:p@a,u:p@b/v',
            'slave_connection': None,
            'state': objects.CellState.ENABLED,
            'generation': 1,
            **values,
        }
    )


class TestCheckUnique(testtools.TestCase):
    def test_queue_with_a_host_in_common_is_another_cells(self):
        error = self.assertRaises(
            exception.CellMappingExists,
            verify.check_unique,
            [_cell()],
            {'transport_url': 'rabbit://x:y@B.:5672/v'},
        )
        self.assertEqual(
            ('transport_url', 'other'), (error.attribute, error.other)
        )

    def test_unreadable_urls_of_another_cell_are_nobodys(self):
        other = _cell(database_connection='x', transport_url='rabbit://h:x/')
        verify.check_unique(
            [other],
            {
                'database_connection': 'mysql+pymysql://u:p@h/x',
                'transport_url': 'rabbit://u:p@h/',
            },
        )
