"""Interface of a provider that lets a sponsor pay the fees of customers' transfers."""

from datetime import datetime
from typing import Protocol, runtime_checkable
from uuid import UUID

import attrs

from payd.domain.next_action import CryptoTransfer


@attrs.frozen(kw_only=True)
class SponsorRequest:
    """What a customer's wallet asks of the sponsor, at the address that its request named.

    Attributes:
        payment_id: payd's id of the payment to whose page the address belongs.
        action: The transfer that the payment asked for.
        left: Base units that are still missing; 0 when the payment waits for no transfer.
        expire_time: When the payment ends; nothing may be paid for it later.
        body: The request as the wallet sent it, of anybody who knows the address.
    """

    payment_id: UUID
    action: CryptoTransfer
    left: int
    expire_time: datetime
    body: bytes


@runtime_checkable
class SupportsSponsor(Protocol):
    """The provider forwards customers' transactions to a service that pays their fees."""

    async def sponsor(self, request: SponsorRequest, /) -> bytes:
        """Return the response for the wallet, as JSON: also that the request is refused, and why.

        Forward only what does nothing but pay this payment, once and within bounds of the fee:
        everybody can send a request. Raises ProviderError when nobody can be asked now.
        """
