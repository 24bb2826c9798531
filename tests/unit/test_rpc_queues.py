"""The handles on queues that contexts carry."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import testtools

from cellplug import exception
from cellplug import objects
from cellplug.rpc import queues

CELL = objects.CellMapping(
    uuid=str(uuid.uuid4()),
    name='cell1',
    database_connection='sqlite:////c.sqlite',
    transport_url='rabbit://u:secret@old/v',
    generation=1,
)


class Cache:
    """A cache that notes what is asked of it."""

    def __init__(self) -> None:
        self.used: list[str] = []
        self.retired: list[str] = []

    @contextlib.contextmanager
    def use(self, url: str) -> Iterator[str]:
        self.used.append(url)
        yield url

    def retire(self, url: str) -> None:
        self.retired.append(url)


class CellQueueTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cache = Cache()
        cache: Any = self.cache
        self.queue = queues.CellQueue(CELL, cache)

    def edited(self, url: str) -> objects.CellMapping:
        values = {
            name: getattr(CELL, name)
            for name in ('uuid', 'name', 'database_connection', 'generation')
        }
        return objects.CellMapping(transport_url=url, **values)

    def test_it_shows_the_cell_and_no_url(self) -> None:
        for text in (repr(self.queue), self.queue.where):
            self.assertIn(CELL.uuid, text)
            self.assertIn('cell1', text)
            self.assertNotIn('secret', text)

    def test_an_edit_retires_the_former_url(self) -> None:
        self.queue.update(self.edited('rabbit://u:p@new/v'))()
        self.assertEqual([CELL.transport_url], self.cache.retired)
        with self.queue.use() as url:
            self.assertEqual('rabbit://u:p@new/v', url)

    def test_an_edit_of_something_else_retires_nothing(self) -> None:
        self.queue.update(CELL)()
        self.assertEqual([], self.cache.retired)

    def test_whoever_used_the_former_url_meanwhile_retires_it_too(
        self,
    ) -> None:
        """It may have opened anew what the edit had closed already."""
        with self.queue.use():
            self.queue.update(self.edited('rabbit://u:p@new/v'))()
        self.assertEqual([CELL.transport_url] * 2, self.cache.retired)

    def test_after_a_wrong_url_a_right_one_is_used(self) -> None:
        self.queue.update(self.edited('nonsense'))()
        error = self.assertRaises(exception.InvalidURL, self.queue.url)
        self.assertIn(CELL.uuid, str(error))
        self.queue.update(self.edited('rabbit://u:p@new/v'))()
        self.assertEqual('rabbit://u:p@new/v', self.queue.url())

    def test_a_deleted_cells_queue_is_not_opened_again(self) -> None:
        self.queue.retire()
        self.assertEqual([CELL.transport_url], self.cache.retired)
        self.assertRaises(
            exception.CellMappingNotFound, self.queue.use().__enter__
        )
        self.assertEqual([], self.cache.used)

    def test_a_cell_without_a_queue_says_so(self) -> None:
        self.queue.update(self.edited('none:///'))()
        error = self.assertRaises(
            exception.CellHasNoQueue, self.queue.use().__enter__
        )
        self.assertEqual('cell1', error.cell_name)

    def test_cells_are_kept_apart_where_the_transport_does_not(self) -> None:
        self.assertEqual({}, self.queue.isolation('t'))
        for scheme in ('fake://c/', 'kombu+memory:///c', 'FAKE://c/'):
            self.queue.update(self.edited(scheme))()
            self.assertEqual(
                {'exchange': f'cell-{CELL.uuid}', 'topic': f't.{CELL.uuid}'},
                self.queue.isolation('t'),
            )


class OwnQueueTest(testtools.TestCase):
    def test_its_url_is_looked_up_once(self) -> None:
        asked: list[str] = []

        def find() -> str:
            asked.append('asked')
            return 'rabbit://h/'

        cache: Any = Cache()
        own = queues.OwnQueue(cache, find)
        for _ in range(3):
            with own.use() as url:
                self.assertEqual('rabbit://h/', url)
        self.assertEqual(1, len(asked))
        self.assertEqual({}, own.isolation('t'))
