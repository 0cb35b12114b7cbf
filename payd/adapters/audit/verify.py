"""Verify an export of the audit trail with a public key and nothing else.

The headings of the payments are signed and have the hash of each row. So the first altered row is
known, even if all hashes behind it were computed anew.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator
from typing import IO, Any
from uuid import UUID

import attrs

from payd.adapters.audit.chain import Head, HeadsDigest, canonical
from payd.adapters.audit.checkpoint import Checkpoint, checkpoint_of
from payd.adapters.audit.keys import PublicKeys
from payd.adapters.audit.signed_rows import SignedRows, document_of, named

#: What a line may be that is no row.
_KINDS = ("payment", "checkpoint", "trailer")
_BLOCK_BYTES = 1 << 16


class ExportBroken(Exception):
    """The export is not what was written; says what is wrong first, and where."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}")
        self.line = line


@attrs.frozen(kw_only=True)
class Verified:
    """What an intact export has."""

    payments: int
    rows: int
    #: Of an export with all payments: how many checkpoints it agrees with.
    checkpoints: int
    covers: dict[str, Any]
    starting_heads: str
    final_heads: str


def verify(file: IO[bytes], keys: PublicKeys) -> Verified:
    """Return what the export has. Raises ExportBroken."""
    return _Reader(file, keys, _announced(file, keys)).read()


def _announced(file: IO[bytes], keys: PublicKeys) -> dict[str, Any] | None:
    """The trailer, read in advance, so that each line is known to be in its place."""
    if not file.seekable():
        return None
    end, tail = file.seek(0, os.SEEK_END), b""
    while end > 0 and b"\n" not in tail[:-1]:
        start = max(0, end - _BLOCK_BYTES)
        file.seek(start)
        tail, end = file.read(end - start) + tail, start
    file.seek(0)
    line = tail[:-1].rpartition(b"\n")[2]
    return document_of(line) if _kind_of(line) == "trailer" and keys.have_signed(line) else None


