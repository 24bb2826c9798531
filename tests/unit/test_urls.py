"""Connection URLs: what is accepted, what is one and the same, what shows."""

import testtools

from cellplug import exception
from cellplug.objects import urls

SECRETS = ('hunter2', 'hunter/2', 'hunter@2', 'hun?ter2', 'h#2', 'h:2', '100%')


class TestDatabaseURLs(testtools.TestCase):
    def test_accepted(self):
        for url in (
            'sqlite:////var/lib/cell1.sqlite',
            'sqlite:///cell1.sqlite',
            'mysql+pymysql://u:p@h/cell1',
            'mysql+pymysql://u:p@h:3307/cell1?charset=utf8mb4',
            'mariadb+pymysql://u@[::1]:3306/cell1',
            'mysql+pymysql://u:p@/cell1?unix_socket=/run/mysqld.sock',
            'postgresql+psycopg://u:p@h/cell1',
            'postgresql+psycopg2:///cell1?host=/run/postgresql',
            'postgresql+psycopg://u:p%2F@h/cell1',
            'mysql+pymysql://u:p/q@h/cell1',
        ):
            self.assertEqual(url, urls.check_database('x', url))

    def test_refused_by_the_arguments_name_and_without_the_secret(self):
        for url in (
            '',
            '   ',
            'hunter2',
            ' sqlite:///x',
            'sqlite:///x\n',
            'sqlite://',
            'sqlite:///',
            'sqlite:///:memory:',
            'mysql://u:hunter2@h/x',
            'postgresql://u:hunter2@h/x',
            'oracle://u:hunter2@h/x',
            'rabbit://u:hunter2@h/x',
            'mysql+pymysql://u:hunter2@/x',
            'mysql+pymysql://u:hunter2@h',
            'mysql+pymysql://u:hunter2@h/',
            'mysql+pymysql://u:hunter2@h:port/x',
            'mysql+pymysql://u:hunter2@h:70000/x',
        ):
            error = self.assertRaises(
                exception.InvalidURL, urls.check_database, 'connection', url
            )
            self.assertEqual('connection', error.name)
            self.assertNotIn('hunter2', str(error))

    def test_missing_driver_names_the_one_to_use(self):
        for scheme, driver in (
            ('mysql', 'mysql+pymysql'),
            ('mariadb', 'mysql+pymysql'),
            ('postgresql', 'postgresql+psycopg'),
        ):
            error = self.assertRaises(
                exception.InvalidURL,
                urls.check_database,
                'x',
                f'{scheme}://u:p@h/x',
            )
            self.assertIn(driver, str(error))


class TestTransportURLs(testtools.TestCase):
    def test_accepted(self):
        for url in (
            'rabbit://u:p@h:5672/vhost',
            'rabbit://u:p@h1:5672,u:p@h2:5673/',
            'rabbit://u:p@[::1]/',
            'kafka://h1:9092,h2:9092/',
            'fake:///cell1',
            'kombu+memory:///x',
            'none:///',
        ):
            self.assertEqual(url, urls.check_transport('x', url))

    def test_refused_without_the_secret(self):
        for url in (
            '',
            'http://u:hunter2@h/',
            'rabbit://u:hunter2@/',
            'rabbit://u:hunter2@h:x/',
            'rabbit://u:hunter2@h1:5672,u:hunter2@h2:x/',
            'rabbit:hunter2',
        ):
            error = self.assertRaises(
                exception.InvalidURL, urls.check_transport, 'transport', url
            )
            self.assertNotIn('hunter2', str(error))

    def test_none_has_no_queue(self):
        self.assertFalse(urls.has_queue('none:///'))
        self.assertFalse(urls.has_queue('NONE:///'))
        self.assertTrue(urls.has_queue('fake:///'))
        self.assertIsNone(urls.transport_digest('none:///'))


class TestMask(testtools.TestCase):
    def test_no_secret_shows_whatever_characters_it_has(self):
        for secret in SECRETS:
            for url in (
                f'mysql+pymysql://user:{secret}@host:3306/cell1?charset=utf8',
                f'rabbit://user:{secret}@h1:1,user:{secret}@h2:2/vhost',
                f'mysql+pymysql://host/x?password={secret}&charset=utf8',
                f'mysql+pymysql://host/x?ssl_key_password={secret}',
            ):
                masked = urls.mask(url)
                self.assertNotIn(secret, masked, url)
                self.assertNotIn('user', masked)
                self.assertIn('***', masked)

    def test_what_is_no_secret_stays(self):
        self.assertEqual(
            'mysql+pymysql://***:***@host:3306/cell1?charset=utf8mb4',
            urls.mask('mysql+pymysql://u:p@host:3306/cell1?charset=utf8mb4'),
        )
        self.assertEqual('sqlite:////a@b/c', urls.mask('sqlite:////a@b/c'))
        self.assertEqual('none:///', urls.mask('none:///'))

    def test_never_raises(self):
        for url in (None, '', 'x', 'mysql:hunter2', '://hunter2', '\x00'):
            self.assertNotIn('hunter2', urls.mask(url))


class TestDigests(testtools.TestCase):
    def _same(self, digest, *same):
        self.assertEqual(1, len({digest(url) for url in same}))

    def _different(self, digest, *different):
        digests = {digest(url) for url in different}
        self.assertEqual(len(different), len(digests))

    def test_one_database_has_one_digest(self):
        self._same(
            urls.database_digest,
            'mysql+pymysql://u:p@host:3306/cell1',
            'mysql+pymysql://other:pw@host/cell1?charset=utf8mb4',
            'mariadb+pymysql://HOST/cell1',
            'mysql+mysqldb://u:p/q@host/cell1',
        )
        self._same(
            urls.database_digest, 'sqlite:////a/b', 'sqlite:////a/./c/../b'
        )

    def test_different_databases_have_different_digests(self):
        self._different(
            urls.database_digest,
            'mysql+pymysql://host/cell1',
            'mysql+pymysql://host/cell2',
            'mysql+pymysql://host/CELL1',
            'mysql+pymysql://host:3307/cell1',
            'mysql+pymysql://other/cell1',
            'postgresql+psycopg://host/cell1',
            'mysql+pymysql:///cell1?unix_socket=/a',
            'mysql+pymysql:///cell1?unix_socket=/b',
            'sqlite:////host/cell1',
        )

    def test_one_queue_has_one_digest(self):
        self._same(
            urls.transport_digest,
            'rabbit://u:p@h1:5672,u:p@h2/v',
            'rabbit://x:y@H2:5672,x:y@h1/v?heartbeat_rate=2',
        )

    def test_different_queues_have_different_digests(self):
        self._different(
            urls.transport_digest,
            'rabbit://h/a',
            'rabbit://h/b',
            'rabbit://h:5673/a',
            'rabbit://h,h2/a',
            'fake://h/a',
            'kombu+memory://h/a',
        )

    def test_digest_for_changes_sees_everything(self):
        self._different(
            lambda pair: urls.secret_digest(*pair),
            ('a', 'b'),
            ('ab', ''),
            ('a', None),
            ('b', 'a'),
        )
