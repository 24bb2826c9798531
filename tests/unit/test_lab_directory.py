"""The lab's directory: whose it is, and what stands in it."""

from __future__ import annotations

import pathlib

import fixtures
import testtools

from cellplug.lab import deployment
from cellplug.lab import directory
from cellplug.lab import errors


class TestDirectory(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.place = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def test_a_temporary_one_is_removed(self):
        with directory.opened(None) as made:
            self.assertFalse(made.kept)
            pathlib.Path(made.file('something')).touch()
        self.assertFalse(pathlib.Path(made.path).exists())

    def test_what_was_noted_can_be_read_again(self):
        with directory.opened(str(self.place)) as made:
            made.write(3, ['b', 'a'], ended=True)
        with directory.existing(str(self.place)) as found:
            self.assertEqual(
                {'cells': 3, 'deleted': ['a', 'b'], 'ended': True},
                found.read(),
            )

    def test_only_one_lab_at_a_time(self):
        with directory.opened(str(self.place)):
            with testtools.ExpectedException(errors.LabError, '.*in use'):
                with directory.opened(str(self.place)):
                    self.fail('two at a time')
        with directory.opened(str(self.place)):
            pass

    def test_errors_of_the_block_stay_what_they_are(self):
        for error in (BlockingIOError('ours'), PermissionError('ours')):
            for path in (None, str(self.place)):
                with testtools.ExpectedException(type(error), 'ours'):
                    with directory.opened(path):
                        raise error

    def test_a_marker_of_somebody_else_is_refused(self):
        for text in ('nonsense', '[]', '{}', '{"format": 99, "cells": 1}'):
            (self.place / 'lab.json').write_text(text)
            with directory.opened(str(self.place)) as found:
                with testtools.ExpectedException(
                    errors.LabError, '.*lab.json cannot be used.*'
                ):
                    found.read()

    def test_names_that_no_url_can_hold_are_refused(self):
        for name in ('what?', 'line\nbreak'):
            with testtools.ExpectedException(errors.LabError, '.*URL'):
                with directory.opened(str(self.place / name)):
                    self.fail(name)

    def test_values_with_dollars_come_out_as_they_went_in(self):
        url = 'mysql+pymysql://u:p$a$$b%(c)s@h/x'
        with directory.opened(str(self.place)) as made:
            path = made.write_conf('x.conf', {'database': {'connection': url}})
        self.assertEqual(url, deployment.read_conf(path).database.connection)
        self.assertEqual(0o600, pathlib.Path(path).stat().st_mode & 0o777)
