"""Exceptions carry what they are about, wherever they go."""

import copy
import inspect
import json
import pickle

import testtools
from oslo_messaging._drivers import common as oslo_messaging_common

from cellplug import exception

VALUES = {
    'answered': 2,
    'args': (),
    'before_first_statement': True,
    'overs': ['cores', 'instances'],
    'available': ['a', 'b'],
    'origins': ['a 1.0', 'b 2.0'],
    'limit': 3,
    'limits': {'cores': 4},
    'maximum': 9,
    'minimum': 4,
    'missing': {'cell1': 'the reason'},
    'refused': {'the uuid': ['cell1', 'it is disabled']},
    'resources': ['cores', 'instances'],
    'usages': {'cores': 4},
    'headroom': {'cores': 0},
    'instances': 3,
    'expected': 5,
    'failed': {'the uuid': ['cell1', 'the reason']},
    'actual': 6,
    'seconds': 2.5,
}
"""What to make an exception with, by the name of the parameter."""


def made(cls):
    """One of the class, each argument given by name or by place."""
    parameters = inspect.signature(cls.__init__).parameters.values()
    args, kwargs = [], {}
    for parameter in list(parameters)[1:]:
        value = VALUES.get(parameter.name, f'the {parameter.name}')
        if parameter.kind is parameter.KEYWORD_ONLY:
            kwargs[parameter.name] = value
        else:
            args.append(value)
    return cls(*args, **kwargs)


def exceptions():
    """Every class of the module."""
    return [
        cls
        for cls in vars(exception).values()
        if inspect.isclass(cls) and issubclass(cls, exception.CellplugError)
    ]


def attributes(error):
    return {k: v for k, v in vars(error).items() if k != 'kwargs'}


class TestExceptions(testtools.TestCase):
    def test_all_descend_from_the_root(self):
        strangers = [
            cls
            for cls in vars(exception).values()
            if inspect.isclass(cls)
            and issubclass(cls, Exception)
            and not issubclass(cls, exception.CellplugError)
        ]
        self.assertEqual([], strangers)

    def test_a_message_is_one_line(self):
        for cls in exceptions():
            self.assertNotIn('\n', str(made(cls)))
            self.assertNotEqual('', str(made(cls)))

    def test_they_come_through_a_pickle_and_a_copy(self):
        for cls in exceptions():
            error = made(cls)
            for again in (
                pickle.loads(pickle.dumps(error)),
                copy.copy(error),
            ):
                self.assertIs(cls, type(again))
                self.assertEqual(str(error), str(again))
                self.assertEqual(attributes(error), attributes(again))

    def test_they_come_through_a_message_queue(self):
        for cls in exceptions():
            error = made(cls)
            try:
                raise error
            except exception.CellplugError as exc:
                info = (type(exc), exc, exc.__traceback__)
            wire = oslo_messaging_common.serialize_remote_exception(info)
            json.loads(wire)
            again = oslo_messaging_common.deserialize_remote_exception(
                wire, ['cellplug.exception']
            )
            self.assertIsInstance(again, cls)
            self.assertEqual(attributes(error), attributes(again))

    def test_one_that_is_raised_and_caught_says_the_same(self):
        error = exception.CellUnavailable('uuid', 'cell1', 'it is down')
        self.assertEqual(
            "the database of cell 'cell1' (uuid) is unavailable: it is down",
            str(error),
        )

    def test_over_quota_carries_its_numbers(self):
        error = exception.OverQuota(
            ['cores'], {'cores': 80}, {'cores': 78}, {'cores': 2}
        )
        self.assertEqual(
            'over quota for: cores (limit 80, used 78, free 2)', str(error)
        )

    def test_a_limit_that_cannot_be_set_says_which_bound_it_is(self):
        error = exception.LimitNotSettable('cores', 3, 4, -1)
        self.assertIn('at least 4: what is used, or the sum', str(error))
        for limit in (6, -1):
            error = exception.LimitNotSettable('cores', limit, 4, 5)
            self.assertIn("at most 5: what the project's other", str(error))
