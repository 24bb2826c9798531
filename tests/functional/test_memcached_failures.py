"""The ``memcached`` resolver while its memcached is not well.

Each test has servers of its own. That nobody waits for a silent server is
shown by a timeout so long that the test would end by its deadline.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from typing import Any

from cellplug.testing import fixtures as cellplug_fixtures
from cellplug.testing import services
from tests.functional import helpers_memcached as helpers
from tests.functional import helpers_silent

FOREVER = 3600.0


class OwnTestCase(helpers.MemcachedTestCase):
    """On servers of its own."""

    count = 1

    def serve(self) -> list[str]:
        self.services = [
            self.useFixture(
                cellplug_fixtures.ServiceFixture(services.Memcached)
            ).service
            for _ in range(self.count)
        ]
        (self.service, *_) = self.services
        return [one.address for one in self.services]

    def setUp(self) -> None:
        super().setUp()
        self.mapping = self.source.map(self.cell1)
        self.instance = self.mapping.instance_uuid

    def warnings(self) -> int:
        """How many there were since the last time."""
        said = self.log.said(logging.WARNING)
        self.log.records.clear()
        for one in said:
            self.assertNotIn('\n', one)
            self.assertNotIn(helpers.KEY, one)
        return len(said)

    def check_it_goes_on(self, one: Any) -> None:
        """Every answer is right, and comes from the backend."""
        for _ in range(10):
            self.assertEqual(self.mapping, one.get_instance(self.instance))
            self.assertEqual(
                {self.instance: self.mapping},
                one.get_instances([self.instance]),
            )
            self.assertEqual(self.cell1, one.get_cell(self.cell1.uuid))
            one.forget_instance(self.instance)
            one.forget_cell(self.cell1.uuid)
        self.assertEqual(30, len(self.asked()))
        self.assertEqual(1, self.warnings())

    def wait_until_it_hits(self, one: Any) -> None:
        deadline = time.monotonic() + helpers.PATIENCE
        while True:
            self.assertEqual(self.mapping, one.get_instance(self.instance))
            if not self.asked():
                return
            self.assertLess(time.monotonic(), deadline, 'it never hits')
            time.sleep(0.02)


class OneServerTest(OwnTestCase):
    def test_a_server_that_never_was_costs_one_warning(self):
        port = helpers_silent.free_port()
        one = self.open(servers=[f'127.0.0.1:{port}'], retry_after=FOREVER)
        self.check_it_goes_on(one)

    def test_a_killed_one_is_taken_back_when_it_is_up_again(self):
        one = self.open(retry_after=0.05)
        one.get_instance(self.instance)
        self.asked()
        self.service.kill()
        self.check_it_goes_on(one)
        self.service.start()
        self.wait_until_it_hits(one)
        (back,) = self.log.said(logging.INFO)
        self.assertIn(self.service.address, back)
        self.assertEqual(0, self.warnings())

    def test_nobody_waits_for_a_frozen_one_twice(self):
        one = self.open(timeout=2.0, connect_timeout=2.0, retry_after=FOREVER)
        one.get_instance(self.instance)
        self.asked()
        self.service.freeze()
        self.addCleanup(self.service.thaw)
        began = time.monotonic()
        self.check_it_goes_on(one)  # 60 commands
        self.assertLess(time.monotonic() - began, helpers.PATIENCE)

    def test_many_threads_wait_for_a_frozen_one_once_each_at_most(self):
        one = self.open(timeout=2.0, retry_after=FOREVER, max_pool_size=3)
        one.get_instance(self.instance)
        self.service.freeze()
        self.addCleanup(self.service.thaw)

        def work() -> list[Any]:
            return [one.get_instance(self.instance) for _ in range(20)]

        found = self.at_once(12, work)
        self.assertEqual([[self.mapping] * 20] * 12, found)
        self.assertEqual(1, self.warnings())

    def test_one_thread_tries_a_frozen_one_again(self):
        one = self.open(timeout=1.0, connect_timeout=1.0, retry_after=0.01)
        one.get_instance(self.instance)
        self.service.freeze()
        self.addCleanup(self.service.thaw)
        one.get_instance(self.instance)
        (node,) = one._process.cache.cluster.clients.values()
        time.sleep(0.02)  # retry_after, for certain
        node._retry_after = FOREVER
        self.assertTrue(node._may_try())
        self.assertFalse(node._may_try())

    def test_one_that_was_frozen_says_what_was_true_then(self):
        one = self.open(timeout=0.2, retry_after=0.05)
        other = self.open(timeout=0.2, retry_after=0.05)
        one.get_instance(self.instance)
        self.service.freeze()
        self.mapping = self.move(self.mapping, self.cell2, one)
        self.assertEqual(self.mapping, one.get_instance(self.instance))
        self.service.thaw()
        self.wait_until_up(one)
        # The writer is never told the old; all others not after ttl.
        self.assertEqual(self.mapping, one.get_instance(self.instance))
        self.clock.ahead += 61
        self.assertEqual(self.mapping, other.get_instance(self.instance))

    def wait_until_up(self, one: Any) -> None:
        (node,) = one._process.cache.cluster.clients.values()
        deadline = time.monotonic() + helpers.PATIENCE
        while node.ask('get', b'any') is not None:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def test_a_restarted_one_is_a_miss_and_no_failure(self):
        one = self.open(retry_after=FOREVER)
        found = self.at_once(8, lambda: one.get_instance(self.instance))
        self.assertEqual([self.mapping] * 8, found)
        self.asked()
        self.service.restart()
        self.assertEqual(self.mapping, one.get_instance(self.instance))
        self.assertEqual([self.instance], self.asked())
        for _ in range(9):
            self.assertEqual(self.mapping, one.get_instance(self.instance))
        self.assertEqual([], self.asked())
        self.assertEqual(0, self.warnings())

    def test_a_flushed_one_is_a_miss(self):
        one = self.open()
        one.get_instance(self.instance)
        one.get_cell(self.cell1.uuid)
        self.asked()
        self.client().flush_all(noreply=False)
        self.assertEqual(self.mapping, one.get_instance(self.instance))
        self.assertEqual(self.cell1, one.get_cell(self.cell1.uuid))
        self.assertEqual(2, len(self.asked()))
        self.assertEqual(0, self.warnings())

    def test_after_a_flush_the_writer_still_knows_what_it_forgot(self):
        one = self.open()
        one.get_instance(self.instance)
        with self.held(lambda: self.open().get_instance(self.instance)):
            pass
        key = one._keys.instance(self.instance)
        old = self.client().get(key)
        moved = self.move(self.mapping, self.cell2, one)
        self.client().flush_all(noreply=False)
        self.client().set(key, old, noreply=False)
        self.assertEqual(moved, one.get_instance(self.instance))

    def test_what_was_forgotten_while_it_was_down_stays_forgotten(self):
        one = self.open(retry_after=0.05)
        one.get_instance(self.instance)
        key = one._keys.instance(self.instance)
        old = self.client().get(key)
        self.service.kill()
        self.mapping = self.move(self.mapping, self.cell2, one)
        self.assertEqual(self.mapping, one.get_instance(self.instance))
        self.service.start()
        self.wait_until_up(one)
        self.client().set(key, old, noreply=False)
        self.assertEqual(self.mapping, one.get_instance(self.instance))

    def test_a_late_look_up_does_not_store_what_was_forgotten_meanwhile(self):
        # Its tombstone was lost with the server.
        one, other = self.open(retry_after=0.05), self.open()
        with self.held(lambda: one.get_instance(self.instance)):
            self.service.kill()
            self.mapping = self.move(self.mapping, self.cell2, one)
            self.service.start()
            self.wait_until_up(one)
        self.assertEqual(self.mapping, other.get_instance(self.instance))

    def test_one_with_no_room_left_is_a_miss(self):
        one = self.open()
        cluster = one._process.cache.cluster
        big = bytes(2_000_000)
        answer = cluster.ask('set', b'big', big, 0, False)
        self.assertEqual('UNAVAILABLE', answer.name)
        self.assertEqual(1, self.warnings())
        # That server is not left out for it.
        one.get_instance(self.instance)
        self.asked()
        one.get_instance(self.instance)
        self.assertEqual([], self.asked())

    def test_trouble_that_comes_and_goes_is_not_told_each_time(self):
        one = self.open(retry_after=0.01)
        for _ in range(3):
            self.service.kill()
            one.get_instance(self.instance)
            self.service.start()
            self.wait_until_it_hits(one)
        self.assertEqual(1, self.warnings())


class TwoServersTest(OwnTestCase):
    count = 2

    def test_one_that_is_dead_takes_nothing_from_the_other(self):
        mappings = [self.source.map(self.cell1) for _ in range(40)]
        uuids = [mapping.instance_uuid for mapping in mappings]
        wanted = dict(zip(uuids, mappings, strict=True))
        one = self.open(retry_after=FOREVER)
        self.assertEqual(wanted, one.get_instances(uuids))
        self.asked()
        self.assertEqual(wanted, one.get_instances(uuids))
        self.assertEqual([], self.asked())
        self.service.kill()
        self.assertEqual(wanted, one.get_instances(uuids))
        (dead,) = self.asked()
        cluster = one._process.cache.cluster
        homes = {
            uuid: cluster.hasher.get_node(one._keys.instance(uuid))
            for uuid in uuids
        }
        self.assertEqual(
            sorted(u for u, at in homes.items() if at == self.service.address),
            dead,
        )
        self.assertIn(len(dead), range(5, 36))
        for instance in uuids:
            self.assertEqual(wanted[instance], one.get_instance(instance))
        self.assertEqual(sorted(dead), sorted(self.asked()))
        self.assertEqual(1, self.warnings())

    def test_the_order_of_the_servers_does_not_matter(self):
        uuids = [self.source.map(self.cell1).instance_uuid for _ in range(20)]
        self.open().get_instances(uuids)
        self.asked()
        self.open(servers=self.addresses[::-1]).get_instances(uuids)
        self.assertEqual([self.cell1.uuid], self.asked())

    def test_each_has_some_of_the_keys(self):
        one = self.open()
        homes = one._process.cache.cluster.hasher
        count = sum(
            homes.get_node(one._keys.instance(str(n))) == self.service.address
            for n in range(1000)
        )
        self.assertIn(count, range(400, 601))


class Babbler(helpers_silent.SilentServer):
    """A port where something answers that is no memcached."""

    says = b'HTTP/1.1 400 Bad Request\r\n\r\n'

    def _setUp(self) -> None:
        self._listener = socket.create_server(('127.0.0.1', 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._accepted: list[socket.socket] = []
        self._thread = threading.Thread(target=self._talk, daemon=True)
        self._thread.start()
        self.addCleanup(self._close)

    def _talk(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self._accepted.append(peer)
            peer.sendall(self.says)


class Endless(Babbler):
    """Says its piece again and again, for as long as somebody listens.

    :ivar said: how many bytes were taken from it.
    """

    begins = b''
    pause = 0.0
    said = 0

    def _talk(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self._accepted.append(peer)
                with contextlib.suppress(OSError):
                    peer.recv(1000)
                    peer.sendall(self.begins)
                    self._go_on(peer)

    def _go_on(self, peer: socket.socket) -> None:
        deadline = time.monotonic() + helpers.PATIENCE
        while time.monotonic() < deadline and self.said < 100_000_000:
            peer.sendall(self.says)
            self.said += len(self.says)
            time.sleep(self.pause)


class WrongServerTest(OwnTestCase):
    def check_endless(self, endless: Endless, timeout: float) -> None:
        endless = self.useFixture(endless)
        one = self.open(
            servers=[f'127.0.0.1:{endless.port}'],
            timeout=timeout,
            retry_after=FOREVER,
        )
        began = time.monotonic()
        self.check_it_goes_on(one)
        self.assertLess(time.monotonic() - began, helpers.PATIENCE / 2)

    def test_one_that_drips_costs_one_timeout(self):
        for begins in (b'VALUE ', b'VALUE x 0 900000\r\n'):
            endless = Endless()
            endless.begins, endless.says = begins, b'x'
            endless.pause = 0.1
            self.check_endless(endless, 1.0)

    def test_one_that_says_too_much_is_not_heard_out(self):
        for begins in (b'', b'VALUE x 0 9000000000\r\n'):
            endless = Endless()
            endless.begins, endless.says = begins, b'x' * 65536
            self.check_endless(endless, FOREVER)
            self.assertLess(endless.said, 20_000_000)

    def test_one_that_never_answers_costs_one_timeout(self):
        silent = self.useFixture(helpers_silent.SilentServer())
        one = self.open(
            servers=[f'127.0.0.1:{silent.port}'],
            timeout=1.0,
            retry_after=FOREVER,
        )
        self.check_it_goes_on(one)
        self.assertEqual(1, silent.accepted)

    def test_something_else_on_its_port_costs_one_warning(self):
        for says in (
            Babbler.says,
            b'\r\n' * 9,
            b'VALUE x 0 5\r\nhello\r\nEND\r\n',
            b'VALUE a b c\r\n',
            b'VALUE\r\n',
            b'\xff' * 9000 + b'\r\n',
        ):
            babbler = Babbler()
            babbler.says = says
            babbler = self.useFixture(babbler)
            one = self.open(
                servers=[f'127.0.0.1:{babbler.port}'], retry_after=FOREVER
            )
            self.check_it_goes_on(one)
