"""No secret of a URL passes standard error, however it is quoted."""

from __future__ import annotations

import hypothesis
import testtools
from hypothesis import strategies as st

from cellplug.cmd import hiding

PRINTABLE = st.characters(min_codepoint=33, max_codepoint=0x17F)
PASSWORDS = st.text(PRINTABLE, min_size=1, max_size=12).map(
    lambda text: f'{text}CANARY{text}'
)
UNQUOTED = st.text(
    st.characters(min_codepoint=33, max_codepoint=126,
                  exclude_characters='\'"'),
    min_size=1, max_size=12,
).map(lambda text: f'{text}CANARY{text}')  # fmt: skip


class HidingTest(testtools.TestCase):
    @hypothesis.given(PASSWORDS)
    def test_a_url_that_was_learnt_is_hidden_anywhere(
        self, password: str
    ) -> None:
        hider = hiding.Hider()
        url = f'mysql+pymysql://user:{password}@host:3306/cell1?charset=utf8'
        hider.learn(url)
        for text in (url, f'at {url}', f'<{url}>', f"'{url}', and", url * 2):
            self.assertNotIn('CANARY', hider.hide(text))

    @hypothesis.given(UNQUOTED)
    def test_a_url_that_nobody_knew_is_hidden_too(self, password: str) -> None:
        hider = hiding.Hider()
        for text in (
            f'mysql+pymysql://user:{password}@host/cell1',
            f'at "rabbit://u1:{password}@h1,u2:{password}@h2/v" or so',
        ):
            self.assertNotIn('CANARY', hider.hide(text))

    @hypothesis.given(UNQUOTED)
    def test_pieces_that_a_parser_takes_apart_are_hidden(
        self, password: str
    ) -> None:
        hider = hiding.Hider()
        hider.learn(f'mysql+pymysql://user:{password}@host/cell1')
        text = hider.hide(f"no port: '{password}'")
        self.assertNotIn('CANARY', text)
        for piece in password.split('@'):
            text = hider.hide(f"can't connect to '{piece}@host'")
            self.assertNotIn('CANARY', text)

    def test_what_helps_is_still_shown(self) -> None:
        hider = hiding.Hider()
        hider.learn('mysql+pymysql://cellplug:cellplug@db.example/cell1')
        for text in (
            'run: cellplug-manage api-db sync',
            'mysql+pymysql://***:***@db.example/cell1',
            'sqlite:////var/lib/cell1.sqlite and fake://cell1/',
            'see https://sqlalche.me/e/20/e3q8',
            'no answer from rabbit://host:5672/vhost',
        ):
            self.assertEqual(text, hider.hide(text))

    def test_a_password_in_the_query_is_hidden(self) -> None:
        hider = hiding.Hider()
        url = 'postgresql+psycopg://h/d?user=u&password=CANARY&sslmode=require'
        for text in (url, f'{url} is wrong'):
            self.assertNotIn('CANARY', hider.hide(text))
            self.assertIn('sslmode=require', hider.hide(text))
        hider.learn(url)
        self.assertNotIn('CANARY', hider.hide("password 'CANARY' refused"))

    def test_a_url_without_its_host_is_hidden(self) -> None:
        text = hiding.Hider().hide('mysql+pymysql://user:CANARY')
        self.assertEqual('mysql+pymysql://***', text)
