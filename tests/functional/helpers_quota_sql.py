"""Books kept by SQL that was written by hand: right ones, and wrong ones.

They prove that the stress sees what it is there to see.
"""

from __future__ import annotations

import uuid

import sqlalchemy as sa

from tests.functional import helpers_quota_stress as stress


def _engine(url):
    plain = {'ssl_disabled': True} if url.startswith('mysql') else {}
    return sa.create_engine(
        url, isolation_level='READ COMMITTED', connect_args=plain
    )


def make_usages(url, users):
    """The rows that a first reservation would make."""
    with _engine(url).begin() as connection:
        for user in ('', *users):
            for name in stress.LIMITS:
                connection.execute(
                    sa.text(
                        'INSERT INTO quota_usages (project_id, user_id, '
                        'resource, in_use, reserved, refresh_due, version, '
                        "created_at) VALUES ('hot', :user, :name, 0, 0, "
                        'false, 0, CURRENT_TIMESTAMP)'
                    ),
                    {'user': user, 'name': name},
                )


class RightBooks:
    """One guarded UPDATE for each usage, in one order in every path."""

    guard = 'AND in_use + reserved <= :room'
    all_or_nothing = True
    gives_back_reserved = True

    def __init__(self, url):
        self._engine = _engine(url)

    def close(self):
        self._engine.dispose()

    def owners(self, user, name):
        """Whose usages a delta changes."""
        return ('', user)

    def reserve(self, user, deltas):
        handle = str(uuid.uuid4())
        with self._engine.connect() as connection:
            for name, delta in sorted(deltas.items()):
                for owner in self.owners(user, name):
                    if not self.take(connection, owner, name, delta):
                        return None
                    self.note(connection, owner, name, delta, handle)
                if not self.all_or_nothing:
                    connection.commit()
            connection.commit()
        return handle

    def take(self, connection, owner, name, delta):
        limits = {**stress.LIMITS, **stress.USERS_LIMITS.get(owner, {})}
        held = max(0, delta)
        statement = (
            'UPDATE quota_usages SET reserved = reserved + :held '
            f'WHERE {_USAGE} {self.guard}'
        )
        values = {'owner': owner, 'name': name, 'held': held}
        values['room'] = limits[name] - held if held else _NO_LIMIT
        return connection.execute(sa.text(statement), values).rowcount

    def note(self, connection, owner, name, delta, handle):
        connection.execute(
            sa.text(
                'INSERT INTO reservations '
                '(uuid, usage_id, delta, expire, created_at) '
                'SELECT :handle, id, :delta, 1, CURRENT_TIMESTAMP '
                f'FROM quota_usages WHERE {_USAGE}'
            ),
            {'handle': handle, 'delta': delta, 'owner': owner, 'name': name},
        )

    def commit(self, user, handle):
        return self.end(handle, commit=True)

    def rollback(self, user, handle):
        self.end(handle, commit=False)

    def end(self, handle, *, commit):
        with self._engine.begin() as connection:
            rows = connection.execute(
                sa.text(
                    'SELECT usage_id, delta FROM reservations '
                    'WHERE uuid = :handle ORDER BY id FOR UPDATE'
                ),
                {'handle': handle},
            ).all()
            connection.execute(
                sa.text('DELETE FROM reservations WHERE uuid = :handle'),
                {'handle': handle},
            )
            for usage, delta in rows:
                held = max(0, delta) if self.gives_back_reserved else 0
                connection.execute(
                    sa.text(
                        'UPDATE quota_usages SET reserved = reserved - :held, '
                        'in_use = in_use + :delta WHERE id = :usage'
                    ),
                    {
                        'held': held,
                        'delta': delta if commit else 0,
                        'usage': usage,
                    },
                )
        return bool(rows)

    def open_handles(self, user):
        with self._engine.connect() as connection:
            return connection.scalars(
                sa.text(
                    'SELECT DISTINCT uuid FROM reservations JOIN quota_usages '
                    'ON quota_usages.id = usage_id WHERE user_id = :user'
                ),
                {'user': user},
            ).all()

    def expire(self):
        with self._engine.connect() as connection:
            query = sa.text('SELECT DISTINCT uuid FROM reservations')
            handles = connection.scalars(query).all()
        for handle in handles:
            self.end(handle, commit=False)


_USAGE = "project_id = 'hot' AND user_id = :owner AND resource = :name"
_NO_LIMIT = 2**60


class Unguarded(RightBooks):
    """Looks whether there is room, then takes it."""

    guard = ''

    def take(self, connection, owner, name, delta):
        limits = {**stress.LIMITS, **stress.USERS_LIMITS.get(owner, {})}
        query = f'SELECT in_use + reserved FROM quota_usages WHERE {_USAGE}'
        values = {'owner': owner, 'name': name}
        used = connection.scalar(sa.text(query), values)
        if delta > 0 and used + delta > limits[name]:
            return 0
        return super().take(connection, owner, name, delta)


class OneTooMany(RightBooks):
    """Admits what is one beyond the limit."""

    guard = 'AND in_use + reserved <= :room + 1'


class ForgetsUsers(RightBooks):
    """Keeps the books of one resource for the total alone."""

    def owners(self, user, name):
        return ('',) if name == 'ram' else ('', user)


class KeepsReserved(RightBooks):
    """Never gives back what was reserved."""

    gives_back_reserved = False


class Partial(RightBooks):
    """What it took before a refusal stays taken."""

    all_or_nothing = False


class LosesCommits(RightBooks):
    """Now and then says that it has committed, and has rolled back."""

    count = 0

    def commit(self, user, handle):
        self.count += 1
        return self.end(handle, commit=bool(self.count % 5))
