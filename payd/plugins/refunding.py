"""Interface of a provider that can refund: its operations and coroutines."""

from datetime import datetime
from typing import Protocol, runtime_checkable
from uuid import UUID

import attrs

from payd.domain.evidence import Absent
from payd.domain.refund import RefundInstructions, RefundSnapshot


@attrs.frozen(kw_only=True)
class RefundOperation:
    """Request for a refund. Computed from the stored refund, so equal at every retry."""

    #: Idempotency key, stable across retries: at most 64 characters of [a-z0-9:-].
    operation_id: str
    refund_id: UUID
    payment_id: UUID
    #: Reference and further names of the payment's object.
    reference: str
    aliases: tuple[str, ...]
    #: In the unit of what was due: minor units of a currency, base units of a token.
    amount: int
    #: The asset to send: a currency code, or a token's 0x-hex address.
    asset: str
    #: Whether it is all that was paid: some remote sides refund the whole only without an amount.
    is_all: bool
    #: Why, in the words of the person who requested it.
    reason: str
    #: Where to send the money; never empty with Sends.INSTRUCTIONS.
    destination: str
    create_time: datetime


@attrs.frozen(kw_only=True)
class RefundRef:
    """The refund to fetch."""

    operation_id: str
    refund_id: UUID
    #: The remote side's id of the refund; None while the answer to `refund` is not known.
    reference: str | None
    payment_id: UUID
    #: Reference and further names of the payment's object.
    payment_reference: str
    aliases: tuple[str, ...]
    asset: str
    amount: int
    #: The refund was made at this time or later.
    create_time: datetime


@runtime_checkable
class SupportsRefund(Protocol):
    """Payments can be refunded; `Capabilities.refunds` says how.

    What the remote side reports about refunds without being asked, such as those that a person made
    in its dashboard, is a RefundSnapshot in an Observation or in `Snapshot.refunds`.
    """

    async def refund(self, operation: RefundOperation, /) -> RefundSnapshot | RefundInstructions:
        """Refund once per operation id: a repetition returns the first refund as it stands now.

        With Sends.INSTRUCTIONS send nothing, and return what the merchant has to send: always the
        same for the same operation.

        Raises:
            Declined: refused for good, such as an amount that exceeds what is left.
            NotAttempted, RateLimited: nothing was done; payd sends it again.
            OutcomeUnknown: it may have been done; payd fetches first, then sends it again.
            Misconfigured: our credentials are refused; payd keeps the refund and alerts operators.
            InvalidRequest: refused for good because of one field, such as the destination.
            IdempotencyConflict: the id was used with other parameters.
        """

    async def fetch_refund(self, ref: RefundRef, /) -> RefundSnapshot | Absent:
        """Return the refund as it is now. Free of side effects.

        With `ref.reference` None it is searched for by operation or refund id, as far as
        `RefundCapabilities.lookup` promises.

        Raises: NotAttempted, RateLimited, OutcomeUnknown, Misconfigured.
        """
