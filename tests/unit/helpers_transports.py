"""Transports that connect to nothing, and a host that opens them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import testtools

from cellplug import loader
from cellplug.testing import deployment

DEADLINE = 30
"""Seconds after which a test says that something hangs."""


class Opened:
    """A transport that notes what becomes of it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.broken = False
        self.closed = 0
        self.pid = os.getpid()

    def close(self) -> None:
        self.closed += 1


class Clock:
    """A clock that stands until it is set, and counts who looks at it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._looked = threading.Condition()
        self._looks = 0

    def __call__(self) -> float:
        if threading.current_thread().name == 'cellplug-idle':
            with self._looked:
                self._looks += 1
                self._looked.notify_all()
        return self.now

    def wait_for_looks(self) -> None:
        """Wait until what is idle was looked for with the time as it is."""
        with self._looked:
            # The one under way may have read the time before, and the next
            # is over only when one more begins.
            enough = self._looks + 3
            if not self._looked.wait_for(
                lambda: self._looks >= enough, DEADLINE
            ):
                raise AssertionError('nobody looks for idle transports')


class Host:
    """A host whose transports connect to nothing.

    :ivar opener: what opens a transport; a test may have its own.
    :ivar opened: what was opened, in order.
    """

    def __init__(self) -> None:
        self.opened: list[Opened] = []
        self.opener: Callable[[str], Any] = self._open
        self.clock = Clock()

    def open_transport(self, url: str) -> Any:
        return self.opener(url)

    def _open(self, url: str) -> Opened:
        self.opened.append(Opened(url))
        return self.opened[-1]

    def closed(self) -> dict[str, int]:
        """How often the latest transport of each URL was closed."""
        return {one.url: one.closed for one in self.opened}


class CacheCase(testtools.TestCase):
    """One transport cache, loaded as a router loads it."""

    driver = ''

    def setUp(self) -> None:
        super().setUp()
        self.host = Host()
        self.cache = self.load()

    def load(self, host: Any = None, **options: Any) -> Any:
        """The driver with these options; it is closed in the end."""
        named = {
            f'transport_cache_{self.driver}.{name}': value
            for name, value in options.items()
        }
        conf = self.useFixture(deployment.ConfFixture(named)).conf
        loaded = loader.Loader(conf, host or self.host)
        self.addCleanup(loaded.close)
        return loaded.load('transport_cache', self.driver)

    def visit(self, *urls: str) -> None:
        """Use the transport of each URL once."""
        for url in urls:
            with self.cache.use(url):
                pass


def in_child(work: Callable[[], bool]) -> bool:
    """What the function returns in a child process; False if it raises."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        fine = False
        try:
            fine = work()
        finally:
            os.write(writer, b'fine' if fine else b'wrong')
            os._exit(0)
    os.close(writer)
    said = os.read(reader, 10)
    os.close(reader)
    os.waitpid(pid, 0)
    return said == b'fine'


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether something becomes true before the deadline."""
    end = time.monotonic() + DEADLINE
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def in_threads(count: int, work: Callable[[int], None]) -> list[Any]:
    """Do the work in so many threads at once; what they raised."""
    barrier = threading.Barrier(count)
    raised: list[Any] = []

    def run(number: int) -> None:
        barrier.wait(DEADLINE)
        try:
            work(number)
        except BaseException as exc:
            raised.append(exc)

    threads = [
        threading.Thread(target=run, args=(number,), daemon=True)
        for number in range(count)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join(DEADLINE)
        if one.is_alive():
            raise AssertionError('a thread hangs')
    return raised
