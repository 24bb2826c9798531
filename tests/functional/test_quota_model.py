"""``router.quotas`` against a model, by random histories.

A history is a list of steps: reserve, make what was reserved in a cell,
commit, roll back, die, expire, count anew, change limits. Whatever counts the
truth lets other steps happen before and behind the moment at which it looks;
so counts are made at one point of the history and stored at a later one.

The model of the books: what is in use is what exists, but for what open
reservations have made; what is reserved is what they hold; what does not fit
is refused.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import uuid
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any
from typing import NamedTuple
from unittest import mock

import fixtures
import hypothesis
import sqlalchemy as sa
import testtools
from hypothesis import strategies as st

import cellplug
from cellplug import db
from cellplug import exception
from cellplug.db.api import models
from cellplug.db.api import quota_usages
from cellplug.objects import quota
from cellplug.testing import deployment
from tests.functional import helpers_deployment as helpers

USERS = ('ann', 'bob')
RESOURCES = ('servers', 'cores', 'networks')
PER_PROJECT = ('networks',)
CELLS = ('cell1', 'cell2')
DEFAULT = 4

Key = tuple[str, str]
"""A user ('' for the total) and a resource."""

# -- histories ---------------------------------------------------------------

_deltas = st.dictionaries(
    st.sampled_from(RESOURCES), st.integers(-2, 3), min_size=1
)
_limits = st.dictionaries(
    st.sampled_from(RESOURCES[:2]),
    st.sampled_from((None, -1, 0, 1, 2, 3, 5, 8)),
    min_size=1,
)
_names = st.lists(
    st.sampled_from(RESOURCES), min_size=1, max_size=3, unique=True
)
_users = st.sampled_from(USERS)
_which = st.integers(0, 3)

# Small, so that what one does another often undoes.
_use = st.tuples(
    st.just('use'),
    _users,
    st.dictionaries(
        st.sampled_from(RESOURCES),
        st.sampled_from((1, -1)),
        min_size=1,
        max_size=1,
    ),
)
_plain = st.one_of(
    _use,
    _use,
    _use,
    st.tuples(st.just('make'), _which, st.sampled_from(CELLS)),
    st.tuples(st.just('commit'), _which),
    st.tuples(st.just('commit'), _which),
    st.tuples(st.just('rollback'), _which),
    st.tuples(st.just('die'), _which),
    st.tuples(st.just('expire')),
    st.tuples(st.just('wait'), st.sampled_from((1, 50, 200))),
    st.tuples(st.just('reset'), _names, st.none() | _users),
    st.tuples(st.just('limits_change'), st.none() | _users, _limits),
    st.tuples(st.just('drift'), _users, _deltas, st.sampled_from(CELLS)),
)


def _counting(inside: Any = None) -> Any:
    """Steps that may count, with what happens before and behind the look."""
    meanwhile = st.just([])
    if inside is not None:
        few = st.lists(inside, max_size=3)
        meanwhile = st.lists(st.tuples(few, few), max_size=3)
    silent = st.sampled_from((False,) * 7 + (True,))
    reserve = st.tuples(
        st.just('reserve'),
        _users,
        _deltas,
        st.sampled_from((100, 1000)),
        silent,
        meanwhile,
    )
    refresh = st.tuples(
        st.just('refresh'), st.none() | _users, _names, silent, meanwhile
    )
    return st.one_of(reserve, reserve, reserve, refresh)


_bare = st.one_of(_plain, _counting())
_steps = st.one_of(_plain, _counting(_bare), _counting(_bare))
HISTORIES = st.lists(_steps, min_size=4, max_size=20)


# One user and one resource, and little else than counts that overlap: where
# what guards a count is missing, few of these histories are needed.
_one = st.sampled_from(({'servers': 1}, {'servers': -1}))
_overlapping = st.one_of(
    st.tuples(st.just('use'), st.just('ann'), _one),
    st.tuples(
        st.just('reserve'),
        st.just('ann'),
        _one,
        st.just(1000),
        st.just(False),
        st.just([]),
    ),
    st.tuples(st.just('make'), _which, st.just('cell1')),
    st.tuples(st.just('commit'), _which),
)
_meanwhile = st.lists(_overlapping, max_size=2)
OVERLAPPING = st.lists(
    _overlapping
    | st.tuples(
        st.just('refresh'),
        st.none(),
        st.just(['servers']),
        st.just(False),
        st.lists(st.tuples(_meanwhile, _meanwhile), min_size=1, max_size=2),
    ),
    min_size=3,
    max_size=10,
)


# -- the truth ---------------------------------------------------------------


class Cells:
    """What exists where: the truth, as the cells would tell it."""

    def __init__(self, test: Any) -> None:
        self.things: collections.Counter[Any] = collections.Counter()

    def add(self, cell: str, owner: Any, resource: str, number: int) -> int:
        """Make so many, or remove them as far as there are any; how many."""
        key = (cell, *owner, resource)
        changed = max(number, -self.things[key])
        self.things[key] += changed
        return changed

    def count(self, context: Any, project: str, user: str | None) -> Any:
        found = dict.fromkeys(RESOURCES, 0)
        for (_, one, whose, resource), number in self.things.items():
            if one == project and user in (None, whose):
                found[resource] += number
        return quota.Counts(found)


class RealCells(Cells):
    """The same in tables of the cells' databases, counted across cells."""

    METADATA = sa.MetaData()
    THING = sa.Table(
        'thing',
        METADATA,
        sa.Column('id', sa.Integer, primary_key=True),
        *(
            sa.Column(name, sa.String(64), nullable=False)
            for name in ('project', 'owner', 'resource')
        ),
        sa.Column('number', sa.Integer, nullable=False),
        mysql_charset='utf8mb4',
    )

    def __init__(self, test: Any) -> None:
        super().__init__(test)
        self.router, database = test.router, test.database
        self.write = database.writer(self._write)
        self.read = database.reader(self._read)
        for cell in test.cells_made:
            with helpers.past_cellplug(cell.database_connection) as connection:
                self.METADATA.create_all(connection)

    def add(self, cell: str, owner: Any, resource: str, number: int) -> int:
        changed = super().add(cell, owner, resource, number)
        if changed:
            project, user = owner
            context = cellplug.RequestContext()
            with self.router.target_cell(context, cell) as cctxt:
                self.write(
                    cctxt,
                    project=project,
                    owner=user,
                    resource=resource,
                    number=changed,
                )
        return changed

    def _write(self, context: Any, **values: Any) -> None:
        context.session.execute(sa.insert(self.THING), values)

    def count(self, context: Any, project: str, user: str | None) -> Any:
        found = self.router.quotas.count_in_cells(
            context, self.read, project, user
        )
        return dataclasses.replace(
            found, values={**dict.fromkeys(RESOURCES, 0), **found.values}
        )

    def _read(self, context: Any, project: str, user: str | None) -> Any:
        thing = self.THING.c
        query = (
            sa.select(thing.resource, sa.func.sum(thing.number))
            .where(thing.project == project)
            .group_by(thing.resource)
        )
        if user is not None:
            query = query.where(thing.owner == user)
        rows = context.session.execute(query)
        return {name: int(number) for name, number in rows}


