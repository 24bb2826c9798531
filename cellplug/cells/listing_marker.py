"""How far a sorted list was read, in each cell, and the marker that says so.

All cells are read up to one row, the last that was given out; where the next
page begins is therefore one set of sort values. Of a cell that was absent, or
came back and has rows left that sort before that, the marker remembers its
own.

A marker is text for a URL: a version, and JSON in base64 behind a checksum.
It holds sort values and uuids of cells, nothing else; whoever makes one up
gets a page that begins elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime
import decimal
import json
import uuid
import zlib
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import Final

from cellplug import exception
from cellplug.cells import listing_order

Values = listing_order.Values

_VERSION = 'c1.'

_NONSENSE = (
    ArithmeticError,
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
)
"""What comes of values that no marker has."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a list goes on.

    :ivar after: the sort values after which cells are read; None for their
        beginning.
    :ivar behind: the same of each cell that was not read so far, by uuid.
    """

    after: Values | None = None
    behind: Mapping[str, Values | None] = dataclasses.field(
        default_factory=dict
    )

    def of(self, cell_uuid: str) -> Values | None:
        """The sort values after which this cell is to be read."""
        return self.behind.get(cell_uuid, self.after)


def encode(order: listing_order.Order, place: Place) -> str:
    """The marker of a place in a list of that order."""
    groups: dict[str, tuple[Any, bytearray]] = {}
    for cell_uuid, values in place.behind.items():
        packed = _packed(values)
        group = groups.setdefault(json.dumps(packed), (packed, bytearray()))
        group[1].extend(uuid.UUID(cell_uuid).bytes)
    content = {
        'o': [*order.names, *order.directions],
        'a': _packed(place.after),
        'b': [[packed, _text(cells)] for packed, cells in groups.values()],
    }
    data = json.dumps(content, separators=(',', ':')).encode()
    return _VERSION + _text(zlib.crc32(data).to_bytes(4, 'big') + data)


def decode(order: listing_order.Order, marker: Any) -> Place:
    """The place that a marker means.

    :raises InvalidInput: if it is none, or one of a list in another order.
    """
    content = _content(marker)
    names = [*order.names, *order.directions]
    if content['o'] != names:
        raise exception.InvalidInput(
            'marker', f'is of a list that is not sorted by {order}'
        )
    try:
        return Place(
            _unpacked(content['a'], order), dict(_behind(content['b'], order))
        )
    except _NONSENSE as exc:
        raise _garbage() from exc


def _content(marker: Any) -> Mapping[str, Any]:
    if not isinstance(marker, str) or not marker.startswith(_VERSION):
        raise _garbage()
    try:
        data = _bytes(marker.removeprefix(_VERSION))
        if zlib.crc32(data[4:]).to_bytes(4, 'big') != data[:4]:
            raise _garbage()
        content = json.loads(data[4:])
    except (binascii.Error, ValueError, RecursionError) as exc:
        raise _garbage() from exc
    if not isinstance(content, dict) or content.keys() != {'o', 'a', 'b'}:
        raise _garbage()
    return content


def _garbage() -> exception.InvalidInput:
    return exception.InvalidInput(
        'marker', 'is neither an instance uuid nor what a page gave'
    )


def _behind(
    groups: Any, order: listing_order.Order
) -> Iterator[tuple[str, Values | None]]:
    for packed, cells in groups:
        values, data = _unpacked(packed, order), _bytes(cells)
        for start in range(0, len(data), 16):
            yield str(uuid.UUID(bytes=data[start : start + 16])), values


def _text(data: bytes | bytearray) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip('=')


def _bytes(text: str) -> bytes:
    padded = text.encode('ascii') + b'=' * (-len(text) % 4)
    return base64.b64decode(padded, altchars=b'-_', validate=True)


def _packed(values: Values | None) -> list[Any] | None:
    return None if values is None else [_pack(value) for value in values]


def _unpacked(packed: Any, order: listing_order.Order) -> Values | None:
    if packed is None:
        return None
    values = tuple(_unpack(value) for value in packed)
    # They must have an order, and be as many as the keys.
    order.key(values)
    return values


def _seconds(value: datetime.timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


_PACK: Final[
    tuple[tuple[str, type, Callable[[Any], Any], Callable[[Any], Any]], ...]
] = (
    ('t', datetime.datetime, datetime.datetime.isoformat,
     datetime.datetime.fromisoformat),
    ('d', datetime.date, datetime.date.isoformat,
     datetime.date.fromisoformat),
    ('h', datetime.time, datetime.time.isoformat,
     datetime.time.fromisoformat),
    ('s', datetime.timedelta, _seconds,
     lambda packed: datetime.timedelta(*packed)),
    ('n', decimal.Decimal, str, decimal.Decimal),
    ('b', bytes, _text, _bytes),
    ('u', uuid.UUID, str, uuid.UUID),
)  # fmt: skip
"""What JSON has no form for: tag, type, to JSON, and back."""


def _pack(value: Any) -> Any:
    for tag, kind, pack, _ in _PACK:
        if isinstance(value, kind):
            return {tag: pack(value)}
    return value


def _unpack(packed: Any) -> Any:
    if not isinstance(packed, dict):
        return packed
    ((tag, content),) = packed.items()
    for known, _, _, unpack in _PACK:
        if known == tag:
            return unpack(content)
    raise ValueError(tag)
