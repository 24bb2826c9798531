"""Each defect of a resolver is found by the check that is there for it."""

from __future__ import annotations

import dataclasses
import logging
import socket
import threading
import time
import uuid
from typing import Any
from unittest import mock

from oslo_config import cfg

from cellplug import exception
from cellplug import interfaces
from cellplug.testing import conformance
from cellplug.testing.conformance import harnesses
from tests.conformance import helpers
from tests.conformance import memory_resolver

Correct = memory_resolver.MemoryResolver
Capability = interfaces.ResolverCapability
LOG = logging.getLogger(__name__)


class Plain(Correct):
    """Correct, and finds no instances."""

    capabilities = frozenset({Capability.CACHES})

    def get_instance(self, instance_uuid: str) -> Any:
        raise exception.NotSupported('no instances')

    get_instances = get_instance


class Direct(Correct):
    """Correct, and remembers nothing."""

    capabilities = frozenset({Capability.INSTANCES})

    def keep(self, *args: Any) -> None:
        pass


class ByProject(Direct):
    """Correct, and wants to know the project."""

    capabilities = Direct.capabilities | {Capability.BY_PROJECT}

    def get_instance(self, instance_uuid: str, *, project_id: Any) -> Any:
        return super().get_instance(instance_uuid)

    def get_instances(self, instance_uuids: Any, *, project_id: Any) -> Any:
        return super().get_instances(instance_uuids)


class TestBehaviour(helpers.BrokenTestCase):
    suite = conformance.ResolverSuite
    correct = Correct
    harness = helpers.ResolverHarness

    def test_names_that_match_by_their_beginning(self) -> None:
        class Broken(Correct):
            def matches(self, cell: Any, wanted: str) -> bool:
                return cell.uuid == wanted or cell.name.startswith(wanted)

        self.assert_caught(Broken, 'names_match_exactly')

    def test_names_that_match_in_any_case(self) -> None:
        class Broken(Correct):
            def matches(self, cell: Any, wanted: str) -> bool:
                return wanted.lower() in (cell.uuid, cell.name)

        self.assert_caught(Broken, 'names_match_exactly')

    def test_cells_sorted_by_name(self) -> None:
        class Broken(Correct):
            def list_cells(self) -> Any:
                return sorted(super().list_cells(), key=lambda c: c.name)

        self.assert_caught(
            Broken, 'cells_are_listed_in_the_order_of_their_creation'
        )

    def test_a_list_that_is_the_drivers_own(self) -> None:
        class Broken(Correct):
            def list_cells(self) -> Any:
                return self.ask('cells', lambda r: list(r.cells.values()))

        self.assert_caught(Broken, 'lists_are_the_callers_own')

    def test_no_replica_in_the_answer(self) -> None:
        class Broken(Correct):
            def get_cell(self, cell: str) -> Any:
                found = super().get_cell(cell)
                return dataclasses.replace(found, slave_connection=None)

        self.assert_caught(Broken, 'a_cell_is_answered_whole')

    def test_generations_lost(self) -> None:
        class Broken(Correct):
            def get_cell(self, cell: str) -> Any:
                found = super().get_cell(cell)
                return dataclasses.replace(found, generation=1)

        self.assert_caught(Broken, 'generations_grow_with_each_change')

    def test_instances_without_their_cell(self) -> None:
        class Broken(Correct):
            def whole(self, records: Any, mapping: Any) -> Any:
                return mapping

        self.assert_caught(Broken, 'an_instance_is_found_with_its_cell')
        self.assert_caught(Broken, 'many_instances_are_found_at_once')

    def test_one_that_is_missing_spoils_all(self) -> None:
        class Broken(Correct):
            def get_instances(self, instance_uuids: Any) -> Any:
                return {one: self.get_instance(one) for one in instance_uuids}

        self.assert_caught(Broken, 'instances_without_a_mapping_are_left_out')

    def test_the_argument_is_emptied(self) -> None:
        class Broken(Correct):
            def get_instances(self, instance_uuids: Any) -> Any:
                found = super().get_instances(instance_uuids)
                if isinstance(instance_uuids, list):
                    instance_uuids.clear()
                return found

        self.assert_caught(Broken, 'arguments_are_left_as_they_are')

    def test_no_answer_for_an_iterator(self) -> None:
        class Broken(Correct):
            def get_instances(self, instance_uuids: Any) -> Any:
                for _ in instance_uuids:
                    pass
                return super().get_instances(instance_uuids)

        self.assert_caught(Broken, 'uuids_may_be_any_iterable_and_repeat')


