"""Write an export of the audit trail: JSON lines that prove their own integrity.

{"kind":"payment", …}     for each payment, in order of the ids, signed: where its chain starts
                          and ends, and the hash of each row
{"actor":…, …}            its rows: exactly the bytes that were hashed
{"kind":"checkpoint", …}  as they were signed, if the export has all payments
{"kind":"trailer", …}     signed: what the export covers, how much, and a digest of all lines
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import attrs

from payd.adapters.audit.chain import Head, HeadsDigest, head_json
from payd.adapters.audit.checkpoint import Checkpoint
from payd.adapters.audit.keys import SigningKey


@attrs.frozen(kw_only=True)
class ExportedRow:
    """A row of the trail, as stored."""

    version: int
    content: str
    hash: bytes
    #: The number of the checkpoint that covers it; None if it is newer than all.
    checkpoint: int | None


@attrs.frozen(kw_only=True)
class ExportedChain:
    """The rows of one payment from some version on."""

    payment_id: UUID
    #: The row before the first one.
    after: Head
    rows: Sequence[ExportedRow]
    #: As the payment's row has it: the last row must be this one.
    head: Head


class ExportWriter:
    """Writes one export, line by line."""

    def __init__(
        self,
        write: Callable[[str], object],
        key: SigningKey,
        export_id: str,
        covers: Mapping[str, Any],
    ) -> None:
        """`covers` says what was asked for; the trailer repeats it."""
        self._write = write
        self._key = key
        self._id = export_id
        self._covers = covers
        self._digest = hashlib.sha256()
        self._starting, self._final = HeadsDigest(), HeadsDigest()
        self._payments = 0
        self._rows = 0

    def add(self, chain: ExportedChain) -> None:
        """Write a payment; they must come in order of their ids."""
        self._signed(
            {
                "kind": "payment",
                "export": self._id,
                "number": self._payments,
                "payment_id": chain.payment_id,
                "after": head_json(chain.after),
                "head": head_json(chain.head),
                "hashes": [row.hash.hex() for row in chain.rows],
                "checkpoints": _checkpoints(chain.rows),
            }
        )
        for row in chain.rows:
            self._line(row.content)
        self._payments += 1
        self._rows += len(chain.rows)
        self._starting.add(chain.payment_id, chain.after)
        self._final.add(chain.payment_id, chain.head)

    def finish(self, checkpoints: Iterable[Checkpoint]) -> None:
        """Write the checkpoints that the export covers completely, and the trailer."""
        numbers: list[int] = []
        for checkpoint in checkpoints:
            numbers.append(checkpoint.number)
            self._line(checkpoint.line)
        self._signed(
            {
                "kind": "trailer",
                "export": self._id,
                "covers": self._covers,
                "payments": self._payments,
                "rows": self._rows,
                "checkpoints": [numbers[0], numbers[-1]] if numbers else [],
                "starting_heads": self._starting.hex(),
                "final_heads": self._final.hex(),
                "digest": self._digest.hexdigest(),
            }
        )

    def _signed(self, document: Mapping[str, Any]) -> None:
        self._line(self._key.signed_line(document))

    def _line(self, line: str) -> None:
        self._digest.update(line.encode() + b"\n")
        self._write(line + "\n")


def _checkpoints(rows: Iterable[ExportedRow]) -> list[tuple[int, int]]:
    """Of each checkpoint its number, and the version that was the head then."""
    heads = {row.checkpoint: row.version for row in rows if row.checkpoint is not None}
    return sorted(heads.items())
