"""The ``weighted`` placement driver: cells filled in proportion."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug import interfaces
from cellplug import objects

_GROUP = 'placement_weighted'


class WeightedPlacement(interfaces.Placement):
    """Fills cells in proportion to weights that the operator gives.

    *When it is right.* For cells of different sizes. With ``weights =
    cell1:3, cell2:1``, cell1 comes to have three times as many instances as
    cell2, and keeps to that as they come and go. A weight is a number of any
    unit: hosts, or what the cell's database can bear.

    *How it chooses.* By ``(instances + 1) / weight``: the cell that will be
    the least full with the instance in it. Nothing is left to chance; of
    cells that come out equal it takes one by a hash of the instance's uuid.

    *Cells without a weight* have ``default_weight``. A cell of weight 0 gets
    nothing new; to drain one, its state ``no_new`` says so to everybody.

    *What it costs.* One query for each placement, which reads an index entry
    for each instance there is; ``[placement] count_max_age`` makes one serve
    for several.

    A name that no cell has changes nothing: look at ``cell list``. A change
    takes a reload (SIGHUP) or a restart.
    """

    capabilities = frozenset({interfaces.PlacementCapability.COUNTS})

    @classmethod
    def options(cls) -> Sequence[cfg.Opt]:
        return [
            cfg.DictOpt(
                'weights',
                default={},
                help='The weights of cells, as CELL:NUMBER pairs, e.g. '
                'cell1:3, cell2:1. CELL is a name or a uuid, NUMBER 0 or '
                'more; of a cell with twice the weight, twice as many '
                'instances are placed.',
            ),
            cfg.FloatOpt(
                'default_weight',
                default=1.0,
                min=0,
                help='The weight of all other cells. Set it to 0 to place '
                'instances in no cell but those that have a weight.',
            ),
        ]

    @classmethod
    def check_config(cls, conf: cfg.ConfigOpts) -> Sequence[str]:
        conf.register_opts(cls.options(), _GROUP)
        try:
            _Weights(conf[_GROUP])
        except exception.ConfigurationError as exc:
            return [str(exc)]
        return []

    def __init__(self, options: Any, host: interfaces.DriverHost) -> None:
        self._host = host
        self._weights = _Weights(options)

    def rank(
        self,
        context: cellplug_context.RequestContext,
        candidates: Sequence[objects.Candidate],
        request: objects.PlacementRequest,
    ) -> list[str]:
        weights = self._weights
        weighed = [(one, weights.of(one.cell)) for one in candidates]
        fitting = [(one, weight) for one, weight in weighed if weight]
        if candidates and not fitting:
            raise exception.NoCellAvailable(
                request.instance_uuid,
                reason='every cell that is open has weight 0',
            )
        fitting.sort(key=lambda pair: ((pair[0].instances or 0) + 1) / pair[1])
        return [one.uuid for one, _ in fitting]

    def reload(self) -> None:
        """Take up other weights."""
        conf = self._host.read_config()
        conf.register_opts(self.options(), _GROUP)
        self._weights = _Weights(conf[_GROUP])

    def close(self) -> None:
        """Nothing to close."""


class _Weights:
    """The weight of each cell; never changed, only replaced."""

    def __init__(self, options: Any) -> None:
        self._known = _parsed(options.weights)
        self._default = _number('default_weight', options.default_weight)

    def of(self, cell: objects.CellMapping) -> float:
        """The cell's weight, by its uuid or its name."""
        for key in (cell.uuid, cell.name):
            if key in self._known:
                return self._known[key]
        return self._default


def _parsed(weights: Mapping[str, str]) -> dict[str, float]:
    """The weights as numbers; a uuid may be spelled in any way."""
    known = {}
    for cell, text in weights.items():
        key = cell
        with contextlib.suppress(exception.InvalidUUID):
            key = objects.canonical_uuid('cell', cell)
        known[key] = _number(f'weights: {cell}', text)
    return known


def _number(what: str, value: object) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    # Below that, a full cell's share is no number any more.
    if not math.isfinite(number) or number < 0 or 0 < number < 1e-9:
        raise exception.ConfigurationError(
            f'[{_GROUP}] {what}: {value!r} is no weight; give 0, or a number '
            'from 1e-9 on'
        )
    return number
