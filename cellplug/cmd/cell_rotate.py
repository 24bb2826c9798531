"""``cell rotate``: new credentials for a cell that is in use."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import TYPE_CHECKING

from cellplug import exception
from cellplug.cmd import base
from cellplug.cmd import cell
from cellplug.cmd import cell_write
from cellplug.cmd import outcome

if TYPE_CHECKING:
    from cellplug import CellMapping
    from cellplug import CellRouter
    from cellplug.cells import draining

_PATIENCE = 60.0
"""Seconds that sessions may take to end, beyond the time to follow."""

_NOTES = """\
Make the new account first, beside the old one, with the same rights; rotate;
and revoke the old one when this command says that it may be (exit code 0).
Where a server knows one password for each account alone, rotate right after
the password was changed: requests that begin in between may fail.

Waits until running processes have followed ([cells] follow_interval, which
has to be the same here and there), until calls on the former queue have had
their answers ([rpc] call_timeout), and until the database has no session of
the former account any more. In a cluster that is the server that the URL
leads to.

A URL on the command line is seen by everyone who can list processes. Pass - in
its place, and its line is read from standard input, in the order
--database-connection, --transport-url, --slave-connection; or name a file:
  $ cat new
  database_connection = mysql+pymysql://cell1_b:secret@db1/cell1
  transport_url = rabbit://cell1_b:secret@mq1:5672/cell1
  $ cellplug-manage cell rotate cell1 --from-file new

