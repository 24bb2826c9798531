"""The page about quotas, done as it says."""

from __future__ import annotations

import pathlib
import re
import shlex
import sys
import textwrap
from typing import Any

import cellplug
from tests.unit import helpers_quota_service
from tests.unit import test_cmd_base

PAGE = pathlib.Path(__file__).parents[2] / 'doc' / 'source' / 'quotas.rst'
PRELUDE = f"""\
import sqlalchemy as sa
from oslo_config import cfg
from {helpers_quota_service.__name__} import INSTANCES as instances

OPTS = [cfg.IntOpt('quota_cores', default=20)]
"""


def blocks(directive: str) -> list[str]:
    """The examples behind this line, without their indentation."""
    found = re.findall(
        rf'^.*{re.escape(directive)}\n\n((?:[ ]{{3,}}\S.*\n|\n)+)',
        PAGE.read_text(),
        re.MULTILINE,
    )
    return [textwrap.dedent(one).strip() + '\n' for one in found]


def commands() -> list[tuple[str, str]]:
    """What the page types, and what it shows of the answer."""
    text = '\n'.join(b for b in blocks('::') if b.startswith('$ '))
    parts = re.split(r'^\$ cellplug-manage ', text, flags=re.MULTILINE)
    pairs = (part.partition('\n') for part in parts[1:])
    return [(command, shown) for command, _, shown in pairs]


def words(text: str) -> str:
    """The text, wherever its lines are broken, without what differs."""
    text = re.sub(r'\b[0-9a-f-]{9,14} ', 'HANDLE ', text)
    text = re.sub(r'\b\d{4}-\d\d-\d\d |\b\d\d:\d\d:\d\dZ', 'MOMENT ', text)
    return ' '.join(text.split())


class PageTest(test_cmd_base.CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        examples = blocks('.. code-block:: python')
        registration, count, self.block, self.late = examples
        (self.points,) = blocks('.. code-block:: toml')
        self.code = PRELUDE + registration + '\n' + count
        folder = self.run_command.folder / 'installed'
        package = folder / 'my_service'
        package.mkdir(parents=True)
        (package / '__init__.py').touch()
        (package / 'quotas.py').write_text(self.code)
        sys.path.insert(0, str(folder))
        self.addCleanup(sys.path.remove, str(folder))
        for name in ('my_service', 'my_service.quotas'):
            self.addCleanup(sys.modules.pop, name, None)
        service = helpers_quota_service.Service(self.run_command)
        name, target = re.findall(r'(\w+) = "(.*)"', self.points)[0]
        service.POINTS = {name: target}
        self.service = self.useFixture(service)
        for cell in ('cell1', 'cell2'):
            self.service.add_cell(cell)

    def happen(self, command: str) -> None:
        """What the page takes for granted before this command."""
        if command == 'quota show --project demo':
            self.service.use('demo', 'alice', instances=12, cores=48)
            self.held = self.service.reserve(
                'demo', 'bob', instances=2, cores=8
            )
        elif command == 'quota refresh --project demo --dry-run':
            with self.service.router() as router:
                router.quotas.commit(cellplug.RequestContext(), self.held)
            row = {'project_id': 'demo', 'user_id': 'bob', 'cores': 4}
            self.service.create('cell1', *[row] * 7)
            self.service.create('cell2', *[row] * 8)

    def test_each_command_prints_what_the_page_shows(self) -> None:
        typed = commands()
        for command, shown in typed:
            self.happen(command)
            result = self.run_command(*shlex.split(command))
            self.assertEqual(int('error:' in shown), result.code, result)
            if shown.strip():
                printed = result.everything
                self.assertEqual(words(shown), words(printed), command)
        self.assertEqual(12, len(typed))

    def test_the_block_says_how_much_could_be_had(self) -> None:
        self.run_command.json(
            'quota', 'set', '--project', 'demo', 'instances=1', 'cores=7'
        )
        made: list[Any] = []
        values = {'cellplug': cellplug, 'create_the_instance': made.append}
        with self.service.router() as router:
            context = cellplug.RequestContext(project_id='demo', user_id='u')
            values |= {'router': router, 'context': context}
            exec(self.block, values)
            self.assertNotIn('at_most', values)
            exec(self.block, values)
        self.assertEqual(0, values['at_most'])
        self.assertEqual([context], made)

    def test_a_commit_that_came_too_late_has_the_usage_counted(self) -> None:
        handle = self.service.reserve('demo', 'u', 60, ago=120, instances=1)
        self.run_command.json('quota', 'expire')
        self.run_command.json('quota', 'refresh', '--project', 'demo')
        values = {
            'cellplug': cellplug, 'handle': handle, 'project': 'demo',
            'user': 'u', 'context': cellplug.RequestContext(),
        }  # fmt: skip
        with self.service.router() as router:
            self.assertRaises(
                cellplug.exception.ReservationNotFound,
                exec, self.late, {**values, 'router': router},
            )  # fmt: skip
        (row,) = [
            row
            for row in self.run_command.json(
                'quota', 'usage', '--project', 'demo'
            )
            if row['resource'] == 'instances'
        ]
        self.assertTrue(row['refresh_due'])
