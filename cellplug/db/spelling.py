"""Connection URLs as engines want them."""

from __future__ import annotations


def spelled(url: str) -> str:
    """The URL as oslo.db knows it: it has no name of its own for MariaDB.

    Under ``mariadb+`` it would take no deadlock or duplicate for what it is.
    """
    rest = url.removeprefix('mariadb+')
    return url if rest == url else f'mysql+{rest}'


def parameters(url: str) -> str | None:
    """What is appended to the URL's query: four-byte UTF-8 on MySQL."""
    if url.startswith(('mysql', 'mariadb')) and 'charset=' not in url:
        return 'charset=utf8mb4'
    return None
