"""Connection URLs: what is accepted, what is one and the same, what shows."""

from urllib import parse

import hypothesis
import testtools
from hypothesis import strategies as st

from cellplug import exception
from cellplug.db import registry
from cellplug.db import sources
from cellplug.objects import url_parts
from cellplug.objects import urls

SECRETS = ('hunter2', 'hunter/2', 'hunter@2', 'hun?ter2', 'h#2', 'h:2', '100%')

PASSWORDS = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x17F), min_size=4
).filter(str.isprintable)


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

    def test_a_query_that_its_driver_takes(self):
        for url in (
            'mysql+pymysql://u:p@h/x?charset=utf8mb4&read_timeout=3',
            'mysql+pymysql://u:\u0142\u0142@h/x?charset=utf8mb4',
            'mysql+pymysql://u:p@h/x?ssl_ca=/not/on/this/host.pem',
            'mysql+pymysql://u:p@h/x?ssl_verify_cert=true',
            'mariadb+pymysql://u:p@h/x?connect_timeout=3',
            'mysql+mysqldb://u:p@h/x?charset=utf8mb4',
            'postgresql+psycopg://u:p@h/x?sslmode=require',
            'postgresql+psycopg://u:p@/x?host=h1,h2&port=1,2',
            'postgresql+psycopg2://u:p@h/x?sslmode=require',
            'sqlite:////var/lib/x?timeout=3',
        ):
            self.assertEqual(url, urls.check_database('x', url))

    def test_a_query_that_would_fail_in_use(self):
        for url, argument in (
            ('mysql+pymysql://u:hunter2@h/x?hunter2=1', '***'),
            ('mysql+pymysql://u:hunter2@h/x?charset=hunter2', 'charset'),
            ('mysql+pymysql://u:p@h/x?read_timeout=hunter2', 'read_timeout'),
            ('mysql+pymysql://u:p@h/x?charset=utf8&read_timeout=0', '_timeo'),
            ('mariadb+pymysql://u:hunter2@h/x?charset=klingon', 'charset'),
            ('mysql+pymysql://u:p@h/x?a-hunter2=1', '***'),
            ('postgresql+psycopg://u:p@h/x?hunter2=1', '***'),
            ('postgresql+psycopg://u:p@h/x?connect_timeout=abc', 'connect'),
            ('sqlite:////var/lib/x?timeout=hunter2', 'timeout'),
        ):
            error = self.assertRaises(
                exception.InvalidURL, urls.check_database, 'connection', url
            )
            self.assertIn(argument, error.reason)
            self.assertNotIn('hunter2', str(error))
            self.assertIsNone(error.__cause__)

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
            'mysql+pymysql://u:p@:3306/x',
            'mysql+pymysql://u:hunter2@h/x?y@z',
            'sqlite:///x?mode=memory&uri=true',
            'sqlite:///file:x?cache=shared&mode=Memory&uri=true',
            'sqlite:///file::memory:?uri=true',
            'sqlite:///%3Amemory%3A',
            'sqlite:///file:?uri=true',
            'sqlite:///x%00y',
            'sqlite+pysqlcipher://:hunter2@/x',
            'mysql+pymysql://u:hunter2\ud800@h/x',
        ):
            error = self.assertRaises(
                exception.InvalidURL, urls.check_database, 'connection', url
            )
            self.assertEqual('connection', error.name)
            self.assertNotIn('hunter2', str(error))

    def test_what_is_no_string_is_refused(self):
        for check in (urls.check_database, urls.check_transport):
            for url in (5, None, b'sqlite:///x', object()):
                self.assertRaises(exception.InvalidURL, check, 'x', url)

    def test_raw_character_that_libraries_misread_is_refused(self):
        for raw, advice in (
            ('hun@ter2', '%40'),
            ('hun?ter2', '%3F'),
            ('hun#ter2', '%23'),
        ):
            for check, url in (
                (urls.check_database, f'mysql+pymysql://u:{raw}@h/x'),
                (urls.check_database, f'mysql+pymysql://{raw}:p@h/x'),
                (urls.check_database, f'mysql+pymysql://u:1/{raw}@h/x'),
                (urls.check_transport, f'rabbit://u:{raw}@h/x'),
                (urls.check_transport, f'rabbit://u:{raw}@g,u:p@h/x'),
            ):
                error = self.assertRaises(
                    exception.InvalidURL, check, 'x', url
                )
                self.assertIn(advice, str(error))
                self.assertNotIn('ter2', str(error))

    def test_raw_slash_is_refused_where_it_is_misread(self):
        for check, url in (
            (urls.check_database, 'mysql+pymysql://u/v:p@h/x'),
            (urls.check_transport, 'rabbit://u:p/q@h/x'),
        ):
            error = self.assertRaises(exception.InvalidURL, check, 'x', url)
            self.assertIn('%2F', str(error))

    def test_driver_without_bounds_is_refused_naming_those_that_have(self):
        for scheme, usable in (
            ('mysql+asyncmy', 'mysql+pymysql'),
            ('mysql+mysqlconnector', 'mysql+mysqldb'),
            ('mariadb+mariadbconnector', 'mysql+pymysql'),
            ('postgresql+asyncpg', 'postgresql+psycopg'),
            ('postgresql+psycopg_async', 'postgresql+psycopg2'),
            ('sqlite+aiosqlite', 'sqlite://'),
        ):
            error = self.assertRaises(
                exception.InvalidURL,
                urls.check_database,
                'x',
                f'{scheme}://u:p@h/x',
            )
            self.assertIn(usable, str(error))

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
            'rabbit://:1/',
            'rabbit://u:hunter2@:1/',
            'rabbit://h/hunter2#x',
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

    def test_password_that_stands_where_the_host_should_is_hidden(self):
        for url in (
            'mysql+pymysql://u:123/w?hunter2@host/db',
            'mysql+pymysql://root:hunter2',
            'mysql+pymysql://root:hunter2/db',
            'mysql+pymysql://root:12?hunter2',
            'mysql+pymysql://u:p@root:hunter2/db',
            'rabbit://u:p@h1:1,root:hunter2',
            'mysql+pymysql://h/db?x=1;password=hunter2',
            'mysql+pymysql://h/db?charset=utf8;hunter2',
            'mysql+pymysql://h/db?password=a&timeout=hunter2!',
            'mysql+pymysql://h/db#hunter2',
            'sqlite+pysqlcipher://:hunter2@/x',
        ):
            self.assertNotIn('hunter2', urls.mask(url), url)

    @hypothesis.given(PASSWORDS, st.booleans())
    def test_no_form_of_url_shows_any_password(self, password, encoded):
        secret = parse.quote(password, safe='') if encoded else password
        for form in (
            'mysql+pymysql://user:{}@host:3306/cell1?charset=utf8',
            'postgresql+psycopg://user:{}@host/cell1',
            'rabbit://user:{}@h1:1,user:other@h2:2/vhost',
            'rabbit://user:other@h1:1,user:{}@[::1]:2/vhost',
            'mysql+pymysql://user:other@host/x?password={}&charset=utf8',
            'mysql+pymysql://host/x?charset=utf8&ssl_key_password={}',
        ):
            shown = urls.mask(form.format(secret))
            rest = urls.mask(form.format('other'))
            hypothesis.assume(secret not in rest and password not in rest)
            self.assertNotIn(secret, shown)
            self.assertNotIn(password, shown)

    @hypothesis.given(st.text())
    def test_nothing_makes_it_raise(self, text):
        for form in ('{}', '{}://x', 'rabbit://{}', 'sqlite://{}', 'x:/{}'):
            urls.mask(form.format(text))

    def test_never_raises(self):
        for url in (None, '', 'x', 'mysql:hunter2', '://hunter2', '\x00'):
            self.assertNotIn('hunter2', urls.mask(url))


