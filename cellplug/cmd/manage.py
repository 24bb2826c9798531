"""The console script ``cellplug-manage``."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code.

    :param argv: the arguments; those of the process by default.
    """
    try:
        # Imported here, so that Ctrl-C ends quietly during the imports too.
        from cellplug.cmd import app

        return app.main(argv)
    except KeyboardInterrupt:
        return 130


if __name__ == '__main__':
    sys.exit(main())
