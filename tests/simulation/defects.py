"""Defects that are planted into payd one at a time: the simulation must find each of them."""

import itertools
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from support.memory import MemoryStore

from payd.domain import refunds
from payd.domain.decide import Decision
from payd.domain.payment import Origin, Payment
from payd.service import operation, recover
from payd.service.publish import Publish
from payd.service.recover import Recover
from payd.service.recover_refunds import RecoverRefunds

Patch = pytest.MonkeyPatch


def commit_without_version_guard(patch: Patch) -> None:
    """The last writer wins."""
    commit = MemoryStore.commit

    async def unguarded(
        self: MemoryStore, before: Payment, decision: Decision, origin: Origin, ids: Any = ()
    ) -> bool:
        current = next(one for one in self.all() if one.id == before.id)
        return await commit(
            self, attrs.evolve(before, version=current.version), decision, origin, ids
        )

    patch.setattr(MemoryStore, "commit", unguarded)


def mark_before_publish(patch: Patch) -> None:
    """An event is marked as published before the stream has it."""
    publish = Publish.publish

    async def marked(self: Publish, rows: Any) -> Any:
        await self.outbox.mark_published([row.id for row in rows])
        return await publish(self, rows)

    patch.setattr(Publish, "publish", marked)


def expire_and_leave_the_object_open(patch: Patch) -> None:
    """A payment expires without closing its object."""
    patch.setattr(recover, "_closes", lambda provider: False)


def refund_sum_unchecked(patch: Patch) -> None:
    """A refund is granted whatever is left."""
    patch.setattr(refunds, "left", lambda payment: payment.confirmed)


def another_operation_id_each_time(patch: Patch) -> None:
    """A create that is sent again has another idempotency key."""
    numbers = itertools.count()
    patch.setattr(operation, "operation_id", lambda payment: f"payd:{payment.id}:{next(numbers)}")


def recovery_sleeps(patch: Patch) -> None:
    """No payment is ever looked up."""
    patch.setattr(Recover, "claim_batch", _nothing)


def refund_recovery_sleeps(patch: Patch) -> None:
    """No refund is ever looked up."""
    patch.setattr(RecoverRefunds, "claim_batch", _nothing)


def idempotency_key_ignored(patch: Patch) -> None:
    """Each call makes a payment of its own."""
    insert = MemoryStore.insert

    async def always(self: MemoryStore, payment: Payment, origin: Origin) -> Payment:
        self._ids_by_key.clear()
        return await insert(self, payment, origin)

    patch.setattr(MemoryStore, "insert", always)


async def _nothing(self: object) -> tuple[()]:
    return ()


#: Each defect with a seed that finds it, and the checker that reports it.
DEFECTS: dict[Callable[[Patch], None], tuple[int, str]] = {
    commit_without_version_guard: (1, "i8_each_version_has_its_audit_row"),
    mark_before_publish: (0, "the_consumer_sees_what_is_stored"),
    expire_and_leave_the_object_open: (0, "i11_closed_is_not_payable"),
    refund_sum_unchecked: (1, "i17_no_refund_beyond_what_was_left"),
    another_operation_id_each_time: (0, "i2_one_object_a_payment"),
    recovery_sleeps: (0, "liveness_nothing_stays_open"),
    refund_recovery_sleeps: (3, "liveness_nothing_stays_open"),
    idempotency_key_ignored: (0, "i15_one_key_one_payment"),
}
