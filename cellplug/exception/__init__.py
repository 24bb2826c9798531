"""Every exception of cellplug.

All of them descend from :class:`CellplugError`; they are nouns, and they carry
what they are about as attributes, so that a caller never parses a message.
A message is one line: what happened, to which cell, what to do about it. No
message holds a connection URL's secret.

This package imports the standard library only.
"""

from cellplug.exception.arguments import ConfigurationError
from cellplug.exception.arguments import InvalidInput
from cellplug.exception.arguments import InvalidURL
from cellplug.exception.arguments import InvalidUUID
from cellplug.exception.arguments import NotSupported
from cellplug.exception.databases import CellIdentityMismatch
from cellplug.exception.databases import CellIdentityMissing
from cellplug.exception.databases import CellUnavailable
from cellplug.exception.databases import DatabaseAlreadyBound
from cellplug.exception.databases import DatabaseNotBound
from cellplug.exception.databases import DatabaseUnavailable
from cellplug.exception.databases import ReadOnlyTransaction
from cellplug.exception.databases import SchemaMissing
from cellplug.exception.databases import TransactionAborted
from cellplug.exception.databases import TransactionConflict
from cellplug.exception.databases import TransactionForked
from cellplug.exception.databases import TransactionInProgress
from cellplug.exception.drivers import DriverError
from cellplug.exception.drivers import DriverLoadError
from cellplug.exception.drivers import DuplicateDriver
from cellplug.exception.drivers import PluginError
from cellplug.exception.drivers import UnknownDriver
from cellplug.exception.drivers import WrongDriverType
from cellplug.exception.listing import ListingNotSorted
from cellplug.exception.listing import MarkerNotFound
from cellplug.exception.listing import MarkerUnavailable
from cellplug.exception.messaging import QueueUnavailable
from cellplug.exception.messaging import RPCTimeout
from cellplug.exception.placement import NoCellAvailable
from cellplug.exception.quotas import CountIncomplete
from cellplug.exception.quotas import LimitNotSettable
from cellplug.exception.quotas import OverQuota
from cellplug.exception.quotas import QuotaResourceUnknown
from cellplug.exception.quotas import QuotaResourceWrongKind
from cellplug.exception.quotas import ReservationNotFound
from cellplug.exception.records import CellInUse
from cellplug.exception.records import CellMappingExists
from cellplug.exception.records import CellMappingNotFound
from cellplug.exception.records import InstanceAlreadyMapped
from cellplug.exception.records import InstanceMappingNotFound
from cellplug.exception.records import StaleRoute
from cellplug.exception.root import CellplugError
from cellplug.exception.targeting import CellHasNoQueue
from cellplug.exception.targeting import CellsFailed
from cellplug.exception.targeting import CellStateForbids
from cellplug.exception.targeting import NotTargeted
from cellplug.exception.targeting import RouterClosed

__all__ = [
    'CellHasNoQueue',
    'CellIdentityMismatch',
    'CellIdentityMissing',
    'CellInUse',
    'CellMappingExists',
    'CellMappingNotFound',
    'CellStateForbids',
    'CellUnavailable',
    'CellplugError',
    'CellsFailed',
    'ConfigurationError',
    'CountIncomplete',
    'DatabaseAlreadyBound',
    'DatabaseNotBound',
    'DatabaseUnavailable',
    'DriverError',
    'DriverLoadError',
    'DuplicateDriver',
    'InstanceAlreadyMapped',
    'InstanceMappingNotFound',
    'InvalidInput',
    'InvalidURL',
    'InvalidUUID',
    'LimitNotSettable',
    'NoCellAvailable',
    'ListingNotSorted',
    'MarkerNotFound',
    'MarkerUnavailable',
    'NotSupported',
    'NotTargeted',
    'OverQuota',
    'PluginError',
    'QueueUnavailable',
    'QuotaResourceUnknown',
    'QuotaResourceWrongKind',
    'RPCTimeout',
    'ReadOnlyTransaction',
    'ReservationNotFound',
    'RouterClosed',
    'SchemaMissing',
    'StaleRoute',
    'TransactionAborted',
    'TransactionConflict',
    'TransactionForked',
    'TransactionInProgress',
    'UnknownDriver',
    'WrongDriverType',
]