class TestForgetting(helpers.BrokenTestCase):
    suite = conformance.ResolverSuite
    correct = Correct
    harness = helpers.ResolverHarness

    def test_an_unmap_forgets_nothing(self) -> None:
        class Broken(Correct):
            def forget_instance(
                self, instance_uuid: str, below_generation: int | None = None
            ) -> None:
                if below_generation is not None:
                    self.forget()

        self.assert_caught(
            Broken, 'an_unmapped_instance_is_not_found_any_more'
        )

    def test_a_changed_cell_stays_in_its_instances(self) -> None:
        class Broken(Correct):
            def forget_cell(self, cell_uuid: str) -> None:
                answers = self.memory().answers
                for key in list(answers):
                    if key == 'cells' or key[0] == 'cell':
                        del answers[key]

        self.assert_caught(
            Broken, 'a_changed_cell_is_seen_through_its_instances'
        )

    def test_a_cell_stays_under_its_name(self) -> None:
        class Broken(Correct):
            def forget_cell(self, cell_uuid: str) -> None:
                self.memory().answers.pop(('cell', cell_uuid), None)

        self.assert_caught(Broken, 'a_changed_cell_is_seen_once_forgotten')

    def test_a_miss_is_kept_for_ever(self) -> None:
        class Broken(Correct):
            def __init__(self, options: Any, host: Any) -> None:
                super().__init__(options, host)
                self.missing: set[str] = set()

            def get_instance(self, instance_uuid: str) -> Any:
                if instance_uuid in self.missing:
                    raise exception.InstanceMappingNotFound(instance_uuid)
                try:
                    return super().get_instance(instance_uuid)
                except exception.InstanceMappingNotFound:
                    self.missing.add(instance_uuid)
                    raise

        self.assert_caught(
            Broken, 'a_new_instance_is_found_where_there_was_none'
        )

    def test_a_late_answer_is_kept(self) -> None:
        class Broken(Correct):
            def keep(
                self, memory: Any, key: Any, answer: Any, epoch: int
            ) -> None:
                memory.answers[key] = answer

        for check in (
            'a_late_look_up_brings_no_old_instance_back',
            'a_late_bulk_look_up_brings_no_old_instance_back',
            'a_late_look_up_brings_no_unmapped_instance_back',
            'a_late_look_up_brings_no_old_cell_back',
            'a_late_listing_brings_no_old_cell_back',
        ):
            self.assert_caught(Broken, check)

    def test_a_look_up_joins_one_that_began_before_the_change(self) -> None:
        class Broken(Correct):
            def __init__(self, options: Any, host: Any) -> None:
                super().__init__(options, host)
                self.flight: Any = None
                self.flights = threading.Lock()

            def get_instance(self, instance_uuid: str) -> Any:
                with self.flights:
                    own = self.flight is None
                    flight = self.flight or (threading.Event(), [])
                    self.flight = flight
                if not own:
                    flight[0].wait(10)
                    return flight[1][0]
                try:
                    flight[1].append(super().get_instance(instance_uuid))
                    return flight[1][0]
                finally:
                    self.flight = None
                    flight[0].set()

        self.assert_caught(
            Broken, 'a_late_look_up_brings_no_old_instance_back'
        )


