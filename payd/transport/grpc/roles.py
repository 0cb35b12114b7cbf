"""Roles of callers: one table of every method of the service, and the role that it needs."""

import enum
from collections.abc import Mapping

import attrs


class Role(enum.Enum):
    """Role of a certificate's common name. An operator may call what an app may, too."""

    APP = "app"
    OPERATOR = "operator"


@attrs.frozen
class Access:
    """The least role that a method needs, and whether it changes something."""

    role: Role
    #: Once begun, such a call continues when its caller leaves.
    is_write: bool = False


_READ, _WRITE = Access(Role.APP), Access(Role.APP, is_write=True)
_OPERATOR_READ = Access(Role.OPERATOR)
_OPERATOR_WRITE = Access(Role.OPERATOR, is_write=True)

#: A method that is missing here cannot be built, and so cannot be called by anybody.
ACCESS: Mapping[str, Access] = {
    "GetQuote": _READ,
    "InitiatePayment": _WRITE,
    "GetPayment": _READ,
    "WatchPayment": _READ,
    "CancelPayment": _WRITE,
    "RefundPayment": _WRITE,
    "GetRefund": _READ,
    "ListRefunds": _READ,
    "CancelRefund": _OPERATOR_WRITE,
    "ApproveRefund": _OPERATOR_WRITE,
    "SettleRefund": _OPERATOR_WRITE,
    "ResolveAttention": _OPERATOR_WRITE,
    "ListPayments": _READ,
    "ListAttention": _OPERATOR_READ,
    "ExplainPayment": _READ,
    "SyncPayment": _WRITE,
    "ForgetCustomer": _OPERATOR_WRITE,
    "ExportPayments": _OPERATOR_READ,
    "ListReceipts": _OPERATOR_READ,
    "AttachReceipt": _OPERATOR_WRITE,
    "RepublishEvents": _OPERATOR_WRITE,
    "ListDeadLetters": _OPERATOR_READ,
    "ReplayDeadLetters": _OPERATOR_WRITE,
    "ListReconciliations": _OPERATOR_READ,
    "GetOverview": _OPERATOR_READ,
    "GetConfiguration": _OPERATOR_READ,
    "GetStoredRows": _OPERATOR_READ,
}
