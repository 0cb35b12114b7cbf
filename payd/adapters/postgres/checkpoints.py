"""Sign a checkpoint of the audit trail every hour; of several daemons, one does."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import attrs

from payd import telemetry
from payd.adapters.audit.checkpoint import Checkpoint
from payd.adapters.audit.keys import SigningKey
from payd.adapters.postgres.audit_chain import NotChained, PostgresAuditChain
from payd.domain.errors import StoreUnavailable
from payd.plugins.context import Clock
from payd.ports import Leases

_log = telemetry.get_logger(__name__)

_LEASE = "audit checkpoints"
#: Longest pause between two looks at the newest checkpoint.
_LOOK_S = 60.0


@attrs.frozen(kw_only=True)
class Checkpoints:
    """The loop that signs; without a key it only waits for one."""

    chain: PostgresAuditChain
    leases: Leases
    clock: Clock
    #: The signing key in force; None without one.
    key: Callable[[], SigningKey | None]
    interval: timedelta
    on_signed: Callable[[Checkpoint], None] = lambda checkpoint: None

    async def run(self) -> None:
        """Sign when it is time, until cancelled. Without the database, try again later."""
        while True:
            try:
                await self.sign_if_due()
            except StoreUnavailable as error:
                _log.warning("audit_checkpoint_delayed", error=str(error))
            except NotChained as error:
                _log.error("audit_checkpoint_refused", error=str(error))
            await asyncio.sleep(min(_LOOK_S, self.interval.total_seconds()))

    async def sign_if_due(self) -> Checkpoint | None:
        """Sign a checkpoint if the newest one is old enough; None if not, or without a key."""
        key = self.key()
        if key is None or not await self._is_due():
            return None
        held = await self.leases.acquire(_LEASE)
        if held is None:
            return None
        try:
            # Another daemon may have signed one since.
            signed = await self._sign(key) if await self._is_due() else None
        finally:
            await held.release()
        return signed

    async def _is_due(self) -> bool:
        newest = await self.chain.newest_checkpoint()
        if newest is not None:
            self.on_signed(newest)
        return newest is None or self.clock.now() - newest.time >= self.interval

    async def _sign(self, key: SigningKey) -> Checkpoint | None:
        signed = await self.chain.sign_checkpoint(key, self.clock.now())
        if signed is not None:
            # The log is a copy that a change of the database does not reach.
            _log.info(
                "audit_checkpoint_signed",
                number=signed.number,
                hash=signed.hash,
                payments=signed.payments,
            )
            self.on_signed(signed)
        return signed