class TestReprs(testtools.TestCase):
    def test_no_repr_shows_a_secret_or_its_digest(self):
        url = 'mysql+pymysql://user:hunter2@h/x?ssl_key_password=hunter2'
        digest = urls.secret_digest(url)
        for shown in (
            sources.Source(sources.Label('x'), url, url),
            registry.CellEntry('uuid', 1, digest=digest),
            url_parts.split('x', url),
        ):
            self.assertNotIn('hunter2', repr(shown))
            self.assertNotIn(digest, repr(shown))


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

    def test_query_overrides_where_the_database_is(self):
        self._same(
            urls.database_digest,
            'mysql+pymysql://h1/cell?host=h2',
            'mysql+pymysql://h2./cell',
            'mysql+pymysql://h1:3307/cell?host=h2&port=3306',
            'mysql+pymysql://h2/x?db=cell',
        )
        self._same(
            urls.database_digest,
            'postgresql+psycopg:///c?host=h1:5432&host=h2',
            'postgresql+psycopg:///c?host=h2,h1&port=5432,5432',
        )
        self._same(
            urls.database_digest,
            'postgresql+psycopg://[::1]/c',
            'postgresql+psycopg://[0:0::0:1]/c',
            'postgresql+psycopg:///c?host=::1',
        )
        self._same(
            urls.database_digest,
            'mysql+pymysql://h1/cell?unix_socket=/a',
            'mysql+pymysql:///cell?unix_socket=%2Fa',
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
            'mysql+pymysql://host/cell1?unix_socket=/c',
            'mysql+pymysql://host/cell1?port=3308',
            'postgresql+psycopg:///cell1?host=/a',
            'postgresql+psycopg:///cell1?host=/a&port=1',
            'postgresql+psycopg:///cell1?host=/b',
            'postgresql+psycopg:///cell1?host=/a&host=/b',
            'sqlite:////host/cell1',
        )

    def test_one_queue_has_one_digest(self):
        self._same(
            urls.transport_digest,
            'rabbit://u:p@h1:5672,u:p@h2/v',
            'rabbit://x:y@H2:5672,x:y@h1/v?heartbeat_rate=2',
        )

    def test_default_virtual_host_has_one_digest(self):
        self._same(
            urls.transport_digest,
            'rabbit://h:5672',
            'rabbit://h:5672/',
            'rabbit://h:5672/%2F',
            'rabbit://h:5672/%2f',
            'rabbit://h:5672//',
            'rabbit://H.',
        )
        self._same(
            urls.transport_digest,
            'rabbit://[::1]/v',
            'rabbit://[0:0:0::1]:5672/v',
        )

    def test_brokers_with_a_host_in_common_are_one_cluster(self):
        for other in ('rabbit://u:p@A/v', 'rabbit://b.:5672,c/v'):
            self.assertTrue(urls.same_queue('rabbit://a,b/v', other))
        for other in (
            'rabbit://a/w',
            'rabbit://a:1/v',
            'rabbit://c/v',
            'fake://a/v',
            'none:///',
            'unreadable',
        ):
            self.assertFalse(urls.same_queue('rabbit://a,b/v', other))
        self.assertFalse(urls.same_queue('none:///', 'none:///'))

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
