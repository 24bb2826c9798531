"""Entries and keys of the ``memcached`` resolver."""

from __future__ import annotations

import base64
import datetime
import json
import os

import hypothesis
import testtools
from hypothesis import strategies as st

from cellplug import exception
from cellplug import objects
from cellplug_drivers.resolver.memcached import cluster
from cellplug_drivers.resolver.memcached import codec
from cellplug_drivers.resolver.memcached import records

KEY = bytes(range(32))
OTHER = bytes(range(16))
NAME = b'cellplug:1i:0123'

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    st.lists,
)


class KeysTest(testtools.TestCase):
    def test_a_key_is_hex_or_base64_of_16_or_32_bytes(self):
        for key in (KEY, OTHER, bytes(16), b'\xff\xfe\xfb' * 10 + b'\xff\xef'):
            for text in (
                key.hex(),
                key.hex().upper(),
                f' {key.hex()} ',
                base64.b64encode(key).decode(),
                base64.b64encode(key).decode().rstrip('='),
                base64.urlsafe_b64encode(key).decode(),
            ):
                self.assertEqual([key], codec.parse_keys([text]))

    def test_anything_else_is_refused_without_being_shown(self):
        for text in (
            '',
            'x',
            KEY.hex()[:-1],
            KEY.hex() + '00',
            'sesame' * 5,
            base64.b64encode(bytes(range(24))).decode(),
            base64.b64encode(bytes(range(31))).decode(),
            'ü' * 32,
            'a=' * 16,
        ):
            error = self.assertRaises(
                exception.ConfigurationError,
                codec.parse_keys,
                [KEY.hex(), text],
            )
            self.assertIn('encryption_keys', str(error))
            self.assertIn('number 2', str(error))
            self.assertIn('openssl rand', str(error))
            self.assertNotIn(KEY.hex(), str(error))
            if text and text != 'x':
                self.assertNotIn(text, str(error))

    def test_no_key_is_refused_with_the_way_to_make_one(self):
        error = self.assertRaises(
            exception.ConfigurationError, codec.parse_keys, []
        )
        self.assertIn('openssl rand -hex 32', str(error))

    def test_the_same_key_twice_is_refused(self):
        self.assertRaises(
            exception.ConfigurationError,
            codec.parse_keys,
            [KEY.hex(), base64.b64encode(KEY).decode()],
        )

    @hypothesis.given(st.text())
    def test_every_name_makes_a_key_that_memcached_takes(self, name):
        keys = codec.Keys('p' * 100)
        made = {keys.instance(name), keys.cell(name)}
        self.assertEqual(2, len(made))
        for key in made:
            self.assertLess(len(key), 250)
            self.assertTrue(all(33 <= byte <= 126 for byte in key))

    @hypothesis.given(st.lists(st.text(), min_size=2, unique=True))
    def test_other_names_make_other_keys(self, names):
        keys = codec.Keys('p')
        self.assertEqual(len(names), len({keys.cell(n) for n in names}))

    def test_another_prefix_makes_other_keys(self):
        self.assertNotEqual(
            codec.Keys('a').cell('x'), codec.Keys('b').cell('x')
        )

    def test_a_prefix_is_printable(self):
        self.assertEqual('a:b', codec.check_prefix('a:b'))
        for wrong in ('', ' ', 'a b', 'a\n', 'ü', 'a\0', 'x' * 101):
            self.assertRaises(
                exception.ConfigurationError, codec.check_prefix, wrong
            )

    def test_a_url_as_a_prefix_is_refused_without_being_shown(self):
        for wrong in ('rabbit://u:sesame@h/ v', 'u:sesame@h' * 20):
            error = self.assertRaises(
                exception.ConfigurationError, codec.check_prefix, wrong
            )
            self.assertNotIn('sesame', str(error))
            self.assertIn('prefix', str(error))


