"""The suite of resolvers: a source that is down."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from cellplug import exception
from cellplug.objects import identifiers
from cellplug.testing.conformance import base
from cellplug.testing.conformance import doing
from cellplug.testing.conformance import resolver_base

BACK_IN = 30.0
"""Seconds within which a driver finds out that its source is back."""

Call = Callable[[], Any]


class TroubleChecks(resolver_base.ResolverCase):
    """Right answers or honest errors."""

    # -- failure -----------------------------------------------------------

    def _calls(self) -> list[tuple[str, Call]]:
        """Look-ups of what the driver was never asked for."""
        uuid = identifiers.new_uuid()
        calls: list[tuple[str, Call]] = []
        if self.source.breaks_cells:
            calls += [
                ('get_cell by uuid', lambda: self.subject.get_cell(uuid)),
                ('get_cell by name', lambda: self.subject.get_cell('suite-x')),
            ]
        if self.can(resolver_base.Capability.INSTANCES):
            calls += [
                ('get_instance', lambda: self.find(uuid)),
                ('get_instances', lambda: self.find_many([uuid])),
            ]
        return calls

    def _honest(self, what: str, call: Call) -> Exception:
        """Make the call on a broken source; what it raised."""
        try:
            answer = doing.bounded(call)
        except resolver_base.NOT_FOUND as exc:
            self.fail(f'{what}: "unknown" is presented as "none": {exc}')
        except exception.CellplugError as exc:
            return exc
        except doing.Failed as exc:
            self.fail(f'{what}: {exc}')
        except Exception as exc:
            raise self.failureException(
                f'{what} raised {base.describe(exc)}, which is no '
                'CellplugError'
            ) from exc
        self.fail(f'{what}: answered {answer!r} without its source')
        raise AssertionError

    @base.area('failure')
    def test_without_its_source_it_says_so(self) -> None:
        self.exercise(self.subject)
        with self.broken():
            for what, call in self._calls():
                self._honest(what, call)

    @base.area('failure')
    def test_what_it_knows_is_right_without_its_source_too(self) -> None:
        cell = self.put_cell()
        self.subject.get_cell(cell.uuid)
        self.subject.list_cells()
        with self.broken():
            for call, right in (
                (lambda: self.subject.get_cell(cell.uuid), cell),
                (self.subject.list_cells, [cell]),
            ):
                try:
                    self.assertEqual(right, doing.bounded(call))
                except resolver_base.NOT_FOUND as exc:
                    self.fail(f'"unknown" is presented as "none": {exc}')
                except exception.CellplugError:
                    pass

    @base.area('failure')
    def test_a_source_that_is_back_is_used_again(self) -> None:
        self.exercise(self.subject)
        with self.broken():
            for what, call in self._calls():
                self._honest(what, call)
        cell = self.put_cell()
        found = doing.eventually(
            lambda: self.subject.get_cell(cell.uuid), BACK_IN
        )
        self.assertEqual(cell, found)
        self.exercise(self.subject)

    @base.area('failure')
    def test_forgetting_raises_nothing_without_the_source(self) -> None:
        self.exercise(self.subject)
        uuid = identifiers.new_uuid()
        with self.broken():
            doing.bounded(self.subject.forget_cell, uuid)
            doing.bounded(self.subject.forget_instance, uuid)
            doing.bounded(self.subject.forget_instance, uuid, 17)

    @base.area('failure')
    def test_it_can_be_built_without_its_source(self) -> None:
        self.exercise(self.subject)
        with self.broken():
            host = self.make_host()
            driver = doing.bounded(host.build, self.interface, self.driver)
        doing.eventually(lambda: self.exercise(driver), BACK_IN)

    @base.area('failure')
    def test_it_can_be_closed_without_its_source(self) -> None:
        self.exercise(self.subject)
        with self.broken():
            doing.bounded(self.subject.close)

    # -- secrets -----------------------------------------------------------

    @base.area('secrets')
    def test_errors_show_no_secret(self) -> None:
        self.exercise(self.subject)
        errors = [
            self.refused(
                exception.CellMappingNotFound, self.subject.get_cell, 'nobody'
            )
        ]
        with self.broken():
            errors += [self._honest(*pair) for pair in self._calls()]
        for error in errors:
            text = ''.join(traceback.format_exception(error))
            self.hide_check('an error', text)
        self.hide_check('the log', self.log.text())
