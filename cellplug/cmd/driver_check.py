"""``driver check``: whether a driver keeps the contract of its interface."""

from __future__ import annotations

import argparse
import json
from typing import Any
from typing import TYPE_CHECKING

from cellplug import exception
from cellplug.cmd import base
from cellplug.cmd import driver
from cellplug.cmd import outcome
from cellplug.cmd import watching
from cellplug.objects import urls

if TYPE_CHECKING:
    from cellplug.testing import conformance


class Check(base.Command):
    """Run the conformance suite of its interface against a driver.

    The driver is built with its options from the configuration. What the
    suite writes and breaks is what the driver's harness brings: by default a
    scratch database, never the one that is configured. A suite takes seconds
    to a minute. Standard error names the check that runs, on a terminal, and
    one that takes longer than a minute in any case.
    """

    patience = 60.0
    exit_codes = {  # noqa: RUF012 (typed as read-only in the base)
        outcome.DONE: 'no check failed; some may not have been run',
        outcome.FAILED: 'a check failed, see the report; or the driver cannot '
        'be loaded or built',
    }
    notes = """\
grades: complete (each check that applies passed), partial (none failed, but
  some that apply were not run: the report says why), failed.

in json: interface, driver, origin, grade, passed, failed, not_run (numbers),
  checks (name, area, outcome, detail and applies of each; a check that does
  not apply looks at something that the driver does not promise). A driver that
  cannot be built has one check, the_driver_can_be_built."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The driver, and a format."""
        parser = super().get_parser(prog_name)
        driver.add_driver(parser)
        parser.add_argument(
            '-f',
            '--format',
            choices=['table', 'json'],
            default='table',
            help='table for people (the default) or json for machines',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Run it, and print the report."""
        suites = _suites()
        interface, name = parsed_args.interface, parsed_args.name
        secrets = self._read_options(interface, name)
        with watching.Watch(self.app.stderr, self.say, self.patience) as watch:
            report: conformance.Report = suites.run(
                interface,
                name,
                conf=self.conf,
                starting=watch.starting,
            )
        document = self._document(report, secrets)
        if not report.built:
            self.say(f'error: {document["checks"][0]["detail"]}')
        if parsed_args.format == 'json':
            self.app.stdout.write(json.dumps(document, indent=2) + '\n')
        elif report.built:
            from cellplug.cmd import grading

            self.app.stdout.write(grading.text(document))
        return report.exit_code

    def _read_options(self, interface: str, name: str) -> list[str]:
        """Look at the driver's options in the configuration.

        :returns: the values of the secret ones.
        :raises ConfigurationError: if one has a value it cannot have.
        """
        from oslo_config import cfg

        from cellplug import loader

        options = loader.load_options(interface, name)
        group = f'{interface}_{name}'
        self.conf.register_opts(options, group)
        secrets = []
        for option in options:
            try:
                value = self.conf[group][option.dest]
            except cfg.Error as exc:
                why = 'it is a secret' if option.secret else str(exc)
                raise exception.ConfigurationError(
                    f'[{group}] {option.name} has a bad value: {why}'
                ) from None
            if option.secret and value:
                many = value if isinstance(value, list) else [value]
                secrets += [str(one) for one in many if one]
        return secrets

    def _document(
        self, report: conformance.Report, secrets: list[str]
    ) -> dict[str, Any]:
        """The report for machines; what a driver said shows no secret."""
        found = report.as_dict()
        for check in found['checks']:
            for secret in secrets:
                check['detail'] = check['detail'].replace(secret, urls.MASK)
            check['detail'] = self.app.hider.hide(check['detail'])
        checks = found.pop('checks')
        outcomes = [check['outcome'] for check in checks]
        return {
            **found,
            'origin': driver.origin(report.interface, report.driver),
            'passed': outcomes.count('passed'),
            'failed': outcomes.count('failed'),
            'not_run': outcomes.count('not_run'),
            'checks': checks,
        }


def _suites() -> Any:
    """The suites, which a service's own environment may lack parts of."""
    try:
        from cellplug.testing import conformance
    except ModuleNotFoundError as exc:
        if (exc.name or '').partition('.')[0] == 'cellplug':
            raise
        raise exception.NotSupported(
            f'the conformance suite needs {exc.name}; install the extra that '
            "brings it: pip install 'cellplug[testing]'"
        ) from exc
    return conformance
