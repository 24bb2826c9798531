"""Finding one's way: the list of commands, ``help`` and ``complete``."""

from __future__ import annotations

import argparse
import difflib
import inspect
import itertools
from typing import Any

from cliff import complete

from cellplug import exception
from cellplug.cmd import base
from cellplug.cmd import outcome


def overview(app: Any) -> None:
    """Print the global options and every command, by group."""
    app.parser.print_help(app.stdout)
    app.stdout.write('\ncommands:\n')
    _print_commands(app, list(app.command_manager.commands))


def _print_commands(app: Any, names: list[str]) -> None:
    width = max(len(name) for name in names)
    names = sorted(names, key=lambda name: (_group(name), name))
    blocks = [
        '\n'.join(f'  {name:<{width}}  {_about(app, name)}' for name in group)
        for _, group in itertools.groupby(names, key=_group)
    ]
    app.stdout.write('\n\n'.join(blocks) + '\n')


def _group(name: str) -> tuple[bool, str]:
    """The first word; the commands that have no second come last, as one."""
    first, blank, _ = name.partition(' ')
    return (False, first) if blank else (True, '')


def _about(app: Any, name: str) -> str:
    """The first line of a command's help; its class is imported for it."""
    try:
        factory = app.command_manager.find_command(name.split())[0]
    except exception.NotSupported as exc:
        reason = ' '.join(str(exc).split())
        return f'({app.hider.hide(reason)})'
    text: str = getattr(factory, '_description', '')
    lines = (text or inspect.getdoc(factory) or '').splitlines()
    return lines[0].rstrip('.') if lines else ''


def unknown(app: Any, argv: list[str]) -> int:
    """Say what there is instead of a command that is not there."""
    words = list(itertools.takewhile(lambda w: not w.startswith('-'), argv))
    names = sorted(app.command_manager.commands)
    group = [name for name in names if words and _group(name)[1] == words[0]]
    if group and argv[1:] in (['--help'], ['-h']):
        _print_commands(app, group)
        return outcome.DONE
    typed = ' '.join(words[:2])
    near = group or difflib.get_close_matches(typed, names, cutoff=0.5)
    hint = f'did you mean: {", ".join(near)}' if near else 'see --help'
    app.complain(f'error: no command is called {typed!r}; {hint}')
    return outcome.USAGE


class Help(base.Command):
    """Show the help of a command, or the list of all commands."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """One or more words."""
        parser = super().get_parser(prog_name)
        parser.add_argument('words', metavar='COMMAND', nargs='*')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print it."""
        words = parsed_args.words
        if not words:
            overview(self.app)
            return outcome.DONE
        try:
            found = self.app.command_manager.find_command(words)
        except LookupError:
            return unknown(self.app, [*words, '--help'])
        command = found[0](self.app, self.app_args, cmd_name=found[1])
        parser = command.get_parser(f'{self.app.NAME} {found[1]}')
        parser.print_help(self.app.stdout)
        return outcome.DONE


class Complete(base.Base, complete.CompleteCommand):
    """Print a script that completes commands in bash."""

    notes = """\
To use it in this shell, with the package bash-completion installed:
  source <(cellplug-manage complete)"""
