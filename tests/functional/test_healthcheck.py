"""``cellplug_cells``: ready while the API database answers."""

from __future__ import annotations

import json
import pathlib
import shutil

import sqlalchemy as sa
import testtools
import webob
from oslo_config import cfg
from oslo_middleware import healthcheck
from oslo_middleware.healthcheck import opts as healthcheck_opts

import cellplug
from cellplug.testing import deployment

CONNECT = 1
SECRET = 'hunter2'


class HealthcheckTestCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.deployment = self.useFixture(
            deployment.DeploymentFixture(
                cells=3, options={'cells.breaker_threshold': 2}
            )
        )
        self.router = self.deployment.router

    def app(self, **conf):
        """The middleware as a service wires it, with its router."""
        return healthcheck.Healthcheck.app_factory(
            {},
            **{
                'backends': 'cellplug_cells',
                'cellplug_router': self.router,
                # oslo.middleware sets it on the global configuration.
                'detailed': 'False',
                **conf,
            },
        )

    def get(self, app):
        """Status and text of an answer to a load balancer."""
        request = webob.Request.blank('/', accept='application/json')
        response = request.get_response(app)
        self.assertNotIn('sqlite', response.text)
        return response.status_int, json.loads(response.text)

    def hide(self, url):
        """Move a file away, as if its disk were not mounted."""
        path = pathlib.Path(sa.make_url(url).database)
        away = path.with_suffix('.away')
        shutil.move(path, away)
        self.addCleanup(shutil.move, away, path)

    def break_cell(self, number):
        cell = self.deployment.cells[number]
        self.hide(cell.database_connection)
        context = self.deployment.context()
        for _ in range(2):
            with self.router.target_cell(context, cell) as cctxt:
                self.assertRaises(
                    cellplug.exception.CellUnavailable,
                    self.router.database.reader.using(cctxt).__enter__,
                )
        return cell


class TestReadiness(HealthcheckTestCase):
    def code_and_reasons(self, app):
        code, body = self.get(app)
        return code, body['reasons']

    def test_it_is_ready_while_all_is_well(self):
        self.assertEqual((200, ['OK']), self.code_and_reasons(self.app()))

    def test_cells_that_are_down_do_not_make_it_fall(self):
        for number in range(3):
            self.break_cell(number)
        self.assertEqual((200, ['OK']), self.code_and_reasons(self.app()))

    def test_an_api_database_that_is_down_does_and_it_comes_back(self):
        app = self.app()
        self.assertEqual(200, self.get(app)[0])
        path = pathlib.Path(
            sa.make_url(self.router.conf.api_database.connection).database
        )
        away = path.with_suffix('.away')
        path.rename(away)
        # SQLite makes an empty one where its folder can be written.
        path.mkdir()
        code, reasons = self.code_and_reasons(app)
        self.assertEqual(
            (503, ['the API database is unavailable']), (code, reasons)
        )
        path.rmdir()
        away.rename(path)
        self.assertEqual(200, self.get(app)[0])

    def test_fewer_cells_than_are_needed_do_if_one_says_so(self):
        app = self.app(cellplug_min_cells='2')
        self.break_cell(0)
        self.assertEqual(200, self.get(app)[0])
        self.break_cell(1)
        self.assertEqual(
            (503, ['1 of 3 cells answer, 2 are needed']),
            self.code_and_reasons(app),
        )

    def test_a_disabled_cell_is_none_that_answers(self):
        app = self.app(cellplug_min_cells='3')
        self.assertEqual(200, self.get(app)[0])
        self.router.cells.update('cell2', state='disabled')
        self.assertEqual(503, self.get(app)[0])
        self.router.cells.update('cell2', state='no_new')
        self.assertEqual(200, self.get(app)[0])

    def test_details_name_cells_and_only_where_they_are_asked_for(self):
        cell = self.break_cell(1)
        code, plain = self.get(self.app())
        self.assertNotIn(cell.name, json.dumps(plain))
        code, body = self.get(self.app(detailed='True'))
        self.assertEqual(200, code)
        self.assertEqual(
            'cell cell1: enabled; cell cell2: enabled, database open; '
            'cell cell3: enabled',
            body['reasons'][0]['details'],
        )


class TestWithoutRouter(HealthcheckTestCase):
    """As from a paste file: it opens a router of its own."""

    def app(self, **conf):
        found = cfg.ConfigOpts()
        cellplug.register_opts(found)
        found.register_opts(healthcheck_opts.HEALTHCHECK_OPTS, 'healthcheck')
        found([], default_config_files=[], default_config_dirs=[])
        found.set_override(
            'connection',
            self.router.conf.api_database.connection,
            'api_database',
        )
        found.set_override('backends', ['cellplug_cells'], 'healthcheck')
        for name, value in conf.items():
            found.set_override(name, value, 'healthcheck')
        return healthcheck.Healthcheck(None, found)

    def test_it_is_ready(self):
        self.assertEqual(200, self.get(self.app())[0])

    def test_it_asks_the_cells_where_they_count(self):
        app = self.app(cellplug_min_cells=3)
        self.assertEqual(200, self.get(app)[0])
        self.hide(self.deployment.cells[0].database_connection)
        code, body = self.get(app)
        self.assertEqual(
            (503, ['2 of 3 cells answer, 3 are needed']),
            (code, body['reasons']),
        )

    def test_what_hangs_is_asked_once_and_given_up(self):
        engine = sa.create_engine(self.router.conf.api_database.connection)
        self.addCleanup(engine.dispose)
        app = self.app(cellplug_timeout=0.2)
        self.assertEqual(200, self.get(app)[0])
        with engine.connect() as connection:
            connection.exec_driver_sql('BEGIN EXCLUSIVE')
            for _ in range(3):
                code, body = self.get(app)
                self.assertEqual(
                    (503, ['no answer within 0.2 s']),
                    (code, body['reasons']),
                )
            connection.rollback()
