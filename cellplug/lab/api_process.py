"""An API process: does what users ask for, until it is told to stop.

``python -m cellplug.lab.api_process --config-file FILE --seed TEXT``. Its
users ask for one thing after the other, at random. It prints each request when
it begins and when it ends, so that whoever kills it knows what it was at.
"""

from __future__ import annotations

import contextlib
import random
import sys
import threading
from collections.abc import Sequence

from oslo_config import cfg

import cellplug
from cellplug import exception
from cellplug.lab import api as lab_api
from cellplug.lab import database
from cellplug.lab import errors
from cellplug.lab import flavors
from cellplug.lab import people
from cellplug.lab import processes
from cellplug.lab import worker

BEGIN = 'begin'
"""What a line begins with that names the request which begins."""

END = 'end'
"""The same where one has ended; its outcome follows."""

DELETED = 'deleted'
"""The outcome that the uuid of an instance follows."""

_BOOTS = 0.65
"""The share of boots; what is left are deletes."""

_GONE = (
    exception.InstanceMappingNotFound,
    errors.InstanceNotFound,
)


class Users:
    """Ask for one thing after the other, at random.

    :param seed: the same one gives the same choices.
    """

    def __init__(self, api: lab_api.InstanceAPI, seed: str) -> None:
        self._api = api
        self._random = random.Random(seed)

    def ask(self) -> None:
        """Make one request, and say what came of it."""
        context = cellplug.RequestContext(
            user_id=self._random.choice(people.USERS),
            project_id=people.PROJECT,
        )
        is_boot = self._random.random() < _BOOTS
        _say(BEGIN, 'boot' if is_boot else 'delete')
        try:
            outcome = self._boot(context) if is_boot else self._delete(context)
        except exception.OverQuota:
            outcome = 'refused'
        except _GONE:
            # Another one deleted it meanwhile, or it was never made.
            outcome = 'gone'
        except exception.CellplugError as exc:
            outcome = 'failed'
            print(f'{type(exc).__name__}: {exc}', file=sys.stderr, flush=True)
        _say(END, outcome)

    def _boot(self, context: cellplug.RequestContext) -> str:
        flavor = self._random.choice(flavors.FLAVORS)
        self._api.boot(context, 'vm', flavor)
        return 'booted'

    def _delete(self, context: cellplug.RequestContext) -> str:
        uuids = sorted(row['uuid'] for row in self._api.list(context))
        if not uuids:
            return self._boot(context)
        chosen = self._random.choice(uuids)
        self._api.delete(context, chosen)
        return f'{DELETED} {chosen}'


def _say(*words: str) -> None:
    print(*words, flush=True)


def _conf(argv: Sequence[str]) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    cellplug.register_opts(conf)
    conf.register_cli_opts(
        [
            cfg.StrOpt(
                'seed',
                required=True,
                help='The same one makes users choose the same.',
            ),
            cfg.BoolOpt(
                'with-workers',
                default=False,
                help='Run the workers of all cells in this process too.',
            ),
        ]
    )
    conf(
        argv,
        project='cellplug',
        prog='api_process',
        default_config_files=[],
        default_config_dirs=[],
        use_env=False,
    )
    return conf


def _work(conf: cfg.ConfigOpts, stopping: threading.Event) -> None:
    with contextlib.ExitStack() as stack:
        router = stack.enter_context(
            cellplug.CellRouter.from_conf(
                conf,
                database=database.db,
                allowed_remote_exmods=(errors.__name__,),
            )
        )
        if conf.with_workers:
            cells = [c for c in router.cells.list() if c.has_queue]
            stack.enter_context(worker.threads(router, cells))
        users = Users(lab_api.InstanceAPI(router), conf.seed)
        _say(processes.READY)
        while not stopping.is_set():
            users.ask()


def main(argv: Sequence[str] | None = None) -> int:
    """Work until standard input ends; what is under way is finished.

    :returns: the exit code.
    """
    stopping = threading.Event()
    threading.Thread(
        target=worker.wait_for_eof, args=(stopping.set,), daemon=True
    ).start()
    try:
        _work(_conf(sys.argv[1:] if argv is None else argv), stopping)
    except (exception.CellplugError, cfg.Error) as exc:
        print(f'api_process: {exc}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
