"""The ``memcached`` resolver against a model, by random interleavings.

Two resolvers stand for two processes, on a real memcached with a clock that is
set ahead at will. Whatever happens between the question to the source and the
answer is put there by the source itself: in the midst of a look-up it changes
the truth, forgets, looks up otherwise or lets time pass.

Every answer must have been true at some moment since the latest of: ``ttl``
before the question; what the process that answers has forgotten; and, as long
as memcached keeps what it was told, what any process has forgotten.
"""

from __future__ import annotations

import random
import uuid
from typing import Any

from cellplug import exception
from tests.functional import helpers_memcached as helpers
from tests.functional import test_memcached_resolver as resolver_tests

TTL = 60.0
NEGATIVE = 5.0
SKEW = 2.0


class Meddling(helpers.Source):
    """Does something else between reading an answer and giving it."""

    meddle: Any = None

    def _answer(self, asked: Any, find: Any) -> Any:
        found = super()._answer(asked, find)
        if self.meddle is not None:
            self.meddle()
        return found


class History:
    """What was true when: of one instance, or of one cell."""

    def __init__(self, now: float, state: Any) -> None:
        self.states = [(now, state)]

    def change(self, now: float, state: Any) -> int:
        self.states.append((now, state))
        return len(self.states) - 1

    def at(self, moment: float) -> int:
        """Which state was true at that moment: the last that began before."""
        for index in range(len(self.states) - 1, 0, -1):
            if self.states[index][0] <= moment:
                return index
        return 0

    def was(self, state: Any, since: int) -> bool:
        return any(one == state for _, one in self.states[since:])


