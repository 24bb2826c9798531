"""Entries as memcached sees them: JSON, encrypted and authenticated.

An entry is ``version (1 byte) + key id (4) + nonce (12) + AES-GCM(JSON)``,
with the cache key as associated data: whoever can write to memcached can
neither read an entry, nor change one, nor pass one off under another key.
What does not open is a miss, whatever it is. Nothing is ever unpickled.

A cache key is ``prefix:version kind:hash``; the hash of whatever somebody
asks for is legal in memcached. Versions have keys of their own, so that
processes of two releases leave each other's entries alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives.ciphers import aead

from cellplug import exception

VERSION = b'1'
"""Of the entries' schema: another one is a miss."""

LARGEST = 1_000_000
"""Bytes; memcached takes no more than 1 MB by default."""

Entry = list[Any]
"""Kind, stamp (epoch seconds), and what the kind needs."""

_KEY_ID = 4
_NONCE = 12
_HEAD = len(VERSION) + _KEY_ID
_BODY = _HEAD + _NONCE
_HEX = re.compile(r'(?:[0-9a-fA-F]{32}){1,2}')
_PREFIX = re.compile(r'[!-~]{1,100}')
_MAKE_ONE = 'make one with: openssl rand -hex 32'
_OPTION = '[resolver_memcached] encryption_keys'


def parse_keys(texts: Sequence[str]) -> list[bytes]:
    """The keys, from what the option says.

    :raises ConfigurationError: if there is none, or one is none; the message
        holds no key.
    """
    if not texts:
        raise exception.ConfigurationError(
            f'{_OPTION} is not set: entries hold the passwords of the cells, '
            f'so they are stored encrypted or not at all; {_MAKE_ONE}'
        )
    keys = [_parse_key(n, text) for n, text in enumerate(texts, 1)]
    if len({_key_id(key) for key in keys}) != len(keys):
        raise exception.ConfigurationError(f'{_OPTION} has the same key twice')
    return keys


def _parse_key(number: int, text: str) -> bytes:
    text = text.strip()
    try:
        if _HEX.fullmatch(text):
            key = bytes.fromhex(text)
        else:
            plain = text.replace('-', '+').replace('_', '/').rstrip('=')
            plain += '=' * (-len(plain) % 4)
            key = base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError):
        key = b''
    if len(key) not in (16, 32):
        raise exception.ConfigurationError(
            f'{_OPTION}: key number {number} is neither hex nor base64 of 16 '
            f'or 32 bytes; {_MAKE_ONE}'
        )
    return key


def _key_id(key: bytes) -> bytes:
    """What tells keys apart and says nothing of them."""
    return hashlib.sha256(b'cellplug key id\0' + key).digest()[:_KEY_ID]


def check_prefix(prefix: str) -> str:
    """The prefix, if memcached can have it in a key.

    :raises ConfigurationError: if it cannot.
    """
    if not _PREFIX.fullmatch(prefix):
        # A URL that was pasted here may have a password.
        secret = '@' in prefix or '://' in prefix
        shown = 'what it is set to' if secret else repr(prefix)
        raise exception.ConfigurationError(
            f'[resolver_memcached] prefix: {shown} is not 1 to 100 '
            'printable ASCII characters without a space'
        )
    return prefix


class Keys:
    """Makes cache keys: of instances and of cells."""

    def __init__(self, prefix: str) -> None:
        self._instance = f'{prefix}:{VERSION.decode()}i:'.encode()
        self._cell = f'{prefix}:{VERSION.decode()}c:'.encode()

    def instance(self, uuid: str) -> bytes:
        """The key of an instance's entry."""
        return self._instance + _hash(uuid)

    def cell(self, uuid: str) -> bytes:
        """The key of a cell's entry."""
        return self._cell + _hash(uuid)


def _hash(name: str) -> bytes:
    data = name.encode('utf-8', 'surrogatepass')
    return hashlib.blake2b(data, digest_size=16).hexdigest().encode()


class Codec:
    """Seals with the first key, opens with each.

    :param keys: of 16 or 32 bytes.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ciphers = {_key_id(key): aead.AESGCM(key) for key in keys}
        first = _key_id(keys[0])
        self._head = VERSION + first
        self._first = self._ciphers[first]

    def seal(self, key: bytes, entry: Entry) -> bytes | None:
        """The bytes to store under this cache key; None if too many."""
        text = json.dumps(entry, separators=(',', ':')).encode()
        nonce = os.urandom(_NONCE)
        sealed = self._head + nonce + self._first.encrypt(nonce, text, key)
        return sealed if len(sealed) <= LARGEST else None

    def open(self, key: bytes, sealed: bytes) -> Entry | None:
        """The entry; None for whatever we did not seal for this key."""
        try:
            if sealed[:1] != VERSION:
                return None
            cipher = self._ciphers[sealed[1:_HEAD]]
            text = cipher.decrypt(sealed[_HEAD:_BODY], sealed[_BODY:], key)
            entry: Entry = json.loads(text.decode())
        except Exception:  # noqa: BLE001 (anybody may have written it)
            return None
        return entry
