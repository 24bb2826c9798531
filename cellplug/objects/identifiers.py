"""Uuids and names as they are stored: canonical, and never confused."""

from __future__ import annotations

import re
import uuid

from cellplug import exception

CELL0_UUID = '00000000-0000-0000-0000-000000000000'
"""The home of what could never be placed; it has no message queue."""

_CANONICAL = re.compile(
    r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z'
)
_UUID_LIKE = re.compile(
    r'\{?[0-9A-Fa-f]{8}(-?[0-9A-Fa-f]{4}){3}-?'
    r'[0-9A-Fa-f]{12}\}?\Z'
)
NAME_LENGTH = 255


def canonical_uuid(name: str, value: object) -> str:
    """The uuid in lower case with dashes.

    :param name: the argument's name, for the message.
    :param value: a string or :class:`uuid.UUID`.
    :raises InvalidUUID: for anything that is no uuid.
    """
    if isinstance(value, str) and _CANONICAL.match(value):
        return value
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, str) and _UUID_LIKE.match(value):
        return str(uuid.UUID(value))
    raise exception.InvalidUUID(name, f'{value!r} is no uuid')


def is_uuid_like(value: str) -> bool:
    """Whether a string could be taken for a uuid."""
    return bool(_UUID_LIKE.match(value))


def new_uuid() -> str:
    """A random uuid in canonical form."""
    return str(uuid.uuid4())


def check_id(name: str, value: object) -> str:
    """Return a project's or user's id if it can be stored.

    :param name: the argument's name, for the message.
    :raises InvalidInput: unless it has 1 to 255 printable characters.
    """
    if not isinstance(value, str) or not value:
        raise exception.InvalidInput(name, 'must be a string, not empty')
    if len(value) > NAME_LENGTH:
        raise exception.InvalidInput(
            name, f'is longer than {NAME_LENGTH} characters'
        )
    if not value.isprintable():
        raise exception.InvalidInput(
            name, f'{value!a} has unprintable characters'
        )
    return value


def check_cell_name(value: object) -> str:
    """Return the name if a cell may have it.

    1 to 255 printable characters, no blanks around it, and nothing that
    looks like a uuid: a cell is named by either, and matched exactly.
    """
    if not isinstance(value, str) or not value:
        raise exception.InvalidInput('name', 'a cell needs a name')
    if len(value) > NAME_LENGTH:
        raise exception.InvalidInput(
            'name', f'is longer than {NAME_LENGTH} characters'
        )
    if value != value.strip() or not value.isprintable():
        raise exception.InvalidInput(
            'name', f'{value!r} has blanks around it or unprintable characters'
        )
    if is_uuid_like(value):
        raise exception.InvalidInput(
            'name', f'{value!r} looks like a uuid; cells are named by either'
        )
    return value
