"""A running server that goes on where its cell's queue is by now."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from cellplug import exception
from cellplug.objects import urls
from cellplug.rpc import bounded
from cellplug.rpc import messaging
from cellplug.rpc import server_run

LOG = logging.getLogger(__name__)


class _Leaving:
    """A run that another one has followed; it ends in threads of its own.

    What it works on is finished, however long that takes: the process goes
    on, and somebody waits for the answers.

    :param linger: seconds for which it goes on to listen.
    """

    def __init__(self, run: server_run.Run, linger: float) -> None:
        self._run = run
        self._linger = linger
        self._hurry = threading.Event()
        self._task = bounded.Task(self._stop)

    def _stop(self) -> None:
        self._hurry.wait(self._linger)
        bounded.Task(self._leave)
        self._hurry.wait()
        self._run.stop()

    def _leave(self) -> None:
        try:
            self._run.finish()
        finally:
            self._hurry.set()

    @property
    def ended(self) -> bool:
        """Whether it has stopped."""
        return self._task.ended

    def hurry(self) -> None:
        """Let it stop now, in bounded time."""
        self._hurry.set()

    def wait(self) -> None:
        """Wait for its stop, which is bounded."""
        self._task.finish()


class Following:
    """Keeps one running server at the newest URL of its queue.

    The next run listens before the former one stops, so that no message
    finds nobody: where both are on one queue (the password changed), each
    message is worked on by one of them, but for one that is sent to all
    servers (``fanout``), which this server may get twice. Where the queue is
    elsewhere the former run goes on for ``linger`` seconds, for those who
    still send there.

    If the next run cannot start, the former one goes on; it is said once, and
    tried again in the next round.

    :param make: makes the next run, not started.
    :param swap: puts the next run in the former one's place, if that one
        still runs; whether it does.
    """

    def __init__(
        self,
        queue: Any,
        make: Callable[[], server_run.Run],
        swap: Callable[[server_run.Run, server_run.Run], bool],
        linger: float,
    ) -> None:
        self._queue = queue
        self._make = make
        self._swap = swap
        self._linger = linger
        self._turn = threading.Lock()
        # Before the server's own lock, which swap takes.
        self._lock = threading.Lock()
        self._leaving: list[_Leaving] = []
        self._complained = False

    def look(self, run: server_run.Run) -> None:
        """Follow, in the background, if the queue is not where it was.

        Returns at once. A look while another follows does nothing.
        """
        if self._url() in (None, run.url) or self._turn.locked():
            return
        bounded.Task(self._follow, run)

    def _url(self) -> str | None:
        """Where the queue is; None if there is none to go to."""
        try:
            url: str = self._queue.url()
        except exception.CellMappingNotFound:
            return None
        except exception.CellplugError as exc:
            self._complain(exc)
            return None
        return url

    def _follow(self, former: server_run.Run) -> None:
        if not self._turn.acquire(blocking=False):
            return
        try:
            try:
                run = self._make()
                run.start()
            except messaging.QueueDownError as exc:
                self._complain(self._queue.unavailable(str(exc)))
                return
            except Exception as exc:  # noqa: BLE001 (nobody waits for it)
                self._complain(exc)
                return
            self._go_over(former, run)
        finally:
            self._turn.release()

    def _go_over(self, former: server_run.Run, run: server_run.Run) -> None:
        moved = not urls.same_queue(former.url, run.url)
        with self._lock:
            swapped = self._swap(former, run)
            if swapped:
                left = [one for one in self._leaving if not one.ended]
                left.append(_Leaving(former, self._linger if moved else 0))
                self._leaving = left
        if not swapped:
            run.stop()  # The server was stopped meanwhile.
            return
        self._complained = False
        LOG.info(
            'The RPC server of %s listens at the new transport URL',
            self._queue.where,
        )

    def _complain(self, error: Exception) -> None:
        level = logging.DEBUG if self._complained else logging.WARNING
        self._complained = True
        ours = isinstance(error, exception.CellplugError)
        LOG.log(
            level,
            'The RPC server of %s goes on at the former transport URL: %s',
            self._queue.where,
            # What others say may quote the URL.
            error if ours else type(error).__name__,
        )

    def stop(self) -> None:
        """Stop what was followed by another run, in bounded time."""
        with self._lock:
            leaving, self._leaving = self._leaving, []
        for one in leaving:
            one.hurry()
        for one in leaving:
            one.wait()
