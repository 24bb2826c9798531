"""Private servers for tests: MariaDB, PostgreSQL, RabbitMQ and memcached.

Each server listens on loopback, on ports of its own, keeps its data in a
temporary directory, and leaves nothing behind: no process, no directory, no
shared memory, even if the process that started it is killed. It runs as an
ordinary user as well as for root, who drops to the system user that the
server's package made. ::

    with services.PostgreSQL() as server:
        url = server.create_database('cell1')

The same from a shell, for a whole test run::

    python -m cellplug.testing.services --mariadb --rabbitmq -- stestr run

:class:`~cellplug.testing.services.galera.Galera` is three MariaDBs that
replicate to each other. It takes longer to start, so it is there only for
who asks for it by name.

The servers keep what a server promises: what was committed survives
:meth:`~cellplug.testing.services.base.Service.kill`. Only what guards against
a power cut (fsync) is off.
"""

from cellplug.testing.services.base import Service
from cellplug.testing.services.base import ServiceError
from cellplug.testing.services.base import ServiceUnavailable
from cellplug.testing.services.galera import Galera
from cellplug.testing.services.mariadb import MariaDB
from cellplug.testing.services.memcached import Memcached
from cellplug.testing.services.postgresql import PostgreSQL
from cellplug.testing.services.rabbitmq import RabbitMQ
from cellplug.testing.services.shared import services_required
from cellplug.testing.services.shared import shared_url
from cellplug.testing.services.startable import Startable

SERVICES: tuple[type[Service], ...] = (
    MariaDB,
    PostgreSQL,
    RabbitMQ,
    Memcached,
)
"""What is started where nothing is named."""

ON_REQUEST: tuple[type[Startable], ...] = (Galera,)
"""What is started only where it is named."""

__all__ = [
    'ON_REQUEST',
    'SERVICES',
    'Galera',
    'MariaDB',
    'Memcached',
    'PostgreSQL',
    'RabbitMQ',
    'Service',
    'ServiceError',
    'ServiceUnavailable',
    'Startable',
    'services_required',
    'shared_url',
]
