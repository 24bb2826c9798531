"""Keeping the secrets of URLs out of whatever is said about an error.

cellplug's own messages hold none. But a backend's driver may quote what it
could not parse, argparse quotes what it does not know, and a traceback quotes
both. So everything that goes to standard error goes through a :class:`Hider`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Iterator
from urllib import parse

from cellplug.objects import urls

_URL = re.compile(r'[A-Za-z][A-Za-z0-9+._-]*://(?:[^\n]*@)?[^\s\'"]*')
"""Up to the last @ of the line: a password may hold any character."""

_NO_HOST = re.compile(r'[^/:?]*:(?!\d+(?:[/?]|\Z))')
"""``user:password`` whose ``@host`` is missing."""

_SHORTEST = 4
"""Shorter pieces of a password are part of too many words."""

_WORDS = frozenset({'cellplug', 'manage'})
"""Not hidden alone: they stand in what the messages tell people to type."""


class Hider:
    """Replaces URLs, and the secrets of those it has learnt, by ``***``."""

    def __init__(self) -> None:
        self._whole: dict[str, str] = {}
        self._pieces: set[str] = set()

    def learn(self, *texts: str | None) -> None:
        """Take note of URLs; what is none is passed over."""
        for url in texts:
            if not url or '://' not in url:
                continue
            self._whole[url] = _shown(url)
            self._pieces |= set(_pieces(url)) - _WORDS

    def hide(self, text: str) -> str:
        """The text without secrets."""
        for url in sorted(self._whole, key=len, reverse=True):
            text = text.replace(url, self._whole[url])
        text = _URL.sub(lambda match: _shown(match[0]), text)
        for piece in sorted(self._pieces, key=len, reverse=True):
            text = re.sub(rf'(?<!\w){re.escape(piece)}(?!\w)', urls.MASK, text)
        return text


def _shown(url: str) -> str:
    scheme, _, rest = url.partition('://')
    if '@' not in rest and _NO_HOST.match(rest):
        return f'{scheme}://{urls.MASK}'
    return urls.mask(url)


def _pieces(url: str) -> Iterator[str]:
    """What of a URL is secret, also as a parser takes it apart wrongly."""
    rest = url.partition('://')[2]
    credentials, at, _ = rest.rpartition('@')
    if not at and _NO_HOST.match(rest):
        credentials = rest
    secrets = [
        one.rpartition('@')[0].partition(':')[2] or one.partition(':')[2]
        for one in f'{credentials}@'.split(',')
    ]
    secrets.append(credentials.partition(':')[2])
    secrets += [
        pair.partition('=')[2]
        for pair in rest.partition('?')[2].split('&')
        if urls.MASK in urls.mask(f'x://h/?{pair}')
    ]
    yield from _long_enough(secrets)


def _long_enough(secrets: Iterable[str]) -> Iterator[str]:
    for secret in secrets:
        for form in (secret, parse.unquote(secret)):
            for piece in (form, *re.split(r'[/@?#,:;\s]', form)):
                if len(piece) >= _SHORTEST:
                    yield piece
