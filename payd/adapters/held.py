"""A provider to which nothing new is sent while sending is held after a restore."""

from typing import Any, cast

from payd.adapters.postgres.restores import SendingHold
from payd.domain.errors import ProviderUnavailable
from payd.domain.evidence import NotAttempted, OutcomeUnknown
from payd.plugins.interface import CreateOperation
from payd.plugins.refunding import RefundOperation
from payd.plugins.sponsoring import SponsorRequest
from payd.ports import Answer, ProviderPort, RefundReply

#: Seconds after which a caller asks again: a person releases the hold.
_RETRY_AFTER_S = 30.0


def held_provider(provider: ProviderPort, hold: SendingHold) -> ProviderPort:
    """The provider, which is asked and may close; while held it creates and sends nothing."""
    return cast(ProviderPort, _HeldProvider(provider, hold))


class _HeldProvider:
    """Passes everything on but what would create something while held.

    What the backup has may have been sent after it was made: its outcome is unknown, and is looked
    up. What was requested later was provably not sent.
    """

    def __init__(self, provider: ProviderPort, hold: SendingHold) -> None:
        self._provider = provider
        self._hold = hold
        # Asked in every call: quicker than by __getattr__.
        self.name, self.capabilities = provider.name, provider.capabilities

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    async def create(self, operation: CreateOperation) -> Answer:
        """As the provider; while held nothing is sent."""
        if not await self._hold.blocks():
            return await self._provider.create(operation)
        if self._is_in_backup(operation):
            return Answer(evidence=(OutcomeUnknown(),))
        return Answer(evidence=(NotAttempted(),), error=self._error())

    async def refund(self, operation: RefundOperation) -> RefundReply:
        """As the provider; while held nothing is sent."""
        if not await self._hold.blocks():
            return await self._provider.refund(operation)
        if self._is_in_backup(operation):
            return RefundReply(answer=OutcomeUnknown())
        return RefundReply(answer=NotAttempted(), error=self._error())

    async def sponsor(self, request: SponsorRequest) -> bytes | None:
        """As the provider; while held nobody is asked: what is left to pay is of the backup."""
        return None if await self._hold.blocks() else await self._provider.sponsor(request)

    def _is_in_backup(self, operation: CreateOperation | RefundOperation) -> bool:
        hold_time = self._hold.hold_time
        return hold_time is not None and operation.create_time < hold_time

    def _error(self) -> ProviderUnavailable:
        return ProviderUnavailable(
            "nothing is sent after a restore until an operator releases it",
            retry_after_s=_RETRY_AFTER_S,
            provider=self._provider.name,
        )
