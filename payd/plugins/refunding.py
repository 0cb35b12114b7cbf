"""Interface of a provider that can refund: its operations and coroutines."""

from datetime import datetime
from typing import Protocol, runtime_checkable
from uuid import UUID

import attrs

from payd.domain.evidence import Absent
from payd.domain.refund import RefundInstructions, RefundSnapshot


@attrs.frozen(kw_only=True)
class RefundOperation:
    """Request for a refund. Computed from the stored refund, so equal at every retry.

    Attributes:
        operation_id: Idempotency key, stable across retries: at most 64 characters of [a-z0-9:-].
        refund_id: payd's id of the refund. Let the remote side keep it, as metadata or memo. It is
            stable, too: send it where one field is both the key and an id of our own.
        payment_id: payd's id of the payment.
        reference: Reference of the payment's object.
        aliases: Further names of the payment's object.
        amount: In the unit of what was due: minor units of a currency, base units of a token.
        asset: The asset to send: a currency code, or a token's 0x-hex address.
        is_all: Whether it is all that was paid: some remote sides refund the whole only without an
            amount.
        reason: Why, in the words of the person who requested it.
        destination: Where to send the money; never empty with Sends.INSTRUCTIONS.
        create_time: When the refund was requested, by payd's clock.
    """

    operation_id: str
    refund_id: UUID
    payment_id: UUID
    reference: str
    aliases: tuple[str, ...]
    amount: int
    asset: str
    is_all: bool
    reason: str
    destination: str
    create_time: datetime


@attrs.frozen(kw_only=True)
class RefundRef:
    """The refund to fetch.

    Attributes:
        operation_id: The idempotency key of `refund`.
        refund_id: payd's id of the refund.
        reference: The remote side's id of the refund; None while the answer to `refund` is not
            known.
        payment_id: payd's id of the payment.
        payment_reference: Reference of the payment's object.
        aliases: Further names of the payment's object.
        asset: ISO 4217 code, or the token's 0x-hex address.
        amount: Amount in minor units or base units.
        create_time: The refund was made at this time or later.
    """

    operation_id: str
    refund_id: UUID
    reference: str | None
    payment_id: UUID
    payment_reference: str
    aliases: tuple[str, ...]
    asset: str
    amount: int
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