# -- the model ---------------------------------------------------------------


@dataclasses.dataclass
class Request:
    """What somebody is doing: reserved, made in a cell, then committed."""

    user: str
    deltas: dict[str, int]
    handle: str
    ends: float
    cell: str = ''
    made: dict[str, int] | None = None

    def usages(self) -> set[Key]:
        return keys(self.user, self.deltas)


def keys(user: str, names: Iterable[str]) -> set[Key]:
    """The usages that somebody's resources count in."""
    found: set[Key] = {('', name) for name in names}
    return found | {(user, one) for one in names if one not in PER_PROJECT}


class Row(NamedTuple):
    """A usage, as it stands in the table."""

    in_use: int
    reserved: int
    due: bool


class Violated(AssertionError):
    """The books and the model disagree."""


class History:
    """Plays steps on an engine, and holds it against the model."""

    def __init__(self, test: Any) -> None:
        self.test = test
        self.quotas = test.router.quotas
        self.cells = test.cells
        self.project = f'p-{uuid.uuid4()}'
        self.limits: dict[Key, int | None] = {}
        self.requests: list[Request] = []
        self.open: dict[str, Request] = {}
        self.books: dict[Key, Row] = {}
        # Usages that may differ from the truth until they are counted.
        self.astray: set[Key] = set()
        self.waiting: list[Any] = []
        self.silent = False
        test.count = self.count

    def context(self, user: str | None = None) -> Any:
        return cellplug.RequestContext(project_id=self.project, user_id=user)

    def check(self, condition: Any, what: str) -> None:
        if not condition:
            raise Violated(what)

    # -- counting, with steps inside ---------------------------------------

    def count(self, context: Any, project: str, user: str | None) -> Any:
        before, behind = self.waiting.pop(0) if self.waiting else ((), ())
        silent = self.silent
        self.find_expired()  # which may be done before anything is counted
        self.play_inside(before)
        found = self.cells.count(context, project, user)
        self.play_inside(behind)
        if silent:
            return dataclasses.replace(found, missing={'cell2': 'silent'})
        return found

    def play_inside(self, steps: Any) -> None:
        kept = self.waiting, self.silent
        for step in steps:
            self.play(step)
        self.waiting, self.silent = kept

    @contextlib.contextmanager
    def counting(self, silent: bool, meanwhile: Any) -> Iterator[None]:
        self.waiting, self.silent = list(meanwhile), silent
        try:
            yield
        except exception.CountIncomplete as exc:
            self.check(silent, str(exc))
        finally:
            self.waiting, self.silent = [], False

    # -- what can happen ---------------------------------------------------

    def play(self, step: Any) -> None:
        name, *arguments = step
        getattr(self, name)(*arguments)
        self.compare()

    def reserve(self, user, deltas, expire, silent, meanwhile) -> None:
        known = dict(self.books)
        with self.counting(silent, meanwhile):
            try:
                handle = self.quotas.reserve(
                    self.context(user), deltas, expire=expire
                )
            except exception.OverQuota as exc:
                over = self.over(user, deltas, 1)
                self.check(over == exc.overs, f'{exc}; it is {over}')
            else:
                # Its time runs from now: what counting took costs none.
                ends = self.test.clock() + expire
                request = Request(user, deltas, handle, ends)
                self.requests.append(request)
                self.open[handle] = request
                over = self.over(user, deltas, 0)
                self.check(not over, f'{over} were admitted')
            if not meanwhile:
                self.books = self.read_books()
                self.astray -= {
                    key
                    for key in keys(user, deltas)
                    if key not in known
                    or (known[key].due and not self.books[key].due)
                }

    def use(self, user: str, deltas: dict[str, int]) -> None:
        """All of a request at once."""
        before = len(self.requests)
        self.reserve(user, deltas, 1000, False, [])
        if len(self.requests) > before:
            self.commit(before)

    def over(self, user: Any, deltas: Any, times: int) -> list[str]:
        """The resources over a limit, with the deltas so many times more.

        By the limits of now: those that were set while it counted hold.
        """
        books, found = self.read_books(), set()
        for key in keys(user, deltas):
            limit, delta = self.limit(key), deltas[key[1]]
            used = books[key].in_use + books[key].reserved + delta * times
            if delta >= 0 and 0 <= limit < used:
                found.add(key[1])
        return sorted(found)

    def limit(self, key: Key) -> int:
        for one in (key, ('', key[1])):
            if self.limits.get(one) is not None:
                return self.limits[one]
        return DEFAULT

    def chosen(self, which: int) -> Request | None:
        if not self.requests:
            return None
        return self.requests[which % len(self.requests)]

    def make(self, which: int, cell: str) -> None:
        request = self.chosen(which)
        if request is not None and request.made is None:
            request.cell = cell
            request.made = {
                name: self.cells.add(cell, self.owner(request), name, delta)
                for name, delta in request.deltas.items()
            }
            if request.handle not in self.open:
                self.astray |= request.usages()

    def owner(self, request: Request) -> tuple[str, str]:
        return self.project, request.user

    def commit(self, which: int) -> None:
        self.make(which, CELLS[0])
        request = self.chosen(which)
        if request is None:
            return
        self.requests.remove(request)
        self.astray |= {
            key  # it ends at zero: what is removed was not committed yet
            for key, row in self.read_books().items()
            if key in request.usages()
            and row.in_use + request.deltas[key[1]] < 0
        }
        try:
            self.quotas.commit(self.context(), request.handle)
        except exception.ReservationNotFound:
            self.check(request.handle not in self.open, 'a commit was lost')
        else:
            self.check(request.handle in self.open, 'it had ended before')
            del self.open[request.handle]
        if request.made != request.deltas:  # there were not so many to remove
            self.astray |= request.usages()

    def rollback(self, which: int) -> None:
        request = self.chosen(which)
        if request is None:
            return
        self.requests.remove(request)
        for name, number in (request.made or {}).items():
            owner = self.owner(request)
            undone = self.cells.add(request.cell, owner, name, -number)
            if undone != -number or request.handle not in self.open:
                self.astray |= request.usages()
        self.quotas.rollback(self.context(), request.handle)
        self.open.pop(request.handle, None)

    def die(self, which: int) -> None:
        request = self.chosen(which)
        if request is not None:
            self.requests.remove(request)

    def expire(self) -> None:
        self.quotas.expire(self.context())
        self.find_expired()
        late = [one for one in self.open.values() if self.is_late(one)]
        self.check(not late, 'what is past its time is open')

    def is_late(self, request: Request) -> bool:
        return request.ends <= self.test.clock()

    def wait(self, seconds: int) -> None:
        self.test.clock.ahead += seconds

    def reset(self, names: list[str], user: str | None) -> None:
        self.quotas.usage_reset(
            self.context(), names, project_id=self.project, user_id=user
        )

    def limits_change(self, user: str | None, limits: Any) -> None:
        self.quotas.set_limits(
            self.context(),
            limits,
            project_id=self.project,
            user_id=user,
            force=True,
        )
        for name, limit in limits.items():
            self.limits[user or '', name] = limit

    def drift(self, user: str, deltas: Any, cell: str) -> None:
        """Something comes or goes that nobody reserved."""
        for name, delta in deltas.items():
            self.cells.add(cell, (self.project, user), name, delta)
        self.astray |= keys(user, deltas)

    def refresh(self, user, names, silent, meanwhile) -> None:
        with self.counting(silent, meanwhile):
            late = self.quotas.usage_refresh(
                self.context(), names, project_id=self.project, user_id=user
            )
            if not meanwhile:
                self.astray -= {
                    (whose, name)
                    for whose, name in self.read_books()
                    if name in set(names) - late
                    and (user is None or whose in ('', user))
                }

    # -- what must hold ----------------------------------------------------

    def read_books(self) -> dict[Key, Row]:
        rows = self.test.past.execute(USAGES, {'project': self.project})
        return {(row[0], row[1]): Row(*row[2:]) for row in rows}

    def find_expired(self) -> None:
        rows = self.test.past.execute(RESERVED, {'project': self.project})
        listed = {row[0] for row in rows}
        self.check(listed <= set(self.open), 'open, and nobody knows')
        for handle in set(self.open) - listed:
            request = self.open.pop(handle)
            self.check(self.is_late(request), 'it ended before its time')
            if request.made is not None:
                self.astray |= request.usages()

    def compare(self) -> None:
        self.find_expired()
        self.books = self.read_books()
        reserved: collections.Counter[Key] = collections.Counter()
        in_use = self.truth()
        for request in self.open.values():
            for key in request.usages():
                reserved[key] += max(0, request.deltas[key[1]])
                in_use[key] -= (request.made or {}).get(key[1], 0)
        for key, row in self.books.items():
            self.check(row.in_use >= 0, f'{key}: {row}')
            self.check(
                row.reserved == reserved[key],
                f'{key}: {row}, reserved are {reserved[key]}',
            )
            self.check(
                key in self.astray or row.in_use == in_use[key],
                f'{key}: {row}, in use are {in_use[key]}',
            )

    def truth(self) -> collections.Counter[Key]:
        found: collections.Counter[Key] = collections.Counter()
        for (_, project, user, name), number in self.cells.things.items():
            if project == self.project:
                for key in keys(user, [name]):
                    found[key] += number
        return found

    def settle(self) -> None:
        """Let all end, and count: then the books are the truth."""
        while self.requests:
            self.play(
                ('commit', 0) if len(self.requests) % 2 else ('rollback', 0)
            )
        self.wait(2000)
        self.play(('expire',))
        self.check(not self.open, 'something is open')
        self.play(('refresh', None, list(RESOURCES), False, []))
        self.check(not self.astray & set(self.books), 'not all was counted')


