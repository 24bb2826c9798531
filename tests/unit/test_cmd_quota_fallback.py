"""``quota set`` while a cell that may hold old limits is down."""

from __future__ import annotations

import pathlib

from tests.functional import helpers_legacy
from tests.unit import test_cmd_quota


class FallbackTest(test_cmd_quota.QuotaTestCase):
    def setUp(self) -> None:
        super().setUp()
        url = self.run_command.fresh_database()
        self.run_command.add_cell('old', database_connection=url)
        legacy = helpers_legacy.Legacy(url)
        legacy.add('quotas', 'x', 'cores', 1)
        legacy.add('project_user_quotas', ('x', 'y'), 'cores', 1)
        legacy.add('quota_classes', 'x', 'cores', 1)
        self.quota('set', '--project', 'demo', 'instances=4')
        self.run_command.write(
            {
                'api_database': [f'connection = {self.run_command.api_url}'],
                'quota_database': ['fallback_cells = old'],
            }
        )
        pathlib.Path(url.removeprefix('sqlite:///')).unlink()

    def test_force_sets_what_the_api_database_answers_for(self) -> None:
        argv = ('set', '--project', 'demo', 'instances=7', '--force')
        for rows in (self.assertUnwritten(*argv), self.quota(*argv)):
            (row,) = rows
            self.assertEqual((4, 7), (row['old'], row['new']))

    def test_what_the_cell_may_know_better_is_refused(self) -> None:
        for argv in (('instances=7',), ('cores=7', '--force')):
            self.assertRefusedUnwritten(
                'set', '--project', 'demo', *argv, words=("'old'",)
            )