class TestCapabilities(helpers.BrokenTestCase):
    suite = conformance.ResolverSuite
    harness = helpers.ResolverHarness

    def test_a_cache_that_is_not_declared(self) -> None:
        class Broken(Correct):
            capabilities = Direct.capabilities

        self.correct = Direct
        self.assert_caught(Broken, 'without_caches_every_answer_is_the_truth')

    def test_instances_that_are_not_declared(self) -> None:
        class Broken(Correct):
            capabilities = Plain.capabilities

        self.correct = Plain
        self.assert_caught(Broken, 'instances_undeclared_are_not_supported')

    def test_a_project_that_is_not_taken(self) -> None:
        class Broken(Direct):
            capabilities = ByProject.capabilities

        self.correct = ByProject
        self.assert_caught(Broken, 'by_project_takes_the_project')

    def test_a_cache_in_front_of_one_by_project(self) -> None:
        class InFront(Correct):
            def __init__(self, options: Any, host: Any) -> None:
                super().__init__(options, host)
                backend = host.load('resolver', 'database')
                if Capability.BY_PROJECT in backend.capabilities:
                    raise exception.ConfigurationError('not in front of that')

        class Broken(Correct):
            def __init__(self, options: Any, host: Any) -> None:
                super().__init__(options, host)
                host.load('resolver', 'database')

        self.correct = InFront
        self.harness = conformance.DatabaseHarness
        self.assert_caught(Broken, 'one_that_remembers_refuses_one_by_project')

    def test_a_capability_of_another_enum(self) -> None:
        class Broken(Correct):
            capabilities = frozenset(interfaces.QuotaCapability)

        self.correct = Correct
        self.assert_caught(Broken, 'capabilities_are_members_of_the_enum')

    def test_a_version_of_other_contracts(self) -> None:
        class Broken(Correct):
            api_version = 99

        self.correct = Correct
        self.assert_caught(Broken, 'api_version_is_one_that_runs_here')


class TestTrouble(helpers.BrokenTestCase):
    suite = conformance.ResolverSuite
    correct = Correct
    harness = helpers.ResolverHarness

    def test_threads_that_share_a_scratch_value(self) -> None:
        class Broken(Correct):
            def get_cell(self, cell: str) -> Any:
                self.asked = cell
                time.sleep(0.0005)
                return super().get_cell(self.asked)

        self.assert_caught(Broken, 'many_threads_get_right_answers')

    def test_a_lock_that_a_child_inherits(self) -> None:
        class Broken(Correct):
            def memory(self) -> Any:
                return self.known

            def ask(self, key: Any, look: Any) -> Any:
                with self.known.lock:
                    return self.records.read(look)

        with mock.patch.object(harnesses, 'DEADLINE', 10):
            self.assert_caught(
                Broken, 'a_child_waits_for_no_look_up_of_its_parent'
            )

    def test_a_socket_that_a_child_shares(self) -> None:
        own, others = socket.socketpair()
        self.addCleanup(own.close)

        def echo() -> None:
            with others:
                while data := others.recv(16, socket.MSG_WAITALL):
                    time.sleep(0.001)
                    others.sendall(data)

        server = threading.Thread(target=echo, daemon=True)
        server.start()
        self.addCleanup(server.join, 10)
        self.addCleanup(own.shutdown, socket.SHUT_RDWR)

        class Broken(Correct):
            def get_cell(self, cell: str) -> Any:
                asked = uuid.uuid4().bytes
                own.sendall(asked)
                if own.recv(16, socket.MSG_WAITALL) != asked:
                    raise exception.CellplugError("another one's answer")
                return super().get_cell(cell)

        self.assert_caught(Broken, 'a_child_and_its_parent_both_get_answers')

    def test_down_means_none(self) -> None:
        class Broken(Correct):
            def get_cell(self, cell: str) -> Any:
                try:
                    return super().get_cell(cell)
                except exception.DatabaseUnavailable:
                    raise exception.CellMappingNotFound(cell) from None

        self.assert_caught(Broken, 'without_its_source_it_says_so')

    def test_down_means_empty(self) -> None:
        class Broken(Correct):
            def get_instances(self, instance_uuids: Any) -> Any:
                try:
                    return super().get_instances(instance_uuids)
                except exception.DatabaseUnavailable:
                    return {}

        self.assert_caught(Broken, 'without_its_source_it_says_so')

    def test_the_backends_own_exception(self) -> None:
        class Broken(Correct):
            def get_cell(self, cell: str) -> Any:
                try:
                    return super().get_cell(cell)
                except exception.DatabaseUnavailable as exc:
                    raise ConnectionError('refused') from exc

        self.assert_caught(Broken, 'without_its_source_it_says_so')

    def test_once_down_for_ever_down(self) -> None:
        class Broken(Correct):
            down: Exception | None = None

            def ask(self, key: Any, look: Any) -> Any:
                if self.down:
                    raise self.down
                try:
                    return super().ask(key, look)
                except exception.DatabaseUnavailable as exc:
                    self.down = exc
                    raise

        with mock.patch(
            'cellplug.testing.conformance.resolver_trouble.BACK_IN', 0.5
        ):
            self.assert_caught(Broken, 'a_source_that_is_back_is_used_again')

    def test_forgetting_asks_the_source(self) -> None:
        class Broken(Correct):
            def forget_cell(self, cell_uuid: str) -> None:
                self.records.read(lambda records: None)
                self.forget()

        self.assert_caught(
            Broken, 'forgetting_raises_nothing_without_the_source'
        )

    def test_a_constructor_that_connects(self) -> None:
        class Broken(Correct):
            def __init__(self, options: Any, host: Any) -> None:
                super().__init__(options, host)
                with socket.socket() as one:
                    one.connect_ex(('127.0.0.1', 9))

        self.assert_caught(Broken, 'the_constructor_connects_to_nothing')