class _Reader:
    """Reads one export once; keeps the lines of one payment at most."""

    def __init__(self, file: IO[bytes], keys: PublicKeys, announced: dict[str, Any] | None) -> None:
        """Without an announced trailer, the first line that is no row's or payment's counts."""
        self._file = file
        self._keys = keys
        self._announced = announced
        self._number = 0
        self._line: bytes | None = None
        #: What the line is; None for a row.
        self._kind: str | None = None
        self._digest = hashlib.sha256()
        self._export: str | None = None
        self._payments = self._rows = 0
        self._starting, self._final = HeadsDigest(), HeadsDigest()
        #: By the number of a checkpoint, what the payments' rows say about it.
        self._changed: defaultdict[int, HeadsDigest] = defaultdict(HeadsDigest)

    def read(self) -> Verified:
        self._advance()
        while self._has_more_payments():
            self._payment()
        end = self._number
        checkpoints = self._checkpoints()
        trailer = self._trailer(end, checkpoints)
        if self._announced is None:
            for number, checkpoint in enumerate(checkpoints):
                self._compare(checkpoint, end + number)
        return Verified(
            payments=self._payments,
            rows=self._rows,
            checkpoints=len(checkpoints),
            covers=trailer["covers"],
            starting_heads=trailer["starting_heads"],
            final_heads=trailer["final_heads"],
        )

    def _has_more_payments(self) -> bool:
        if self._announced is not None:
            return self._payments < int(self._announced["payments"])
        return self._kind not in ("checkpoint", "trailer")

    # -- lines -----------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Read the next line; None behind the last one."""
        if self._line is not None:
            self._digest.update(self._line + b"\n")
        text = self._file.readline()
        self._number += 1
        if text and not text.endswith(b"\n"):
            raise ExportBroken(self._number, "the file is truncated within this line")
        self._line = text[:-1] if text else None
        self._kind = _kind_of(self._line)

    def _document(self, what: str) -> dict[str, Any]:
        """The line as a document that was signed."""
        if self._line is None:
            raise ExportBroken(self._number, f"the file is truncated before {what}")
        document = document_of(self._line)
        if not self._keys.have_signed(self._line):
            is_foreign = not self._keys.know(document.get("key"))
            why = "with another key than the given ones, or it was altered" if is_foreign else ""
            raise ExportBroken(
                self._number, f"{what} is signed {why}" if why else f"{what} was altered"
            )
        return document

    # -- payments --------------------------------------------------------------------------------

    def _payment(self) -> None:
        heading, line = self._heading(), self._number
        chain = SignedRows(
            payment_id=UUID(heading["payment_id"]),
            after=_head(heading["after"]),
            hashes=[bytes.fromhex(each) for each in heading["hashes"]],
        )
        self._advance()
        lines = list(self._lines_of(chain))
        wrong = chain.first_wrong(lines, is_cut=self._line is None)
        if wrong is not None:
            raise ExportBroken(line + 1 + wrong[0], wrong[1])
        if chain.last != _head(heading["head"]):
            raise ExportBroken(
                line + len(lines),
                f"the last row of payment {chain.payment_id} is version {chain.last.version}, but"
                f" the payment is at version {heading['head']['version']}, or has another hash:"
                " the database was altered before the export",
            )
        self._count(heading, chain)

    def _lines_of(self, chain: SignedRows) -> Iterator[bytes]:
        """The lines up to the next one that is signed and no row."""
        taken, count = 0, len(chain.hashes)
        # Rubbish without an end is not kept: behind so many lines the first wrong one is known.
        while self._line is not None and taken <= 2 * count + 1:
            is_short = taken < count
            if self._kind is not None and (not is_short or self._keys.have_signed(self._line)):
                return
            yield self._line
            taken += 1
            self._advance()

    def _heading(self) -> dict[str, Any]:
        if self._line is not None and self._kind is None:
            raise ExportBroken(
                self._number,
                "here the heading of a payment was altered or dropped, or this line was inserted:"
                f" {named(self._line)}",
            )
        heading = self._document("the next heading or the trailer")
        if self._kind != "payment":
            raise ExportBroken(
                self._number, f"the heading of a payment is not here, but a {self._kind}"
            )
        payment = f"payment {heading['payment_id']}"
        if self._export not in (None, heading["export"]):
            raise ExportBroken(self._number, f"{payment} was inserted from another export")
        self._export = heading["export"]
        if heading["number"] > self._payments:
            raise ExportBroken(
                self._number, f"a payment was dropped here, or swapped with {payment}"
            )
        if heading["number"] < self._payments:
            raise ExportBroken(self._number, f"{payment} was inserted again")
        return heading

    def _count(self, heading: dict[str, Any], chain: SignedRows) -> None:
        payment_id = chain.payment_id
        self._payments += 1
        self._rows += len(chain.hashes)
        self._starting.add(payment_id, chain.after)
        self._final.add(payment_id, chain.last)
        for number, version in heading["checkpoints"]:
            head = Head(version=version, hash=chain.hashes[version - chain.after.version - 1])
            self._changed[number].add(payment_id, head)

    # -- the end ---------------------------------------------------------------------------------

    def _checkpoints(self) -> list[Checkpoint]:
        found: list[Checkpoint] = []
        while self._kind == "checkpoint":
            found.append(checkpoint_of(canonical(self._document("a checkpoint"))))
            if self._announced is not None:
                self._check_place(self._announced, found)
                self._compare(found[-1], self._number)
            self._advance()
        return found

    def _check_place(self, trailer: dict[str, Any], found: list[Checkpoint]) -> None:
        """The newest of the checkpoints is the next one, and names the one before."""
        newest, before = found[-1], found[-2:-1]
        last = (trailer["checkpoints"] or [0])[-1]
        expected = trailer["covers"]["after_checkpoint"] + len(found)
        if (
            newest.number != expected
            or expected > last
            or (before and newest.before != before[0].hash)
        ):
            raise ExportBroken(
                self._number,
                f"{newest.name} is not the next one: a checkpoint was dropped, swapped or inserted",
            )

    def _trailer(self, end: int, checkpoints: list[Checkpoint]) -> dict[str, Any]:
        """The trailer; `end` is the line behind the payments."""
        digest = self._digest.copy()
        trailer = self._document("the trailer, or a line before it,")
        if trailer["kind"] != "trailer" or self._export not in (None, trailer["export"]):
            raise ExportBroken(self._number, "inserted: it is not the trailer of this export")
        if trailer["payments"] > self._payments:
            missing = trailer["payments"] - self._payments
            raise ExportBroken(end, f"the last payments, {missing} of them, were dropped here")
        if [*trailer["checkpoints"][-1:]] != [one.number for one in checkpoints[-1:]]:
            raise ExportBroken(self._number, "the last checkpoint was dropped here")
        computed = (self._starting.hex(), self._final.hex(), digest.hexdigest())
        signed = (trailer["starting_heads"], trailer["final_heads"], trailer["digest"])
        if computed != signed or trailer["rows"] != self._rows:
            raise ExportBroken(self._number, "the trailer was signed with other lines before it")
        self._advance()
        if self._line is not None:
            raise ExportBroken(self._number, "inserted after the trailer")
        return trailer

    def _compare(self, checkpoint: Checkpoint, line: int) -> None:
        changed = self._changed[checkpoint.number]
        if (changed.count, changed.hex()) != (checkpoint.payments, checkpoint.heads):
            raise ExportBroken(
                line,
                f"{checkpoint.name} was signed over other rows: {checkpoint.payments} payments had"
                f" changed, the export has {changed.count}, or others; the database was altered",
            )


def _kind_of(line: bytes | None) -> str | None:
    """What a line is; None for a row, whose JSON begins with the actor and has no kind."""
    if line is None or line.startswith(b'{"actor":'):
        return None
    kind = document_of(line).get("kind")
    return kind if kind in _KINDS else None


def _head(document: dict[str, Any]) -> Head:
    return Head(version=document["version"], hash=bytes.fromhex(document["hash"]))
