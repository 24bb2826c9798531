"""Asking many cells at once, under one deadline."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import queue
import threading
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any
from typing import Generic
from typing import NoReturn
from typing import TypeVar

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug.objects import mappings

Context = cellplug_context.RequestContext
R = TypeVar('R')

Target = Callable[
    [Context, mappings.CellMapping], AbstractContextManager[Context]
]


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """Why there is nothing from a cell.

    :ivar reason: one line for people.
    :ivar error: what was raised; None where the time was over.
    :ivar targeted: whether it was the function that raised; False where the
        cell could not be targeted, or its time was over.
    """

    cell_uuid: str
    cell_name: str
    reason: str
    error: BaseException | None = None
    targeted: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome(Generic[R]):
    """What came of one cell: a value, or a failure.

    :ivar value: what the function returned, an exception object it may be.
    :ivar failure: None where there is a value.
    """

    cell: mappings.CellMapping
    value: R | None = None
    failure: Failure | None = None

    @property
    def cell_name(self) -> str:
        """The cell's name."""
        return self.cell.name

    @property
    def reason(self) -> str | None:
        """Why there is no value; None where there is one."""
        return None if self.failure is None else self.failure.reason

    @property
    def raised(self) -> BaseException | None:
        """What the function raised; None if it did not."""
        if self.failure is None or not self.failure.targeted:
            return None
        return self.failure.error


class ScatterResult(Generic[R]):
    """What the cells answered, and which did not.

    It cannot be iterated: whoever asks many cells has to say what a missing
    one means, by calling :meth:`complete` or :meth:`partial`.

    :ivar outcomes: one for each cell that was asked, in that order.
    """

    def __init__(self, outcomes: Sequence[Outcome[R]]) -> None:
        self.outcomes = tuple(outcomes)

    @property
    def failed(self) -> dict[str, Failure]:
        """The cells that did not answer, by uuid, and why."""
        return {
            outcome.cell.uuid: outcome.failure
            for outcome in self.outcomes
            if outcome.failure is not None
        }

    def complete(self) -> dict[str, R]:
        """The values by cell uuid, if every cell answered.

        :raises CellsFailed: names each cell that did not, and why.
        """
        if self.failed:
            self._fail()
        return self._values()

    def partial(self, min_cells: int = 1) -> dict[str, R]:
        """The values of those cells that answered, by cell uuid.

        :param min_cells: how many must have, where any failed.
        :raises CellsFailed: if a cell failed and fewer answered.
        """
        values = self._values()
        if self.failed and len(values) < min_cells:
            self._fail()
        return values

    def _values(self) -> dict[str, R]:
        return {
            outcome.cell.uuid: outcome.value  # type: ignore[misc]
            for outcome in self.outcomes
            if outcome.failure is None
        }

    def _fail(self) -> NoReturn:
        failed = self.failed
        errors = [one.error for one in failed.values() if one.error]
        raise exception.CellsFailed(
            {u: (one.cell_name, one.reason) for u, one in failed.items()},
            len(self.outcomes) - len(failed),
        ) from (errors[0] if errors else None)

    def __iter__(self) -> NoReturn:
        raise TypeError(
            'some cells may be missing: call complete(), or partial() where '
            'that is no harm'
        )

    def __repr__(self) -> str:
        failed = len(self.failed)
        return (
            f'<ScatterResult: {len(self.outcomes) - failed} cells answered, '
            f'{failed} failed>'
        )


class Deadline:
    """A moment from which on nothing is waited for any more.

    :ivar seconds: how far away it was in the beginning.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that can be waited for."""
        left = self._end - time.monotonic()
        return min(max(0, left), threading.TIMEOUT_MAX)