class TestRest(helpers.BrokenTestCase):
    suite = conformance.ResolverSuite
    correct = Correct
    harness = helpers.ResolverHarness

    def test_a_repr_with_urls(self) -> None:
        class Broken(Correct):
            def __repr__(self) -> str:
                urls = [c.transport_url for c in self.list_cells()]
                return f'Broken({urls})'

        self.assert_caught(Broken, 'repr_shows_no_secret')

    def test_a_log_with_urls(self) -> None:
        class Broken(Correct):
            def get_cell(self, cell: str) -> Any:
                found = super().get_cell(cell)
                LOG.debug('found %s', found.database_connection)
                return found

        self.assert_caught(Broken, 'logs_show_no_secret')

    def test_an_error_with_a_url(self) -> None:
        class Broken(Correct):
            def get_cell(self, cell: str) -> Any:
                try:
                    return super().get_cell(cell)
                except exception.DatabaseUnavailable as exc:
                    for one in self.records.cells.values():
                        raise exception.DatabaseUnavailable(
                            one.database_connection, 'away'
                        ) from exc
                    raise

        self.assert_caught(Broken, 'errors_show_no_secret')

    def test_options_without_help_default_or_secrecy(self) -> None:
        class NoHelp(Correct):
            @classmethod
            def options(cls) -> Any:
                return [cfg.StrOpt('endpoint', default='a')]

        class NoDefault(Correct):
            @classmethod
            def options(cls) -> Any:
                return [cfg.StrOpt('endpoint', help='Where the server is.')]

        class Open(Correct):
            @classmethod
            def options(cls) -> Any:
                help_ = 'What to say to the server.'
                return [cfg.StrOpt('api_key', default='', help=help_)]

        self.assert_caught(NoHelp, 'options_have_help')
        self.assert_caught(NoDefault, 'options_have_a_default_or_are_required')
        self.assert_caught(Open, 'options_with_secrets_say_so')

    def test_options_that_differ_from_call_to_call(self) -> None:
        numbers = iter(range(1000))

        class Broken(Correct):
            @classmethod
            def options(cls) -> Any:
                return [cfg.IntOpt('size', default=next(numbers))]

        self.assert_caught(Broken, 'options_can_be_registered_twice')

    def test_a_thread_that_stays(self) -> None:
        ended = threading.Event()
        self.addCleanup(ended.set)

        class Broken(Correct):
            def __init__(self, options: Any, host: Any) -> None:
                super().__init__(options, host)
                threading.Thread(target=ended.wait, daemon=True).start()

        self.assert_caught(Broken, 'close_leaves_no_thread_and_no_socket')

    def test_a_socket_that_stays(self) -> None:
        kept: list[socket.socket] = []
        self.addCleanup(lambda: [one.close() for one in kept])

        class Broken(Correct):
            def __init__(self, options: Any, host: Any) -> None:
                super().__init__(options, host)
                kept.append(socket.socket())

        self.assert_caught(Broken, 'close_leaves_no_thread_and_no_socket')

    def test_a_second_close_that_raises(self) -> None:
        class Broken(Correct):
            def close(self) -> None:
                del self.known.lock

        self.assert_caught(Broken, 'close_is_idempotent')

    def test_a_use_after_close_that_raises_anything(self) -> None:
        class Broken(Correct):
            def close(self) -> None:
                self.known = None

        self.assert_caught(Broken, 'after_close_it_refuses_or_does_no_harm')
