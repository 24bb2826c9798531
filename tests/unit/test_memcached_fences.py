"""What the ``memcached`` resolver forgot, and for how long."""

from __future__ import annotations

import testtools

from cellplug_drivers.resolver.memcached import fences

LIFE, SKEW, NOW = 65.0, 5.0, 1000.0


class FencesTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.fences = fences.Fences(3, LIFE, SKEW)

    def admits(self, generation, stamp=NOW, now=NOW, key=b'a'):
        return self.fences.admit(key, stamp, generation, now)

    def test_without_a_fence_every_entry_counts(self):
        self.assertTrue(self.admits(1))
        self.assertTrue(self.admits(None))

    def test_a_generation_that_was_named_may_stay(self):
        self.fences.raise_(b'a', 7, NOW)
        self.assertFalse(self.admits(6))
        self.assertTrue(self.admits(7))
        self.assertFalse(self.admits(None))
        self.assertTrue(self.admits(6, key=b'b'))

    def test_none_may_stay_where_none_was_named(self):
        self.fences.raise_(b'a', None, NOW)
        self.assertFalse(self.admits(10**18))
        self.assertFalse(self.admits(None))

    def test_an_answer_lifts_it(self):
        self.fences.raise_(b'a', None, NOW)
        self.fences.lift(b'a', self.fences.standing[b'a'], 9)
        self.assertFalse(self.admits(8))
        self.assertTrue(self.admits(9))

    def test_an_answer_to_a_question_from_before_does_not(self):
        self.fences.raise_(b'a', None, NOW)
        known = self.fences.standing[b'a']
        self.fences.raise_(b'a', None, NOW)
        self.fences.lift(b'a', known, 9)
        self.fences.lift(b'a', None, 9)
        self.assertFalse(self.admits(9))

    def test_an_answer_does_not_lower_what_was_named(self):
        self.fences.raise_(b'a', 7, NOW)
        self.fences.lift(b'a', self.fences.standing[b'a'], 6)
        self.assertFalse(self.admits(6))

    def test_of_two_that_were_named_the_higher_counts(self):
        for former, later in ((7, 8), (8, 7)):
            self.fences.raise_(b'a', former, NOW)
            self.fences.raise_(b'a', later, NOW)
            self.assertFalse(self.admits(7))
            self.assertTrue(self.admits(8))

    def test_what_is_forgotten_wholly_stays_so(self):
        self.fences.raise_(b'a', None, NOW)
        self.fences.raise_(b'a', 7, NOW)
        self.assertFalse(self.admits(7))

    def test_it_stands_while_an_entry_from_before_can_be_young(self):
        self.fences.raise_(b'a', None, NOW)
        self.assertFalse(self.admits(1, now=NOW + LIFE))
        self.assertTrue(self.admits(1, now=NOW + LIFE + 0.1))

    def test_a_former_one_that_is_over_does_not_count(self):
        self.fences.raise_(b'a', None, NOW)
        self.fences.raise_(b'a', 7, NOW + LIFE + 1)
        self.assertTrue(self.admits(7, now=NOW + LIFE + 1))

    def test_what_is_too_many_raises_the_floor(self):
        for number, key in enumerate((b'a', b'b', b'c', b'd')):
            self.fences.raise_(key, None, NOW + number)
        self.assertEqual({b'b', b'c', b'd'}, set(self.fences.standing))
        self.assertFalse(self.admits(1, stamp=NOW + SKEW, now=NOW + 6))
        self.assertFalse(self.admits(1, stamp=NOW, key=b'x'))
        self.assertTrue(self.admits(1, stamp=NOW + SKEW + 0.1, now=NOW + 6))

    def test_those_that_are_over_make_room_without_it(self):
        for key in (b'a', b'b', b'c'):
            self.fences.raise_(key, None, NOW)
        self.fences.raise_(b'd', None, NOW + LIFE + 1)
        self.assertEqual({b'd'}, set(self.fences.standing))
        self.assertEqual(0.0, self.fences.floor)

    def test_forgetting_again_makes_it_the_youngest(self):
        for key in (b'a', b'b', b'c', b'a', b'd'):
            self.fences.raise_(key, None, NOW)
        self.assertEqual({b'c', b'a', b'd'}, set(self.fences.standing))

    def test_everything_can_be_forgotten(self):
        self.fences.raise_all(NOW)
        self.assertFalse(self.admits(1, stamp=NOW + SKEW))
        self.assertTrue(self.admits(1, stamp=NOW + SKEW + 0.1))

    def test_numbers_of_a_copy_are_new_ones(self):
        for _ in range(3):
            self.fences.raise_(b'a', None, NOW)
        former = self.fences.standing[b'a'].number
        copy = fences.Fences(3, LIFE, SKEW, self.fences.standing)
        copy.raise_(b'b', None, NOW)
        copy.raise_(b'a', None, NOW)
        numbers = {former, *(one.number for one in copy.standing.values())}
        self.assertEqual(3, len(numbers))

    def test_a_copy_stands_by_itself(self):
        self.fences.raise_(b'a', None, NOW)
        copy = fences.Fences(
            3, LIFE, SKEW, self.fences.standing, self.fences.floor
        )
        self.assertFalse(copy.admit(b'a', NOW, 1, NOW))
        copy.raise_(b'b', None, NOW)
        self.assertTrue(self.admits(1, key=b'b'))