class ModelTest(resolver_tests.SharedTestCase):
    lossy = False

    def setUp(self) -> None:
        super().setUp()
        self.client_ = self.client()
        self.source = Meddling()
        self.processes = [
            self.open(
                ttl=TTL,
                negative_ttl=NEGATIVE,
                clock_skew=SKEW,
                leader_timeout=0,
            )
            for _ in range(2)
        ]
        self.source.meddle = self.meddle

    def begin(self, seed: int) -> None:
        """Cells and instances that nobody has heard of."""
        self.dice = random.Random(seed)
        self.depth = 0
        self.cells = [self.source.add_cell(f'cell{n}') for n in range(2)]
        self.uuids = [str(uuid.uuid4()) for _ in range(2)]
        now = self.clock()
        self.history = {name: History(now, None) for name in self.uuids}
        for cell in self.cells:
            self.history[cell.uuid] = History(now, cell.generation)
        self.former: dict[bytes, list[bytes]] = {}
        self.forgotten = [dict.fromkeys(self.history, 0) for _ in range(2)]

    # -- what can happen ---------------------------------------------------

    def meddle(self) -> None:
        if self.depth < 3 and self.dice.random() < 0.5:
            self.depth += 1
            for _ in range(self.dice.randrange(1, 4)):
                self.step()
            self.depth -= 1

    def step(self) -> None:
        steps = [
            self.look_up,
            self.look_up,
            self.look_up,
            self.look_up_many,
            self.look_up_cell,
            self.map_or_move,
            self.map_or_move,
            self.unmap,
            self.edit_cell,
            self.forget,
            self.pass_time,
            *([self.lose, self.put_back] if self.lossy else []),
        ]
        self.dice.choice(steps)()

    def pass_time(self) -> None:
        self.clock.ahead += self.dice.choice((0.1, 1, 4, 10, 25, 59, 65))

    def lose(self) -> None:
        """One key is gone from memcached."""
        name = self.dice.choice(list(self.history))
        self.client_.delete(self.key(name), noreply=False)

    def put_back(self) -> None:
        """Somebody replaces an entry by one that was there before."""
        key = self.key(self.dice.choice(list(self.history)))
        stored = self.client_.get(key)
        former = self.former.setdefault(key, [])
        if former:
            self.client_.set(key, self.dice.choice(former), noreply=False)
        if stored is not None:
            former.append(stored)

    def key(self, name: str) -> bytes:
        keys = self.processes[0]._keys
        return keys.instance(name) if name in self.uuids else keys.cell(name)

    def map_or_move(self) -> None:
        name = self.dice.choice(self.uuids)
        moved = self.source.map(self.dice.choice(self.cells), name)
        self.changed(
            name,
            (moved.generation, moved.cell_uuid),
            self.dice.choice((None, moved.generation)),
        )

    def unmap(self) -> None:
        name = self.dice.choice(self.uuids)
        self.source.instances.pop(name, None)
        self.changed(name, None, None)

    def edit_cell(self) -> None:
        cell = self.dice.choice(self.cells)
        self.source.edit_cell(cell, cell.name)
        generation = self.source.cells[cell.uuid].generation
        index = self.history[cell.uuid].change(self.clock(), generation)
        process = self.dice.randrange(2)
        self.processes[process].forget_cell(cell.uuid)
        self.forgotten[process][cell.uuid] = index

    def changed(self, name: str, state: Any, generation: int | None) -> None:
        index = self.history[name].change(self.clock(), state)
        process = self.dice.randrange(2)
        self.processes[process].forget_instance(name, generation)
        self.note(process, name, index)

    def note(self, process: int, name: str, index: int) -> None:
        for number in (process,) if self.lossy else range(2):
            self.forgotten[number][name] = index

    def forget(self) -> None:
        """For no reason, as after a route that turned out stale."""
        name = self.dice.choice(self.uuids)
        process = self.dice.randrange(2)
        index = len(self.history[name].states) - 1
        self.processes[process].forget_instance(name)
        self.note(process, name, index)

    # -- what must hold ----------------------------------------------------

    def since(self, process: int, name: str, bound: float) -> int:
        return max(
            self.history[name].at(self.clock() - bound),
            self.forgotten[process][name],
        )

    def check(
        self, name: str, found: Any, sinces: dict[str, int], negative: int
    ) -> None:
        if found is None:
            self.assertTrue(self.history[name].was(None, negative))
            return
        state = (found.generation, found.cell_uuid)
        self.assertTrue(
            self.history[name].was(state, sinces[name]),
            f'{state} is older than it may be',
        )
        self.assertTrue(
            self.history[found.cell_uuid].was(
                found.cell.generation, sinces[found.cell_uuid]
            ),
            'its cell is older than it may be',
        )

    def look_up(self) -> None:
        process, name = self.dice.randrange(2), self.dice.choice(self.uuids)
        sinces = {n: self.since(process, n, TTL) for n in self.history}
        negative = self.since(process, name, NEGATIVE)
        try:
            found = self.processes[process].get_instance(name)
        except exception.InstanceMappingNotFound:
            found = None
        self.check(name, found, sinces, negative)

    def look_up_many(self) -> None:
        process = self.dice.randrange(2)
        sinces = {n: self.since(process, n, TTL) for n in self.history}
        negative = {n: self.since(process, n, NEGATIVE) for n in self.uuids}
        found = self.processes[process].get_instances(self.uuids)
        for name in self.uuids:
            self.check(name, found.get(name), sinces, negative[name])

    def look_up_cell(self) -> None:
        process, cell = self.dice.randrange(2), self.dice.choice(self.cells)
        since = self.since(process, cell.uuid, TTL)
        found = self.processes[process].get_cell(cell.uuid)
        self.assertTrue(
            self.history[cell.uuid].was(found.generation, since),
            'the cell is older than it may be',
        )

    # -- the tests ---------------------------------------------------------

    def run_seeds(self, count: int) -> None:
        for seed in range(count):
            self.begin(seed)
            try:
                for _ in range(40):
                    self.step()
            except AssertionError as exc:
                raise AssertionError(f'seed {seed}: {exc}') from exc

    def test_what_was_forgotten_by_anybody_never_returns(self) -> None:
        self.run_seeds(120)

    def test_nor_what_this_process_forgot_if_memcached_is_meddled_with(
        self,
    ) -> None:
        self.lossy = True
        self.run_seeds(120)
