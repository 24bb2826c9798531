"""What an account may do with the tables of a database, as it finds itself."""

from __future__ import annotations

import sqlalchemy as sa
from oslo_db import exception as oslo_exception

# EXPLAIN asks for the privileges and does nothing, no trigger included.
_MYSQL = {
    'SELECT': 'EXPLAIN SELECT * FROM {table} WHERE 1 = 0',
    'INSERT': 'EXPLAIN INSERT INTO {table} SELECT * FROM {table} WHERE 1 = 0',
    'UPDATE': 'EXPLAIN UPDATE {table} SET {column} = {column} WHERE 1 = 0',
    'DELETE': 'EXPLAIN DELETE FROM {table} WHERE 1 = 0',
}
_MYSQL_TABLES = """
SELECT c.table_name, MIN(c.column_name)
FROM information_schema.columns c JOIN information_schema.tables t
  ON t.table_schema = c.table_schema AND t.table_name = c.table_name
WHERE c.table_schema = DATABASE() AND t.table_type = 'BASE TABLE'
GROUP BY c.table_name
"""
_POSTGRESQL = """
SELECT c.relname, p.name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
  unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p (name)
WHERE c.relkind IN ('r', 'p') AND n.nspname = current_schema()
  AND has_table_privilege(c.oid, p.name)
UNION ALL
SELECT c.relname, 'USAGE'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND CASE
  WHEN c.relkind = 'S' THEN has_sequence_privilege(c.oid, 'USAGE')
END
"""


def held(connection: sa.Connection) -> set[tuple[str, str]]:
    """What this connection's account may do: tables, and what with each.

    Sequences too, on PostgreSQL. Nothing for sqlite, which has no accounts.
    Changes nothing, and holds no lock when it returns.
    """
    name = connection.dialect.name
    if name == 'postgresql':
        rows = connection.execute(sa.text(_POSTGRESQL))
        return {(str(table), str(what)) for table, what in rows}
    if name in ('mysql', 'mariadb'):
        return _held_mysql(connection)
    return set()


def _held_mysql(connection: sa.Connection) -> set[tuple[str, str]]:
    quote = connection.dialect.identifier_preparer.quote_identifier
    found = set()
    for table, column in connection.execute(sa.text(_MYSQL_TABLES)).all():
        names = {'table': quote(table), 'column': quote(column)}
        for what, statement in _MYSQL.items():
            try:
                connection.exec_driver_sql(
                    statement.format(**names).replace('%', '%%')
                )
            except oslo_exception.DBConnectionError:
                raise
            except (sa.exc.DBAPIError, oslo_exception.DBError):
                continue
            found.add((str(table), what))
    return found


def told(lost: set[tuple[str, str]], most: int = 4) -> str:
    """Privileges for people: ``DELETE on note``, a few of them."""
    shown = [f'{what} on {table}' for table, what in sorted(lost)]
    rest = len(shown) - most
    text = ', '.join(shown[:most])
    return f'{text} and {rest} more' if rest > 0 else text
