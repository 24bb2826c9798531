"""The request's context: who asks, and which cell the request is aimed at.

A :class:`RequestContext` is oslo.context's, plus three attributes that name a
target and one that says how it was found. A target is never changed in
place (the router's ``set_target_cell`` aside): the router hands out copies.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any
from typing import Self
from typing import TypeVar

from oslo_context import context as oslo_context
from oslo_db.sqlalchemy import enginefacade

from cellplug import exception
from cellplug.objects import mappings
from cellplug.objects import request_state

_UNTARGETED: dict[str, Any] = {
    'db_connection': None,
    'mq_connection': None,
    'cell_uuid': None,
    'route': None,
}
_NEVER_SERIALISED = ('db_connection', 'mq_connection', 'cell_uuid')


class _Provider(oslo_context.RequestContext):
    """oslo.context's class with enginefacade's attributes grafted on."""


enginefacade.transaction_context_provider(_Provider)


class RequestContext(_Provider):
    """Who asks (oslo.context), and the cell that the request is aimed at.

    Subclass it freely: copies keep the class and every attribute.

    :ivar quota_class: the quota class of the request's project, or None.
    :ivar db_connection: the key under which the request's database is found;
        None for the process's own ``[database]``. Never a URL.
    :ivar mq_connection: a handle on the cell's transport, or None.
    :ivar cell_uuid: the targeted cell, or None.
    :ivar route: by which version of an instance's mapping the request was
        routed (:class:`cellplug.objects.Route`), or None.

    ``route`` and ``quota_class`` travel with the context over RPC; the target
    never does: neither :meth:`to_dict` nor a pickle holds it.
    """

    db_connection: str | None
    mq_connection: Any
    cell_uuid: str | None
    route: mappings.Route | None
    FROM_DICT_EXTRA_KEYS = ['quota_class']  # noqa: RUF012 (oslo's list)

    def __init__(
        self, *args: Any, quota_class: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.quota_class = quota_class
        self.__dict__.update(_UNTARGETED)
        self._request_state = request_state.RequestState()

    @property
    def session(self) -> Any:
        """The session of the innermost open transaction of this request.

        :raises oslo_db.exception.NoEngineContextEstablished: if none is open.
        :raises TransactionForked: if it was opened by the parent process.
        """
        stack = self._request_state.open.stack
        if stack:
            return stack[-1].usable_session()
        return _Provider.session.fget(self)  # type: ignore[attr-defined]

    def to_dict(self) -> dict[str, Any]:
        """The context for the wire: with its route, without its target."""
        values = super().to_dict()
        values['quota_class'] = self.quota_class
        if self.route is not None:
            values['route'] = dataclasses.asdict(self.route)
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any], **kwargs: Any) -> Self:
        """A context from the wire: routed, untargeted.

        :raises InvalidInput: if the route in ``values`` is no route.
        """
        context = super().from_dict(values, **kwargs)
        context.route = _route(values.get('route'))
        return context

    def copy_with(self, **attributes: Any) -> Self:
        """A shallow copy in which the given attributes differ.

        The class and all other attributes are kept; the request's open
        transactions are shared, not copied. oslo.context's current context
        of the thread stays what it is.
        """
        cls = type(self)
        clone = cls.__new__(cls)
        state = clone.__dict__
        state.update(self.__dict__)
        state.update(attributes)
        state.pop('_enginefacade_context', None)
        return clone

    def untargeted(self) -> Self:
        """A copy that is aimed at no cell and has no route."""
        return self.copy_with(**_UNTARGETED)

    def __copy__(self) -> Self:
        return self.copy_with()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        kept = ('mq_connection', '_request_state')
        others = {
            name: copy.deepcopy(value, memo)
            for name, value in self.__dict__.items()
            if name not in kept
        }
        return self.copy_with(**others)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state.update(dict.fromkeys(_NEVER_SERIALISED))
        state['_request_state'] = request_state.RequestState()
        state.pop('_enginefacade_context', None)
        return state


class InternalContext(RequestContext):
    """A context for transactions that are nobody's request.

    Drivers may use it too. It never becomes the thread's current one, which
    oslo.context would make of any other: log lines of a request would name it.
    """

    def update_store(self) -> None:
        """Leave oslo.context's current context as it is."""


C = TypeVar('C', bound=RequestContext)


def apart(context: C) -> C:
    """A copy for looking at what is stored, as if from outside the request.

    It joins none of the request's open transactions, and so does not see what
    they have not committed. Its readers all go to primaries. What it does
    counts as done by the request all the same.
    """
    state = request_state.StateApart(context._request_state)
    return context.copy_with(_request_state=state)


class Block:
    """A block that yields a context and has nothing to undo."""

    __slots__ = ('_context',)

    def __init__(self, context: RequestContext) -> None:
        self._context = context

    def __enter__(self) -> RequestContext:
        return self._context

    def __exit__(self, *_: object) -> None:
        return None


def _route(values: Any) -> mappings.Route | None:
    if values is None:
        return None
    try:
        return mappings.Route(
            instance_uuid=str(values['instance_uuid']),
            generation=int(values['generation']),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise exception.InvalidInput(
            'route', 'the message carries a route that cannot be read'
        ) from exc
