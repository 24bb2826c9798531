"""The page on sorted lists: its code runs as it is printed."""

from __future__ import annotations

import contextlib
import io
import pathlib
import re
import textwrap

import sqlalchemy as sa

import cellplug
from tests.functional import helpers_deployment as helpers
from tests.functional import helpers_listing

PAGE = pathlib.Path(__file__).parents[2] / 'doc/source/listing.rst'


def blocks():
    """What the page shows as Python, in order."""
    found = re.findall(
        r'^\.\. code-block:: python\n\n((?:(?:   .*)?\n)+)',
        PAGE.read_text(),
        re.MULTILINE,
    )
    return [textwrap.dedent(block) for block in found]


class TestThePage(helpers.DeploymentTestCase):
    def setUp(self):
        super().setUp()
        self.deploy(2)
        metadata = sa.MetaData()
        servers = sa.Table(
            'servers',
            metadata,
            sa.Column('uuid', sa.String(36), primary_key=True),
            sa.Column('name', sa.String(64)),
            sa.Column('project_id', sa.String(64)),
            sa.Column('created_at', sa.DateTime),
        )
        for cell, names in zip(
            self.deployment.cells, (['a', 'd', 'e'], ['b', 'c']), strict=True
        ):
            rows = [
                {
                    'uuid': helpers_listing.uuid_of(ord(name)),
                    'name': name,
                    'project_id': 'p' if name == 'e' else 'demo',
                }
                for name in names
            ]
            with helpers.past_cellplug(cell.database_connection) as past:
                metadata.create_all(past)
                past.execute(sa.insert(servers), rows)
            self.router.instances.map(
                self.context(), rows[0]['uuid'], cell, project_id='demo'
            )
        self.names = {
            'cellplug': cellplug,
            'context': self.context(),
            'db': self.database,
            'router': self.router,
            'sa': sa,
            'servers': servers,
        }

    def run_page(self):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            for block in blocks():
                exec(block, self.names)
        return printed.getvalue().splitlines()

    def test_its_code_runs_as_it_is_printed(self):
        self.assertEqual(3, len(blocks()))
        printed = self.run_page()
        page = self.names['page']
        self.assertEqual(
            (['e', 'd', 'c', 'b', 'a'], None),
            ([row['name'] for row in page.rows], page.marker),
        )
        names = [
            [row['name'] for row in self.names[which].rows]
            for which in ('first', 'second')
        ]
        self.assertEqual([['a', 'b'], ['c', 'd']], names)
        self.assertEqual(
            ['a', 'b', 'c', 'd', 'e'], [line.split()[1] for line in printed]
        )

    def test_a_service_writes_five_lines(self):
        lines = [line for line in blocks()[0].splitlines() if line.strip()]
        self.assertLessEqual(len(lines), 5)
