"""What the commands of ``quota`` are told."""

from __future__ import annotations

import argparse
import re
from typing import Any

from cellplug import exception
from cellplug.cmd import outcome
from cellplug.objects import identifiers
from cellplug.objects import quota

_ASSIGNMENT = re.compile(r'([^=]+)=(.*)', re.DOTALL)
_INTEGER = re.compile(r'([+-]?)0*([0-9]+)', re.ASCII)
_UNLIMITED = 'unlimited'
DRY_RUN = 'dry run: nothing was written'
_DIGITS = 30
"""A number of more digits is beyond every limit, and slow to read."""


def add_id(
    parser: argparse.ArgumentParser, *names: str, **options: Any
) -> None:
    """An argument that is the id of a project, a user or a class."""
    parser.add_argument(*names, type=_id, **options)


def _id(text: str) -> str:
    try:
        return identifiers.check_id('id', text)
    except exception.InvalidInput as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def add_project(parser: argparse.ArgumentParser, user_help: str) -> None:
    """Whose quota it is: a project's, or one of its users'."""
    add_id(parser, '--project', required=True, help='the project, by its id')
    add_id(parser, '--user', help=user_help)


def add_class_option(parser: argparse.ArgumentParser) -> None:
    """The quota class, which only requests know of a project."""
    add_id(
        parser,
        '--class',
        dest='quota_class',
        metavar='CLASS',
        help='the quota class of the project, which its requests carry: '
        'limits that neither the user nor the project has come from it. '
        'Without it, they come from the class "default"',
    )


def add_class(parser: argparse.ArgumentParser) -> None:
    """The argument that names a quota class."""
    add_id(
        parser,
        'quota_class',
        metavar='CLASS',
        help='a quota class, matched exactly; "default" holds for every '
        'project',
    )


def add_resources(
    parser: argparse.ArgumentParser, text: str, *, many: str = '+'
) -> None:
    """Names of resources."""
    parser.add_argument('resources', metavar='RESOURCE', nargs=many, help=text)


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Resources with their new limits."""
    parser.add_argument(
        'limits',
        metavar='RESOURCE=LIMIT',
        nargs='+',
        type=_assignment,
        help='a resource and its limit, in units of the resource; -1 or '
        'unlimited for no limit',
    )


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """Whether to write."""
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='check everything and show what would change; write nothing',
    )


def limits(parsed_args: argparse.Namespace) -> dict[str, int]:
    """What was assigned, by resource.

    :raises UsageError: if a resource stands there twice.
    :raises RefusedError: for a limit that no table holds.
    """
    found: dict[str, int] = {}
    for resource, limit in parsed_args.limits:
        if resource in found:
            raise outcome.UsageError(f'{resource} is given two limits')
        found[resource] = limit
    for resource, limit in found.items():
        if not quota.UNLIMITED <= limit <= quota.MAX_LIMIT:
            raise outcome.RefusedError(
                f'{resource}: a limit is at least 0 and at most '
                f'{quota.MAX_LIMIT}, or {quota.UNLIMITED} for no limit; '
                'nothing was written'
            )
    return found


def _assignment(text: str) -> tuple[str, int]:
    match = _ASSIGNMENT.fullmatch(text)
    if not match:
        raise argparse.ArgumentTypeError(f'{text!a} is not RESOURCE=LIMIT')
    resource, limit = match.groups()
    if limit == _UNLIMITED:
        return resource, quota.UNLIMITED
    integer = _INTEGER.fullmatch(limit)
    if not integer:
        raise argparse.ArgumentTypeError(
            f'{resource}: {limit!a} is neither an integer nor "{_UNLIMITED}"'
        )
    sign, digits = integer.groups()
    return resource, int(sign + digits[:_DIGITS])
