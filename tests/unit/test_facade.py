"""The Database object while no router is open."""

import testtools

import cellplug
from cellplug import exception
from cellplug.db import finding


class TestUnbound(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.db = cellplug.Database()
        self.context = cellplug.RequestContext(overwrite=False)

    def test_decorating_needs_no_router(self):
        @self.db.reader
        def read(context):
            """Read."""

        self.assertEqual(('read', 'Read.'), (read.__name__, read.__doc__))
        error = self.assertRaises(
            exception.DatabaseNotBound, read, self.context
        )
        self.assertIn('CellRouter.from_conf', str(error))

    def test_every_access_says_that_there_is_no_router(self):
        for access in (
            self.db.reader,
            self.db.reader.single,
            self.db.reader.primary,
            self.db.reader.primary.single,
            self.db.writer,
            self.db.writer.independent,
            self.db.writer.savepoint,
            self.db.api.reader,
            self.db.api.writer,
        ):
            self.assertRaises(
                exception.DatabaseNotBound, access.using, self.context
            )

    def test_refinements_do_not_change_what_they_refine(self):
        reader = self.db.reader
        self.assertIsNot(reader, reader.single)
        self.assertIs(reader.single, reader.single)
        self.assertFalse(reader._mode.single)
        self.assertTrue(reader.primary.single._mode.single)
        self.assertTrue(reader.primary.single._mode.primary)

    def test_repr_says_whether_it_is_bound(self):
        self.assertIn('not bound', repr(self.db))


class TestContextFinder(testtools.TestCase):
    """Which argument is the context."""

    def _find(self, function, *args, **kwargs):
        return finding.context_finder(function)(args, kwargs)

    def test_parameter_named_context_wins(self):
        self.assertEqual(2, self._find(lambda a, context: 0, 1, 2))
        self.assertEqual(2, self._find(lambda a, context: 0, 1, context=2))
        self.assertEqual(2, self._find(lambda *, context: 0, context=2))
        self.assertEqual(
            2, self._find(lambda self, a, context: 0, 0, 1, context=2)
        )

    def test_else_the_first_after_self_or_cls(self):
        self.assertEqual(1, self._find(lambda c, b: 0, 1, 2))
        self.assertEqual(1, self._find(lambda c, b: 0, b=2, c=1))
        self.assertEqual(1, self._find(lambda self, c: 0, 0, 1))
        self.assertEqual(1, self._find(lambda cls, c: 0, 0, c=1))
        self.assertEqual(1, self._find(lambda *args: 0, 1, 2))

    def test_function_without_a_context_is_refused(self):
        for wrong in (lambda: 0, lambda self: 0):
            self.assertRaises(TypeError, finding.context_finder, wrong)

    def test_call_without_a_context_names_the_parameter(self):
        error = self.assertRaises(TypeError, self._find, lambda ctx: 0)
        self.assertIn("'ctx'", str(error))
