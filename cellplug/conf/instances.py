"""Options of a service's own instances, ``[instances]``."""

from __future__ import annotations

from oslo_config import cfg

_COLUMN = 'Name of the column of [instances] table that holds '


def opts() -> list[cfg.Opt]:
    """Where the service's instances are to be found in a cell."""
    return [
        cfg.StrOpt(
            'table',
            help="The service's table of instances, in each cell's database, "
            'for commands that compare mappings with rows: "instance '
            'map-all", "instance verify". "schema.table" for one that stands '
            'in another schema. All its rows count, also those that are '
            'marked as deleted. Not for a service whose package offers an '
            'entry point "cellplug.instance_source".',
        ),
        cfg.StrOpt(
            'uuid_column',
            default='uuid',
            help=f"{_COLUMN}an instance's uuid: a string, or PostgreSQL's "
            'uuid. It needs an index, best a unique one: rows are read in its '
            'order.',
        ),
        cfg.StrOpt(
            'project_column',
            default='project_id',
            help=f'{_COLUMN}the project whose instance it is.',
        ),
        cfg.StrOpt(
            'user_column',
            help=f'{_COLUMN}the user whose instance it is. By default '
            'mappings name no user.',
        ),
        cfg.StrOpt(
            'source',
            help='Name of the entry point "cellplug.instance_source" that '
            'knows the instances, instead of [instances] table. By default '
            'the one that is installed; needed where several are.',
        ),
    ]
