"""Who sends the lab's requests."""

from __future__ import annotations

PROJECT = 'lab'

USER = 'demo'
"""Has no limits of its own: those of the project hold."""

GUEST = 'guest'
"""Has a limit of its own, below the project's."""

USERS = (USER, GUEST)