class CodecTest(testtools.TestCase):
    @hypothesis.given(st.lists(json_values), st.binary(max_size=250))
    def test_what_was_sealed_opens_under_its_own_key_alone(self, entry, name):
        sealing = codec.Codec([KEY])
        sealed = sealing.seal(name, entry)
        self.assertEqual(entry, sealing.open(name, sealed))
        self.assertIsNone(sealing.open(name + b'x', sealed))

    @hypothesis.given(st.binary(max_size=300))
    def test_garbage_does_not_open(self, garbage):
        sealing = codec.Codec([KEY])
        self.assertIsNone(sealing.open(NAME, garbage))
        sealed = sealing.seal(NAME, [])
        self.assertIsNone(sealing.open(NAME, sealed[:5] + garbage))

    def test_no_bit_can_be_changed(self):
        sealing = codec.Codec([KEY])
        sealed = sealing.seal(NAME, ['i', 1.5])
        for at in range(len(sealed)):
            for bit in (1, 128):
                changed = bytearray(sealed)
                changed[at] ^= bit
                self.assertIsNone(sealing.open(NAME, bytes(changed)))

    def test_it_is_no_plain_text_and_never_the_same(self):
        sealing = codec.Codec([KEY])
        first, second = (sealing.seal(NAME, ['sesame']) for _ in '12')
        self.assertNotIn(b'sesame', first)
        self.assertNotEqual(first, second)

    def test_the_first_key_seals_and_each_opens(self):
        old, new = codec.Codec([KEY]), codec.Codec([OTHER])
        both = codec.Codec([OTHER, KEY])
        self.assertEqual([1], both.open(NAME, old.seal(NAME, [1])))
        self.assertEqual([1], new.open(NAME, both.seal(NAME, [1])))
        self.assertIsNone(old.open(NAME, both.seal(NAME, [1])))

    def test_what_memcached_would_refuse_is_not_sealed(self):
        sealing = codec.Codec([KEY])
        self.assertIsNone(sealing.seal(NAME, ['x' * codec.LARGEST]))

    def test_another_version_is_a_miss(self):
        sealing = codec.Codec([KEY])
        sealed = sealing.seal(NAME, [1])
        self.assertIsNone(sealing.open(NAME, b'2' + sealed[1:]))

    def test_it_shows_no_key(self):
        sealing = codec.Codec([KEY])
        shown = repr(sealing) + repr(vars(sealing))
        self.assertNotIn(KEY.hex(), shown)
        self.assertNotIn(repr(KEY)[2:-1], shown)


class RecordsTest(testtools.TestCase):
    def cell(self) -> objects.CellMapping:
        return objects.CellMapping(
            uuid='c',
            name='cell ü',
            database_connection='mysql+pymysql://u:p@h/d',
            transport_url='none:///',
            slave_connection='mysql+pymysql://u:p@r/d',
            state=objects.CellState.NO_NEW,
            generation=2**60,
            created_at=datetime.datetime.fromisoformat(
                '2026-11-21T01:02:03.000004'
            ),
        )

    def test_a_cell_comes_back_as_it_was(self):
        cell = self.cell()
        entry = json.loads(json.dumps(records.cell(cell, 1.25)))
        found = records.to_cell(entry)
        self.assertEqual(cell, found)
        self.assertIs(objects.CellState.NO_NEW, found.state)
        self.assertEqual(cell.created_at, found.created_at)
        self.assertIsNone(found.updated_at)

    def test_an_instance_comes_back_as_it_was(self):
        for user in ('u', None):
            mapping = objects.InstanceMapping(
                instance_uuid='i',
                cell_uuid='c',
                project_id='p',
                user_id=user,
                generation=2**60,
                cell=self.cell(),
            )
            entry = json.loads(json.dumps(records.instance(mapping, 1.25, 7)))
            found = records.to_instance('i', entry, self.cell())
            self.assertEqual((mapping, self.cell()), (found, found.cell))


class ServersTest(testtools.TestCase):
    def test_servers_are_named_in_three_ways_each_once(self):
        self.assertEqual(
            [('h', 1), ('h', 11211), ('::1', 2), '/run/m'],
            cluster.parse_servers(
                ['h:1', ' h', '[::1]:2', 'unix:/run/m', 'h:1']
            ),
        )

    def test_what_is_none_is_named(self):
        for wrong in (
            *('h:', ':1', 'h:x', 'h:0', 'h:65536', '', 'unix:', 'h:1/x'),
            *('::1', '[::1', '::1]', 'a:b:1', '[]:1', '[::1]1', '[::1]:x'),
            *('h:\uff11', 'h:1_1', 'h:+1', 'h: 1', 'h h:1', 'h\0:1'),
        ):
            error = self.assertRaises(
                exception.ConfigurationError, cluster.parse_servers, [wrong]
            )
            self.assertIn(repr(wrong), str(error))

    def test_the_port_need_not_be_named(self):
        self.assertEqual(
            [('::1', 11211), ('h-1.example', 11211), ('10.0.0.1', 11211)],
            cluster.parse_servers(['[::1]', 'h-1.example', '10.0.0.1']),
        )

    def test_a_url_is_refused_without_being_shown(self):
        for wrong in (
            ['h', 'rabbit://u:sesame@h:5/'],
            ['h', 'u:sesame@h:5'],
            # A comma in a password is where the option is split.
            ['h', 'rabbit://u:ses', 'sesame', 'ame@h'],
        ):
            error = self.assertRaises(
                exception.ConfigurationError, cluster.parse_servers, wrong
            )
            self.assertNotIn('ses', str(error))
            self.assertIn('number 2 is not host:port', str(error))


class RandomnessTest(testtools.TestCase):
    def test_a_child_of_a_fork_draws_other_nonces(self):
        sealing = codec.Codec([KEY])
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            os.write(writing, sealing.seal(NAME, []) or b'')
            os._exit(0)
        os.waitpid(pid, 0)
        theirs = os.read(reading, 1000)
        os.close(reading)
        os.close(writing)
        self.assertEqual([], sealing.open(NAME, theirs))
        self.assertNotEqual(theirs, sealing.seal(NAME, []))
