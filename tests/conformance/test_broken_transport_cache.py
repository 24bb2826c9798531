"""Each defect of a transport cache is found by its check."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from cellplug import exception
from cellplug.testing import conformance
from tests.conformance import helpers
from tests.conformance import memory_transport_cache

Correct = memory_transport_cache.MemoryCache
Entry = memory_transport_cache.Entry


class TestBroken(helpers.BrokenTestCase):
    suite = conformance.TransportCacheSuite
    correct = Correct

    def test_retiring_closes_what_is_in_use(self) -> None:
        class Broken(Correct):
            def drop(self, shelf: Any, url: str) -> None:
                entry = shelf.entries.pop(url, None)
                if entry is not None:
                    entry.transport.close()

        self.assert_caught(Broken, 'a_retired_one_closes_with_its_last_user')
        self.assert_caught(Broken, 'close_lets_those_in_use_finish')
        self.assert_caught(Broken, 'none_is_closed_in_use_by_other_threads')

    def test_retiring_closes_nothing(self) -> None:
        class Broken(Correct):
            def retire(self, url: str) -> None:
                self.shelf().entries.pop(url, None)

        self.assert_caught(Broken, 'a_retired_one_closes_at_once_if_unused')

    def test_close_closes_twice(self) -> None:
        class Broken(Correct):
            def close(self) -> None:
                for entry in self.shelf().entries.values():
                    entry.transport.close()

        self.assert_caught(Broken, 'close_closes_each_once')

    def test_close_closes_nothing(self) -> None:
        class Broken(Correct):
            def close(self) -> None:
                self.closed = True

        self.assert_caught(Broken, 'close_closes_each_once')

    def test_a_broken_one_is_lent_on(self) -> None:
        class Broken(Correct):
            def enter(self, shelf: Any, url: str) -> Entry:
                with shelf.lock:
                    entry = shelf.entries.get(url)
                    if entry is None:
                        return super().enter(shelf, url)
                    entry.users += 1
                    return entry

            def leave(self, shelf: Any, url: str, entry: Entry) -> None:
                entry.users -= 1

        self.assert_caught(Broken, 'a_broken_one_is_replaced')
        self.assert_caught(
            Broken, 'a_broken_one_in_use_is_replaced_for_the_next'
        )

    def test_two_threads_open_two(self) -> None:
        class Broken(Correct):
            def enter(self, shelf: Any, url: str) -> Entry:
                if url not in shelf.entries:
                    entry = Entry(self.host.open_transport(url))
                    time.sleep(0.01)
                    shelf.entries[url] = entry
                return super().enter(shelf, url)

        self.assert_caught(Broken, 'threads_that_ask_at_once_get_the_same')

    def test_a_child_has_its_parents(self) -> None:
        class Broken(Correct):
            def shelf(self) -> Any:
                return self.known

        self.assert_caught(Broken, 'a_child_opens_its_own')
        self.assert_caught(Broken, 'a_child_leaves_what_its_parent_uses')

    def test_what_the_block_raises_is_swallowed(self) -> None:
        class Broken(Correct):
            @contextlib.contextmanager
            def use(self, url: str) -> Iterator[Any]:
                with super().use(url) as transport:
                    with contextlib.suppress(Exception):
                        yield transport

        self.assert_caught(Broken, 'what_the_block_raises_passes_through')

    def test_a_block_that_raises_stays_a_user(self) -> None:
        class Broken(Correct):
            @contextlib.contextmanager
            def use(self, url: str) -> Iterator[Any]:
                shelf = self.shelf()
                entry = self.enter(shelf, url)
                yield entry.transport
                self.leave(shelf, url, entry)

        self.assert_caught(Broken, 'a_block_that_raised_is_a_user_no_more')

    def test_a_bad_url_becomes_another_error(self) -> None:
        class Broken(Correct):
            def enter(self, shelf: Any, url: str) -> Entry:
                try:
                    return super().enter(shelf, url)
                except exception.InvalidURL as exc:
                    raise RuntimeError('cannot open') from exc

        self.assert_caught(Broken, 'a_bad_url_is_refused')

    def test_a_failed_opening_stays(self) -> None:
        class Broken(Correct):
            def enter(self, shelf: Any, url: str) -> Entry:
                entry = shelf.entries.setdefault(url, Entry(None))
                if entry.transport is None and not entry.users:
                    entry.users = 1
                    entry.transport = self.host.open_transport(url)
                return entry

        self.assert_caught(
            Broken, 'one_that_cannot_be_opened_leaves_nothing_behind'
        )

    def test_keeps_is_declared_and_not_done(self) -> None:
        class Broken(Correct):
            def leave(self, shelf: Any, url: str, entry: Entry) -> None:
                super().leave(shelf, url, entry)
                self.retire(url)

        self.assert_caught(Broken, 'keeps_declared_lends_the_same_again')

    def test_urls_are_compared_without_case(self) -> None:
        class Broken(Correct):
            def enter(self, shelf: Any, url: str) -> Entry:
                return super().enter(shelf, url.lower())

        self.assert_caught(Broken, 'urls_match_exactly')

    def test_a_repr_with_urls(self) -> None:
        class Broken(Correct):
            def __repr__(self) -> str:
                return f'Broken({list(self.known.entries)})'

        self.assert_caught(Broken, 'repr_shows_no_secret')
