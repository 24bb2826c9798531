"""The options of the ``static`` resolver, and of each of its cells."""

from __future__ import annotations

from oslo_config import cfg

from cellplug import objects

GROUP = 'resolver_static'
PREFIX = 'cell_'
"""What the names of the cells' groups begin with."""

DATABASE = 'database'
RULES = 'rules'


def own() -> list[cfg.Opt]:
    """``[resolver_static]``."""
    return [
        cfg.ListOpt(
            'cells',
            help='The names of all cells, cell0 included. Unset: the '
            'resolver refuses the configuration. Each cell has a group of '
            'its own, [cell_<name>], e.g. [cell_east] for the cell east, '
            'with these options:\n'
            '  uuid = 4f1d0a2e-5c55-4b0e-9b6e-0d8a7c3e2f10\n'
            '  database_connection = mysql+pymysql://user:password@db1/east\n'
            '  slave_connection = (a replica for readers; may be left out)\n'
            '  transport_url = rabbit://user:password@mq1:5672/east\n'
            '  state = enabled (the default), no_new, read_only or disabled\n'
            'cell0 has the uuid 00000000-0000-0000-0000-000000000000 and '
            'transport_url = none:///. A $ in a password is written $$. '
            '"cellplug-manage config validate" checks all of it.',
        ),
        cfg.StrOpt(
            'instances',
            default=DATABASE,
            choices=[
                (DATABASE, 'by the mappings in the API database'),
                (RULES, 'by projects and default_cell; no API database'),
            ],
            help='How the cell of an instance is found. A change takes a '
            'restart.',
        ),
        cfg.DictOpt(
            'projects',
            default={},
            help='With instances = rules: the cell of all instances of a '
            'project, as PROJECT:CELL pairs, e.g. 3fb1c2:east, 9d07aa:west.',
        ),
        cfg.StrOpt(
            'default_cell',
            help='With instances = rules: the cell of the instances of all '
            'other projects. Unset: they are in no cell.',
        ),
    ]


def of_cell() -> list[cfg.Opt]:
    """``[cell_<name>]``."""
    return [
        cfg.StrOpt('uuid'),
        cfg.StrOpt('database_connection', secret=True),
        cfg.StrOpt('slave_connection', secret=True),
        cfg.StrOpt('transport_url', secret=True),
        cfg.StrOpt('state', default=str(objects.CellState.ENABLED)),
    ]
