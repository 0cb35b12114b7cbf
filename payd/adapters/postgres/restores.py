"""Sending after a restore: held until the providers were asked what the backup does not know."""

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import attrs

from payd import telemetry
from payd.adapters.postgres.database import Database, run_on
from payd.domain.errors import StoreUnavailable
from payd.ports import WATCH

#: Names of the cursors of comparisons (payd.service.reconcile, payd.service.audit).
OBJECTS, AUDIT = "objects", "audit"

_log = telemetry.get_logger(__name__)

#: Seconds between two looks of a daemon.
_LOOK_S = 1.0
#: The lease of a scan (payd.service.scan).
_LEASE = timedelta(seconds=60)
#: Changing every open payment may take longer than a statement of the pool.
_PATIENT = {"statement_timeout": "0", "lock_timeout": "0"}


@attrs.frozen(kw_only=True)
class Restore:
    """A backup that was read into the database."""

    id: int
    hold_time: datetime
    #: None for an empty backup.
    newest_change_time: datetime | None
    #: PROVIDER/NAME of each cursor → its value in the backup.
    cursors: Mapping[str, str | None]
    #: None as long as sending is held.
    release_time: datetime | None

    @property
    def is_held(self) -> bool:
        """Whether daemons send nothing."""
        return self.release_time is None


@attrs.frozen(kw_only=True)
class Position:
    """A cursor of a provider, as it stands."""

    provider: str
    #: `events`, `objects`, `audit` or `watch`.
    name: str
    value: str | None
    #: Whether no daemon reads there now, and none is about to.
    rests: bool

    def is_read(self, restore: Restore) -> bool:
        """Whether everything was read there since the hold."""
        if self.name in (OBJECTS, AUDIT):
            # The time at which the comparison began.
            began = datetime.fromisoformat(self.value) if self.value else None
            return began is not None and began >= restore.hold_time
        if self.name == WATCH:
            return self.value != restore.cursors.get(f"{self.provider}/{self.name}")
        # The hold has ended every rest. Where there was nothing new, the cursor is still the same.
        return self.rests


@attrs.frozen(kw_only=True)
class StrayReceipt:
    """Money that came since the hold and belongs to no payment of the database."""

    provider: str
    id: str
    reference: str
    amount: int
    asset: str
    time: datetime


class PostgresRestores:
    """Restores of this database, and what has become of the newest one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def hold(self) -> Restore:
        """Hold sending, and let every look at a provider be due. Raises StoreUnavailable."""
        connection = await self._database.connect(_PATIENT)
        try:
            await run_on(connection, "hold_sending", watch=WATCH)
        finally:
            await connection.close()
        held = await self.newest()
        if held is None:
            raise AssertionError("sending was held, and is not")
        return held

    async def release(self) -> bool:
        """Let daemons send again; False if nothing was held. Raises StoreUnavailable."""
        return bool(await self._database.fetch("release_sending"))

    async def newest(self) -> Restore | None:
        """The newest restore, if there was one. Raises StoreUnavailable."""
        row = await self._database.fetch_one("newest_restore")
        if row is None:
            return None
        return Restore(**{**row, "cursors": json.loads(row["cursors"])})

    async def positions(self) -> Sequence[Position]:
        """Where the cursors of all providers stand. Raises StoreUnavailable."""
        rows = await self._database.fetch("cursors_now", lease=_LEASE)
        return [Position(**row) for row in rows]

    async def strays(self, since: datetime) -> Sequence[StrayReceipt]:
        """Receipts that were stored since then and have no payment. Raises StoreUnavailable."""
        rows = await self._database.fetch("unmatched_since", since=since)
        return [StrayReceipt(**{**row, "amount": int(row["amount"])}) for row in rows]

    async def versions(self, payment_ids: Collection[UUID]) -> Mapping[UUID, int]:
        """The versions of those payments that the database has. Raises StoreUnavailable."""
        rows = await self._database.fetch("payment_versions", payment_ids=list(payment_ids))
        return {UUID(int=row["id"].int): row["version"] for row in rows}


class SendingHold:
    """Whether this daemon may send. Until the database has answered once, it may not."""

    def __init__(self, restores: PostgresRestores) -> None:
        self._restores = restores
        self._is_known = False
        self.is_held = True
        #: Payments that are older come from the backup; None without a restore.
        self.hold_time: datetime | None = None

    async def blocks(self) -> bool:
        """Whether nothing may be sent now; as long as nothing is known, it asks the database."""
        if not self._is_known:
            await self.look()
        return self.is_held

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_S)

    async def look(self) -> None:
        """Read it; without an answer it stays as it is."""
        try:
            newest = await self._restores.newest()
        except StoreUnavailable:
            return
        is_held = newest is not None and newest.is_held
        if is_held and not (self.is_held and self._is_known):
            _log.warning("sending_held")
        elif self.is_held and self._is_known and not is_held:
            _log.info("sending_released")
        self.is_held, self._is_known = is_held, True
        self.hold_time = newest.hold_time if newest else None