columns: name, uuid, generation, rotated (which URLs), dry_run, waited_s,
  sessions (connections of the former database accounts that are left; null
  where they cannot be told), still_used_by (where else the former credentials
  stand), revocable (true or false)"""


class Rotate(cell_write.Given):
    """Change the credentials of a cell while it is in use.

    Verifies the new connection: that it can be reached, that the database is
    this cell's, that the account may do there what the former one may. Then
    writes it, waits until nobody uses the former credentials any more, and
    says that they may be revoked. A database or a queue that is elsewhere is
    for cell update.
    """

    notes = _NOTES
    exit_codes = {  # noqa: RUF012 (typed as read-only in the base)
        outcome.DONE: 'the former credentials may be revoked; with --dry-run: '
        'the new ones would do',
        outcome.FAILED: 'refused, and nothing was written; or it was written, '
        'and the former credentials may not be revoked yet: standard error '
        'says which, and why',
    }

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The cell, its new URLs, and how long to wait."""
        parser = super().get_parser(prog_name)
        cell.add_cell(parser)
        for name, what in (
            ('database-connection', 'the database'),
            ('slave-connection', 'its replica'),
            ('transport-url', 'the message queue'),
        ):
            parser.add_argument(
                f'--{name}',
                metavar='URL',
                help=f'{what}, with the new credentials; - reads it from '
                'standard input',
            )
        parser.add_argument(
            '--from-file',
            metavar='FILE',
            help='read URLs from a file with lines such as '
            '"database_connection = URL"; - is standard input',
        )
        parser.add_argument(
            '--wait',
            metavar='SECONDS',
            type=float,
            help='how long to wait at most, counted from the switch; by '
            f'default as long as processes need to follow, and {_PATIENCE:g} '
            'seconds for the sessions that are left then',
        )
        parser.add_argument(
            '--dry-run',
            action='store_true',
            help='verify the new URLs and write nothing',
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Rotate, and wait."""
        if parsed_args.wait is not None and not 0 <= parsed_args.wait < 1e6:
            raise outcome.UsageError('--wait takes seconds, 0 or more')
        self._read_file(parsed_args)
        given = self.passed(parsed_args)
        if not given:
            raise outcome.UsageError('no new URL was passed')
        with self.router() as router:
            known = self.known(router.cells.get(parsed_args.cell))
            changed = self._differing(known, given)
            self._verify(known, changed)
            if parsed_args.dry_run:
                self.say('the new credentials would do; nothing was written')
                return base.shown(_fields(known, changed, dry_run=True))
            return self._rotate(router, known, changed, parsed_args.wait)

    def _read_file(self, parsed_args: argparse.Namespace) -> None:
        """Take the URLs of --from-file for arguments."""
        path = parsed_args.from_file
        if path is None:
            return
        try:
            text = (
                self.app.stdin.read()
                if path == '-'
                else pathlib.Path(path).read_text(encoding='utf-8')
            )
        except UnicodeError:
            # Not "from": it holds what was read.
            raise exception.InvalidInput(
                'from-file', 'is no UTF-8 text'
            ) from None
        for number, line in enumerate(text.splitlines(), 1):
            name, equals, url = (one.strip() for one in line.partition('='))
            if not name or name.startswith('#'):
                continue
            self.app.hider.learn(url)
            if not equals or name not in cell_write.STDIN_ORDER:
                known = ', '.join(cell_write.STDIN_ORDER)
                raise exception.InvalidInput(
                    'from-file',
                    f'line {number} does not begin with one of {known} and =',
                )
            if getattr(parsed_args, name) is not None:
                raise outcome.UsageError(f'{name} was passed twice')
            setattr(parsed_args, name, url)

    def _differing(
        self, known: CellMapping, given: Mapping[str, Any]
    ) -> dict[str, str]:
        """What is new of what was passed.

        :raises RefusedError: if nothing is, or it leads elsewhere.
        """
        from cellplug.cells import rotating

        changed = {
            name: url
            for name, url in given.items()
            if url != getattr(known, name)
        }
        if not changed:
            raise outcome.RefusedError(
                f'cell {known.name!r} has these URLs already; nothing was '
                'written'
            )
        if None in changed.values():
            raise outcome.UsageError(
                '--slave-connection takes a URL; cell update removes a replica'
            )
        rotating.refuse_move(known, changed)
        return changed

    def _verify(self, known: CellMapping, changed: dict[str, Any]) -> None:
        """Look at what the new URLs lead to.

        :raises RefusedError: if it will not do.
        """
        from cellplug.cells import privileges
        from cellplug.cells import rotating
        from cellplug.cells import verify

        parts = {
            'database_connection': verify.DATABASE,
            'slave_connection': verify.REPLICA,
            'transport_url': verify.QUEUE,
        }
        wanted = dataclasses.replace(known, **changed)
        for one in verify.examine(
            self.conf, wanted, parts=[parts[name] for name in changed]
        ):
            if one.error is not None:
                raise outcome.RefusedError(
                    f'{one.error}; nothing was written'
                ) from one.error
        url = changed.get('database_connection')
        if url is None:
            return
        lost = rotating.lost_privileges(self.conf, known, url)
        if lost:
            raise outcome.RefusedError(
                'the new account may do less than the former one: it lacks '
                f'{privileges.told(lost)}; nothing was written'
            )

    def _rotate(
        self,
        router: CellRouter,
        known: CellMapping,
        changed: dict[str, str],
        seconds: float | None,
    ) -> tuple[Sequence[str], Any]:
        from cellplug.cells import draining
        from cellplug.cells import rotating

        written = router.cells.update(known, **changed)
        drain = draining.Drain(self.conf, known, changed)
        if seconds is None:
            seconds = drain.needed + _PATIENCE
        self.say(
            f'written as generation {written.generation}; waiting until '
            f'nobody uses the former credentials, {seconds:g} s at most'
        )
        found = drain.wait(seconds, self._tell)
        cells = [self.known(one) for one in router.cells.list()]
        elsewhere = rotating.still_used(
            written,
            [getattr(known, name) for name in changed],
            rotating.places(self.conf, cells),
        )
        why = drain.refusal(found)
        if not why and elsewhere:
            why = f'they stand in {", ".join(elsewhere)}'
        self.exit_code = outcome.FAILED if why else outcome.DONE
        self.say(
            f'do not revoke the former credentials yet: {why}'
            if why
            else 'the former credentials may be revoked'
        )
        return base.shown(
            _fields(written, changed, found=found, elsewhere=elsewhere)
            | {'revocable': not why}
        )

    def _tell(self, progress: draining.Progress) -> None:
        if progress.sessions:
            self.say(
                f'{progress.sessions} connections to the database use the '
                f'former account ({progress.seconds:.0f} s after the switch)'
            )


def _fields(
    written: CellMapping,
    changed: Mapping[str, str],
    *,
    found: draining.Progress | None = None,
    elsewhere: Sequence[str] = (),
    dry_run: bool = False,
) -> dict[str, Any]:
    return {
        'name': written.name,
        'uuid': written.uuid,
        'generation': written.generation,
        'rotated': ', '.join(name for name in cell.URLS if name in changed),
        'dry_run': dry_run,
        'waited_s': None if found is None else round(found.seconds, 1),
        'sessions': None if found is None else found.sessions,
        'still_used_by': ', '.join(elsewhere) or None,
        'revocable': False,
    }
