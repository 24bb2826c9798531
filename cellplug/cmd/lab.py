"""``lab``: a whole deployment on this machine."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import signal
import threading
from collections.abc import Iterator
from typing import Any

from cellplug import exception
from cellplug.cmd import base
from cellplug.cmd import lab_options
from cellplug.cmd import outcome


class _Lab(base.Command):
    """What the commands have in common."""

    exit_codes = {  # noqa: RUF012 (as in the base class)
        outcome.DONE: 'every instance lies where its mapping says, and every '
        'quota counts what is there',
        outcome.FAILED: 'one does not, or the lab could not run to its end',
    }

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The parser, with the choice of a format."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '-f',
            '--format',
            choices=['table', 'json'],
            default='table',
            help='table for people (the default) or json for machines',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Do it; Ctrl-C ends everything that was started."""
        if importlib.util.find_spec('rich') is None:
            raise exception.NotSupported(
                "the lab needs rich; install it with: pip install 'rich>=13'"
            )
        try:
            with _interruptible():
                return self.work(parsed_args)
        except BaseException as exc:
            if not outcome.was_interrupted(exc):
                raise
            self.say('interrupted; all that was started has ended')
            return outcome.INTERRUPTED

    def work(self, parsed_args: argparse.Namespace) -> int:
        """Do it; the exit code."""
        raise NotImplementedError

    def print_json(self, document: dict[str, Any]) -> None:
        """Print the one document for machines."""
        self.app.stdout.write(json.dumps(document, indent=2) + '\n')


class LabRun(_Lab):
    """Run a whole deployment on this machine and show where requests go.

    An API database, cell0 and N cells, an example service with a worker for
    each cell, and a stream of requests, some of which are over quota.
    Afterwards every database is opened once more, by itself, to check that
    each instance lies in the cell that its mapping says, and that each
    quota's usage is what all cells hold together.

    By default the databases are SQLite files and messages stay within this
    process: nothing needs to be installed, and nothing is left behind.
    """

    notes = """\
examples:
  cellplug-manage lab run --directory /tmp/lab
  cellplug-manage lab run --real --cells 5
  cellplug-manage lab run --crash --seed 7
  cellplug-manage lab run --break cell2=hang
  cellplug-manage lab run --real --break cell1=slow,cell3=refuse
  cellplug-manage lab run \\
      --database-connection 'mysql+pymysql://user:password@host/lab_{cell}' \\
      --transport-url 'rabbit://user:password@host/lab_{cell}'

{cell} stands for api, cell0, cell1 and so on; it is the only field. The
databases and the vhosts (of cell1 and so on) must exist. What a former run
left in them, or in the directory, is continued: its cells stay, and new
instances are added.

With --config-file FILE, the drivers are those that FILE chooses, by
[resolver] driver, [transport_cache] driver, [quota] driver and [placement]
driver, with their options. The lab takes no database, queue or cell from
FILE. With the quota driver noop everything is unlimited, and there are no
books to check.

With --crash, users ask three API processes to boot and delete at random,
while processes are killed with -9 and started anew. With --real or servers
of your own, API processes and workers are killed in turn. On SQLite files,
messages do not leave a process: each API process has the workers in it, and
both die together. Then everything ends; what was left behind is shown,
reservations are expired (by a clock that is put forward), usages are counted
anew, and the books are shown before and after.

With --break, users ask each cell and all cells together, without a pause, in
three parts of --seconds each: all is calm, the cells named are broken, they
are healed. Kinds of breaking:
  hang      accepts connections, never answers
  slow      each answer is late by half a second
  refuse    nobody listens any more
  readonly  the database takes no writes
  garbage   answers with what is no answer
On a terminal one can watch the breakers of the cells open, probe and close.
It fails if a cell that was whole is harmed, or one that was healed is not
asked again. With --real, a TCP proxy before the database and the queue of the
cell breaks; on SQLite files, the opening of the cell's file does."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The parser, with what the deployment is made of."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--cells',
            type=int,
            metavar='N',
            help='cells beside cell0, 1 to 30 (default: 3, or as many as '
            'the former lab in the directory has)',
        )
        parser.add_argument(
            '--instances',
            type=int,
            default=30,
            metavar='N',
            help='instances to boot, 1 to 100000 (default: 30), which is '
            'what the quota admits; one more fits into no cell and goes to '
            'cell0. With --crash: instances that there may be at a time; '
            'with --break: beside two for each cell',
        )
        parser.add_argument(
            '--directory',
            metavar='DIR',
            help='keep everything here, to look at it with the other '
            'commands: a directory that is empty, or to be made, or a former '
            "lab's, which is continued (default: a temporary one)",
        )
        lab_options.add_servers(parser)
        lab_options.add_crash(parser)
        lab_options.add_break(parser)
        return parser

    def work(self, parsed_args: argparse.Namespace) -> int:
        """Run it, and print the report."""
        from cellplug.lab import errors
        from cellplug.lab import progress
        from cellplug.lab import run
        from cellplug.lab import screen
        from cellplug.lab import settings

        wanted = settings.Settings(
            cells=parsed_args.cells,
            instances=parsed_args.instances,
            directory=parsed_args.directory,
            real=parsed_args.real,
            crash=parsed_args.crash,
            seed=parsed_args.seed,
            breaks=tuple(parsed_args.breaks),
            seconds=parsed_args.seconds,
            config_files=tuple(self.app.options.config_file),
            config_dirs=tuple(self.app.options.config_dir),
            database_template=parsed_args.database_connection,
            transport_template=parsed_args.transport_url,
        )
        try:
            with progress.shown_on(self.app.stderr) as shown:
                report = run.run(wanted, shown)
        except errors.LabUsageError as exc:
            raise outcome.UsageError(str(exc)) from exc
        if parsed_args.format == 'json':
            self.print_json(report.document())
        else:
            screen.show(report, self.app.stdout)
            # Of breakers that open, the story tells.
            for line in () if report.story else report.warnings:
                self.app.stderr.write(f'warning: {line}\n')
        return outcome.DONE if report.check.holds else outcome.FAILED


class LabCheck(_Lab):
    """Check a kept lab: whether each instance lies where its mapping says.

    And whether each quota's usage is what all cells hold together, with
    nothing reserved. Every database is opened by itself, with SQLAlchemy
    alone.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The parser, with the directory."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'directory',
            metavar='DIR',
            help='what was given to "lab run --directory"',
        )
        return parser

    def work(self, parsed_args: argparse.Namespace) -> int:
        """Check it, and print the outcome."""
        from cellplug.lab import report
        from cellplug.lab import run
        from cellplug.lab import screen

        found = run.check(parsed_args.directory)
        if parsed_args.format == 'json':
            self.print_json(report.check_document(found))
        else:
            screen.show_check(found, self.app.stdout)
        return outcome.DONE if found.holds else outcome.FAILED


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Turn the first signal that asks to end into KeyboardInterrupt.

    Later ones are ignored: ending what was started takes seconds, and is
    bounded.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = [
        signum
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        # nohup, for one, ignores on purpose.
        if signal.getsignal(signum) != signal.SIG_IGN
    ]

    def interrupt(*_: object) -> None:
        for signum in signals:
            signal.signal(signum, signal.SIG_IGN)
        raise KeyboardInterrupt

    former = {signum: signal.signal(signum, interrupt) for signum in signals}
    try:
        yield
    finally:
        for signum, handler in former.items():
            signal.signal(signum, handler)
