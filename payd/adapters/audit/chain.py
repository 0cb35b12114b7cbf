"""The canonical bytes of an audit row, and the hash that joins it to the one before.

    hash = sha256(hash of the row before ‖ canonical bytes)

A payment has one chain. Its first row has nothing before it. PostgreSQL computes the same hash in
the statement that writes the row, from the head on the payment's row.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import attrs

from payd.adapters.columns import Json, dumps
from payd.adapters.events import AuditRow
from payd.adapters.personal import join

#: What stands before the first row of a payment.
NOTHING = b""


@attrs.frozen(kw_only=True)
class Head:
    """How far a payment's chain goes."""

    version: int
    hash: bytes


#: Before the first row.
START = Head(version=0, hash=NOTHING)


def canonical(document: object) -> str:
    """The only text of a JSON document: sorted keys, no spaces, ASCII; numbers are integers."""
    return dumps(document, sort_keys=True)


def content_of(
    payment_id: UUID,
    version: int,
    event_type: str,
    details: Json,
    create_time: datetime,
    *,
    actor: str,
    request_id: str,
    certificate: str,
) -> str:
    """The text whose bytes are hashed: all of an audit row but the addresses of the call.

    `details` are without personal values, to which they have a commitment: see `personal.part`.
    """
    return canonical(
        {
            "payment_id": payment_id,
            "version": version,
            "event_type": event_type,
            "details": details,
            "create_time": create_time,
            "actor": actor,
            "request_id": request_id,
            "certificate": certificate,
        }
    )


def row_of(content: str, ip: str, peer: str, personal: Json | None) -> AuditRow:
    """The audit row with this content, and with the personal values that were not erased."""
    fields: Json = json.loads(content)
    fields.pop("payment_id", None)
    fields["create_time"] = datetime.fromisoformat(fields["create_time"])
    fields["details"] = join(fields["details"], personal)
    return AuditRow(ip=ip, peer=peer, **fields)


def next_hash(before: bytes, content: bytes) -> bytes:
    """The hash of a row with these bytes, behind a row with the hash `before`."""
    return hashlib.sha256(before + content).digest()


class HeadsDigest:
    """One hash over the heads of several payments, which come in order of their ids."""

    def __init__(self) -> None:
        self.count = 0
        self._digest = hashlib.sha256()

    def add(self, payment_id: UUID, head: Head) -> None:
        """Add a head: 16 bytes of id, 4 of version, and the hash."""
        self.count += 1
        self._digest.update(payment_id.bytes + head.version.to_bytes(4, "big") + head.hash)

    def hex(self) -> str:
        """The digest of those that were added."""
        return self._digest.hexdigest()


def head_json(head: Head) -> Mapping[str, object]:
    """A head as JSON."""
    return {"version": head.version, "hash": head.hash.hex()}