USAGES = sa.text(
    'SELECT user_id, resource, in_use, reserved, refresh_due '
    'FROM quota_usages WHERE project_id = :project'
)
RESERVED = sa.text(
    'SELECT DISTINCT uuid FROM reservations JOIN quota_usages '
    'ON quota_usages.id = usage_id WHERE project_id = :project'
)


# -- the tests ---------------------------------------------------------------


class Clock:
    """Stands still, unless it is set ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return 1_800_000_000.0 + self.ahead


class ModelTestCase(testtools.TestCase):
    backend: Any = 'sqlite'
    truth: type[Cells] = Cells
    count: Any = None

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        made = self.useFixture(
            deployment.DeploymentFixture(
                self.backend,
                len(CELLS) if self.truth is RealCells else 0,
                router={'clock': self.clock},
            )
        )
        self.router, self.database = made.router, made.database
        self.cells_made = made.cells
        for name in RESOURCES:
            self.router.quotas.register_resource(
                cellplug.ReservableResource(
                    name,
                    sync=self.sync,
                    default=DEFAULT,
                    per_project=name in PER_PROJECT,
                )
            )
        past = helpers.past_cellplug(made.api_url)
        self.past = past.__enter__()
        self.addCleanup(past.__exit__, None, None, None)
        self.cells = self.truth(self)
        if self.backend == 'sqlite':
            self.hurry()

    def hurry(self) -> None:
        """Wait for no disk, and keep connections.

        Nobody pulls the plug here, and one is opened for each transaction
        otherwise: a third of the time.
        """
        with self.database.using_api(cellplug.RequestContext()) as context:
            engine = self.database.get_engine(context)
        engine.pool = sa.QueuePool(
            engine.pool._creator,
            dialect=engine.dialect,
            _dispatch=engine.pool.dispatch,
        )
        self.addCleanup(engine.dispose)

        @sa.event.listens_for(engine, 'connect')
        def prepare(connection: Any, _: Any) -> None:
            connection.execute('PRAGMA synchronous=OFF')
            connection.execute('PRAGMA journal_mode=MEMORY')

    def sync(self, context: Any, project: str, user: str | None) -> Any:
        return self.count(context, project, user)

    def play(self, steps: Any) -> None:
        history = History(self)
        for step in steps:
            history.play(step)
        history.settle()

    def search(
        self, examples: int, histories: Any = HISTORIES, **more: Any
    ) -> None:
        settings = hypothesis.settings(
            max_examples=examples,
            deadline=None,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            **more,
        )
        search = settings(hypothesis.given(histories)(self.play))
        if hypothesis.settings.default.derandomize:
            # As in CI: the same in each run, but not the same in each class.
            search = hypothesis.seed(self.id())(search)
        search()


class TestModel(ModelTestCase):
    """With the three that follow, thousands of histories.

    Each class draws its own, and may run beside the others.
    """

    def test_the_books_are_right_whatever_happens(self) -> None:
        self.search(400)


class TestModelAgain(TestModel):
    pass


class TestModelOnceMore(TestModel):
    pass


class TestModelAFourthTime(TestModel):
    pass


class TestModelWithCells(ModelTestCase):
    truth = RealCells

    def test_the_books_are_right_whatever_happens(self) -> None:
        self.search(150)


class TestModelOnPostgreSQL(TestModelWithCells):
    backend = 'postgresql'


class TestModelOnMariaDB(TestModelWithCells):
    backend = 'mariadb'


class TestWithoutGuards(ModelTestCase):
    """Each guard of a count is needed: without it, a history goes wrong."""

    def find(self) -> None:
        """Find one; it need not be the shortest."""
        error = self.assertRaises(
            Violated,
            self.search,
            2000,
            OVERLAPPING,
            phases=[hypothesis.Phase.generate],
        )
        self.assertIn('in use are', str(error))

    def unguarded(self, *where: Any) -> Any:
        """The UPDATE that stores a count, with another guard."""
        usage = models.quota_usages
        return (
            sa.update(usage)
            .where(usage.c.id == sa.bindparam('usage'), *where)
            .values(
                in_use=sa.bindparam('counted'),
                refresh_due=sa.bindparam('due'),
                version=usage.c.version + 1,
            )
        )

    def test_with_all_of_them(self) -> None:
        self.search(300, OVERLAPPING)

    def test_without_the_version(self) -> None:
        store = self.unguarded()
        with mock.patch.object(quota_usages, '_STORE', store):
            self.find()

    def test_with_the_values_alone(self) -> None:
        """As if equal values meant that nothing happened."""
        usage = models.quota_usages
        store = self.unguarded(
            usage.c.in_use == sa.bindparam('was'),
            usage.c.reserved == sa.bindparam('held'),
        )

        class Session:
            def __init__(self, session: Any, state: Any) -> None:
                self.session, self.state = session, state

            def execute(self, statement: Any, values: Any) -> Any:
                seen = {'was': self.state.in_use, 'held': self.state.reserved}
                return self.session.execute(store, {**values, **seen})

        original = quota_usages.store
        self.useFixture(
            fixtures.MockPatchObject(
                db.quota_queries,
                'store',
                lambda session, state, *args, **more: original(
                    Session(session, state), state, *args, **more
                ),
            )
        )
        self.find()

    def test_without_a_look_at_what_is_open(self) -> None:
        original = quota_usages.look

        def look(*args: Any) -> Any:
            return {
                key: dataclasses.replace(state, first_expire=None)
                for key, state in original(*args).items()
            }

        with mock.patch.object(db.quota_queries, 'look', look):
            self.find()