class Scatter(Generic[R]):
    """One call in many cells: threads, a deadline, and what came of it.

    The threads are daemons and belong to this call: one that hangs costs no
    other call anything, is not waited for, and does not keep the process from
    ending. What it answers when the time is over is dropped.

    :param target: gives a context aimed at a cell; called in the cell's own
        task, so that a cell which cannot be targeted fails alone.
    :param threads: how many cells are asked at the same time.
    """

    def __init__(self, target: Target, threads: int) -> None:
        self._target = target
        self._threads = threads
        self._waiting: collections.deque[mappings.CellMapping]
        self._waiting = collections.deque()
        self._answers: queue.SimpleQueue[Outcome[R]] = queue.SimpleQueue()

    def run(
        self,
        context: Context,
        cells: Iterable[mappings.CellMapping],
        deadline: Deadline,
        fn: Callable[..., R],
        *args: Any,
    ) -> ScatterResult[R]:
        """Call ``fn(cctxt, *args)`` for each cell; never raises for one."""
        asked = {cell.uuid: cell for cell in cells}
        self._waiting.extend(asked.values())
        # Whatever becomes of the caller's own one: late tasks use this.
        own = context.copy_with()
        try:
            self._start(min(self._threads, len(asked)), own, fn, args)
            answers = self._collect(len(asked), deadline)
        finally:
            unasked = self._withdraw()
        return ScatterResult(
            [
                answers.get(uuid)
                or _overdue(cell, deadline, asked=uuid not in unasked)
                for uuid, cell in asked.items()
            ]
        )

    def _withdraw(self) -> set[str]:
        """Let nobody begin any more; the cells that were not asked."""
        unasked = set()
        while self._waiting:
            # A thread may take the last one first.
            with contextlib.suppress(IndexError):
                unasked.add(self._waiting.popleft().uuid)
        return unasked

    def _start(self, threads: int, *args: Any) -> None:
        for started in range(threads):
            thread = threading.Thread(
                target=self._work,
                args=args,
                name='cellplug-scatter',
                daemon=True,
            )
            try:
                thread.start()
            except RuntimeError:
                # The system gives no more threads: fewer do it as well.
                if not started:
                    raise
                return

    def _collect(
        self, expected: int, deadline: Deadline
    ) -> dict[str, Outcome[R]]:
        """What is answered in time, by cell uuid."""
        found: dict[str, Outcome[R]] = {}
        while len(found) < expected:
            try:
                outcome = self._answers.get(timeout=deadline.left)
            except queue.Empty:
                break
            found[outcome.cell.uuid] = outcome
        return found

    def _work(
        self, context: Context, fn: Callable[..., R], args: tuple[Any, ...]
    ) -> None:
        """Ask one cell after the other while there are some."""
        # The thread is our own: its log lines name the request.
        context.update_store()
        while True:
            try:
                cell = self._waiting.popleft()
            except IndexError:
                return
            self._answers.put(self._ask(context, cell, fn, args))

    def _ask(
        self,
        context: Context,
        cell: mappings.CellMapping,
        fn: Callable[..., R],
        args: tuple[Any, ...],
    ) -> Outcome[R]:
        targeted = False
        try:
            with self._target(context, cell) as cctxt:
                targeted = True
                return Outcome(cell, value=fn(cctxt, *args))
        except BaseException as exc:  # noqa: BLE001 (the cell's outcome)
            failure = Failure(cell.uuid, cell.name, _why(exc), exc, targeted)
            return Outcome(cell, failure=failure)


def _overdue(
    cell: mappings.CellMapping, deadline: Deadline, *, asked: bool
) -> Outcome[Any]:
    seconds = f'{deadline.seconds:g} s'
    reason = f'no answer within {seconds}'
    if not asked:
        reason = f'not asked: other cells took all threads for {seconds}'
    return Outcome(cell, failure=Failure(cell.uuid, cell.name, reason))


def _why(error: BaseException) -> str:
    """One line; of cellplug's own errors their message, which is for people.

    What others say may quote a connection URL.
    """
    if isinstance(error, exception.CellplugError):
        return ' '.join(str(error).split())
    return type(error).__name__
