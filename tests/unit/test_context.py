"""Contexts: what is copied, what travels, and what never does."""

import copy
import json
import pickle
import threading

import testtools
from oslo_context import context as oslo_context
from oslo_db import exception as oslo_exception

import cellplug
from cellplug import context as cellplug_context
from cellplug import exception

INSTANCE = 'a3f1f3b4-6a0f-4f3e-9f0a-7a4b1f6f2a11'
CELL = '6f1d2c3b-5b7e-4a3f-8d2c-1e0f9a8b7c6d'


class Handle:
    """Stands for a queue's handle; it must never be copied or pickled."""

    def __deepcopy__(self, memo):
        raise AssertionError('the handle was copied')

    def __reduce__(self):
        raise AssertionError('the handle was pickled')


class Request(cellplug.RequestContext):
    """A service's own context."""

    def __init__(self, *args, colour=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.colour = colour

    def to_dict(self):
        return super().to_dict() | {'colour': self.colour}

    FROM_DICT_EXTRA_KEYS = [  # noqa: RUF012 (oslo's list)
        *cellplug.RequestContext.FROM_DICT_EXTRA_KEYS,
        'colour',
    ]


def targeted(cls=cellplug.RequestContext, **values):
    context = cls(user_id='u', project_id='p', overwrite=False, **values)
    context.db_connection = context.cell_uuid = CELL
    context.mq_connection = Handle()
    context.route = cellplug.Route(INSTANCE, 7)
    return context


TARGET = ('db_connection', 'mq_connection', 'cell_uuid')


class TestCopies(testtools.TestCase):
    def test_new_context_is_aimed_at_nothing(self):
        context = cellplug.RequestContext(overwrite=False)
        for name in (*TARGET, 'route'):
            self.assertIsNone(getattr(context, name))

    def test_copies_keep_class_attributes_and_target(self):
        context = targeted(Request, colour='red', quota_class='gold')
        context.anything = ['x']
        for clone in (copy.copy(context), context.copy_with()):
            self.assertIsInstance(clone, Request)
            self.assertIsNot(context, clone)
            self.assertEqual(context.__dict__, clone.__dict__)
            self.assertIs(context.anything, clone.anything)

    def test_deep_copy_copies_values_but_not_the_handle(self):
        context = targeted(Request, colour=['red'])
        clone = copy.deepcopy(context)
        self.assertIsInstance(clone, Request)
        self.assertIsNot(context.colour, clone.colour)
        self.assertEqual(['red'], clone.colour)
        self.assertIs(context.mq_connection, clone.mq_connection)
        self.assertEqual(CELL, clone.db_connection)

    def test_change_of_a_copy_leaves_the_original(self):
        context = targeted()
        clone = context.copy_with(cell_uuid=None, colour='blue')
        self.assertEqual(CELL, context.cell_uuid)
        self.assertFalse(hasattr(context, 'colour'))
        self.assertIsNone(clone.cell_uuid)

    def test_untargeted_copy_has_no_route_either(self):
        context = targeted(Request, colour='red')
        clone = context.untargeted()
        for name in (*TARGET, 'route'):
            self.assertIsNone(getattr(clone, name))
            self.assertIsNotNone(getattr(context, name))
        self.assertEqual('red', clone.colour)

    def test_copies_do_not_become_the_current_context(self):
        current = cellplug.RequestContext(overwrite=True)
        context = targeted()
        for make in (
            lambda: copy.copy(context),
            lambda: copy.deepcopy(context),
            context.untargeted,
            lambda: pickle.loads(pickle.dumps(context)),
        ):
            make()
            self.assertIs(current, oslo_context.get_current())

    def test_an_internal_context_is_never_the_current_one(self):
        current = cellplug.RequestContext(overwrite=True)
        cellplug_context.InternalContext(overwrite=True)
        self.assertIs(current, oslo_context.get_current())
        cellplug.RequestContext(overwrite=True)
        self.assertIsNot(current, oslo_context.get_current())

    def test_session_outside_a_transaction_is_an_error(self):
        for context in (targeted(), copy.copy(targeted())):
            self.assertRaises(
                oslo_exception.NoEngineContextEstablished,
                lambda context=context: context.session,
            )


class TestWire(testtools.TestCase):
    def test_dictionary_holds_the_route_and_no_target(self):
        values = targeted(quota_class='gold').to_dict()
        self.assertEqual([], [name for name in TARGET if name in values])
        self.assertEqual(
            {'instance_uuid': INSTANCE, 'generation': 7}, values['route']
        )
        self.assertNotIn(CELL, json.dumps(values))

    def test_route_and_quota_class_survive_the_wire(self):
        sent = targeted(Request, colour='red', quota_class='gold')
        values = json.loads(json.dumps(sent.to_dict()))
        received = Request.from_dict(values)
        self.assertIsInstance(received, Request)
        self.assertEqual(sent.route, received.route)
        self.assertEqual('gold', received.quota_class)
        self.assertEqual('red', received.colour)
        self.assertEqual(('u', 'p'), (received.user_id, received.project_id))
        self.assertEqual(sent.request_id, received.request_id)
        for name in TARGET:
            self.assertIsNone(getattr(received, name))

    def test_context_without_a_route_sends_none(self):
        context = cellplug.RequestContext(overwrite=False)
        self.assertNotIn('route', context.to_dict())
        received = cellplug.RequestContext.from_dict(context.to_dict())
        self.assertIsNone(received.route)

    def test_target_in_a_message_is_not_believed(self):
        values = targeted().to_dict()
        values |= dict.fromkeys(TARGET, CELL)
        received = cellplug.RequestContext.from_dict(values)
        for name in TARGET:
            self.assertIsNone(getattr(received, name))

    def test_route_that_cannot_be_read_is_refused(self):
        for route in (
            'x',
            7,
            {},
            [],
            {'instance_uuid': INSTANCE},
            {'instance_uuid': INSTANCE, 'generation': 'x'},
        ):
            values = targeted().to_dict() | {'route': route}
            self.assertRaises(
                exception.InvalidInput,
                cellplug.RequestContext.from_dict,
                values,
            )

    def test_pickle_holds_the_route_and_no_target(self):
        context = targeted(Request, colour='red')
        pickled = pickle.dumps(context)
        self.assertNotIn(CELL.encode(), pickled)
        clone = pickle.loads(pickled)
        self.assertIsInstance(clone, Request)
        self.assertEqual(('red', context.route), (clone.colour, clone.route))
        for name in TARGET:
            self.assertIsNone(getattr(clone, name))
        self.assertEqual(CELL, context.cell_uuid)

    def test_repr_and_logging_values_hold_no_target(self):
        context = targeted()
        for text in (
            repr(context),
            str(context),
            repr(context.get_logging_values()),
            repr(context.to_policy_values()),
        ):
            self.assertNotIn(CELL, text)
            self.assertNotIn('Handle', text)


class TestRequestState(testtools.TestCase):
    def test_copies_share_the_requests_state(self):
        context = targeted()
        for clone in (
            copy.copy(context),
            copy.deepcopy(context),
            context.untargeted(),
        ):
            self.assertIs(context._request_state, clone._request_state)

    def test_what_came_over_a_wire_is_another_request(self):
        context = targeted()
        for other in (
            pickle.loads(pickle.dumps(context)),
            cellplug.RequestContext.from_dict(context.to_dict()),
        ):
            self.assertIsNot(context._request_state, other._request_state)

    def test_an_act_never_leaves_the_state_as_somebody_saw_it(self):
        """Whatever other threads do: there are no updates to lose."""
        state = targeted()._request_state
        missed = []

        def work():
            for _ in range(2000):
                before = state.acted
                state.act()
                if state.acted is before:
                    missed.append(before)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([], missed)
        state.act()
        first = state.acted
        state.act()
        self.assertNotEqual(first, state.acted)

    def test_open_transactions_are_each_threads_own(self):
        context = targeted()
        state = context._request_state
        state.enter('mine', None, outermost=True)
        seen = []
        thread = threading.Thread(target=lambda: seen.extend(state.open.stack))
        thread.start()
        thread.join()
        self.assertEqual([], seen)
        self.assertEqual(['mine'], state.open.stack)

    def test_nothing_is_kept_of_threads_that_have_nothing_open(self):
        state = targeted()._request_state

        def work():
            state.enter('outer', None, outermost=True)
            state.enter('outer', None, outermost=False)
            state.leave('outer', None, outermost=False)
            state.leave('outer', None, outermost=True)

        for _ in range(3):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        self.assertEqual({}, state._by_thread)


class TestApart(testtools.TestCase):
    """What counts looks on as if it were nobody's request."""

    def test_it_keeps_class_attributes_and_target(self):
        context = targeted(Request, colour='blue')
        apart = cellplug_context.apart(context)
        self.assertIs(Request, type(apart))
        self.assertEqual(context.to_dict(), apart.to_dict())
        self.assertEqual(CELL, apart.db_connection)

    def test_it_shares_no_open_transactions(self):
        context = targeted()
        context._request_state.enter('mine', CELL, outermost=True)
        apart = cellplug_context.apart(context)
        self.assertEqual([], apart._request_state.open.stack)
        self.assertIsNone(apart._request_state.opened(CELL))
        apart._request_state.enter('other', CELL, outermost=True)
        self.assertEqual(['mine'], context._request_state.open.stack)

    def test_its_readers_go_to_primaries_and_the_requests_do_not(self):
        context = targeted()
        apart = cellplug_context.apart(context)
        for key in (CELL, None, 'another'):
            self.assertIn(key, apart._request_state.wrote)
        apart._request_state.wrote.add(CELL)
        self.assertEqual(set(), context._request_state.wrote)

    def test_what_it_does_the_request_has_done(self):
        context = targeted()
        inner = cellplug_context.apart(cellplug_context.apart(context))
        self.assertIsNone(context._request_state.acted)
        inner._request_state.act()
        self.assertIsNotNone(context._request_state.acted)

    def test_over_a_wire_it_is_a_request_like_any_other(self):
        apart = cellplug_context.apart(targeted())
        other = pickle.loads(pickle.dumps(apart))
        self.assertEqual(set(), other._request_state.wrote)
        state = pickle.loads(pickle.dumps(apart._request_state))
        self.assertEqual(set(), state.wrote)
